//! The spec as a checked plan. In: the spec, and the operator's defaults. Out: a plan without
//! optional values, or the user's mistake in one sentence. What an operator allows is checked in
//! `limits`. Pure.

use std::time::Duration;

use crate::control::Content;
use crate::demo::{
    AdvantagePolicy, Architecture, CleanupPolicy, DashboardMode, FargateSpec, KinesisDemoSpec, PhaseSpec,
    RampShape, RecordSizeMode, WarmThroughputMode,
};
use crate::record_size::RecordSize;

/// What the operator fills in where a spec names nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// The region.
    pub region: String,
    /// The generator image.
    pub image: Option<String>,
    /// The subnets.
    pub subnets: Vec<String>,
    /// The security groups.
    pub security_groups: Vec<String>,
}

/// One checked phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPhase {
    /// The phase's name.
    pub name: String,
    /// How long it lasts.
    pub duration: Duration,
    /// Its rate, after the ramp.
    pub rate: u32,
    /// How long the ramp takes; zero for a step. At most the duration.
    pub ramp: Duration,
    /// The kind of posts.
    pub content: Content,
    /// The number of tasks that its highest rate needs; at least one.
    pub tasks: u32,
}

/// The tasks' hardware and network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fargate {
    /// CPU units.
    pub cpu: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The processor architecture.
    pub architecture: Architecture,
    /// The subnets; at least one.
    pub subnets: Vec<String>,
    /// The security groups; if empty, the VPC's default applies.
    pub security_groups: Vec<String>,
}

/// A checked spec: what a run does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The AWS region.
    pub region: String,
    /// The stream's name, if the spec has one.
    pub stream_name: Option<String>,
    /// Warm throughput in MiB/s, if any.
    pub warm_mib_per_second: Option<u32>,
    /// Whether the run needs On-demand Advantage.
    pub needs_advantage: bool,
    /// The phases, in order; at least one.
    pub phases: Vec<PlannedPhase>,
    /// The generator image.
    pub image: String,
    /// The maximum records per second of a single task.
    pub cap_per_task: u32,
    /// The maximum number of tasks at the same time.
    pub most_tasks: u32,
    /// What the records look like.
    pub record_size: RecordSize,
    /// The tasks' hardware and network.
    pub fargate: Fargate,
    /// The maximum time from the creation of the first AWS resource until traffic ends.
    pub max_duration: Duration,
    /// Whether the stream is kept after the run.
    pub retain_stream: bool,
    /// Whether the run has a CloudWatch dashboard.
    pub dashboard: bool,
}

/// A mistake in the spec.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("generator.image: not set in the manifest, and the operator has no default (--generator-image)")]
    NoImage,
    #[error("generator.fargate.subnets: not set in the manifest, and the operator has no default (--subnet)")]
    NoSubnets,
    #[error(
        "phases: null or an empty list means no traffic; leave the field out for the default event of four phases, or list at least one phase"
    )]
    NoPhases,
    #[error("phases[{phase}]: {problem}")]
    Phase { phase: String, problem: String },
    #[error("phases: the total duration is {total} s, limits.maxDuration allows {limit} s")]
    TooLong { total: u64, limit: u64 },
    #[error("{0}: a value is missing or out of range")]
    Malformed(&'static str),
}

/// If tasks are missing, the others send at most this multiple of their planned rate.
const CAP_FACTOR: u32 = 2;

impl Plan {
    /// Plans `spec`, with the operator's defaults filled in. Schema rules that the plan relies on
    /// are checked again: a stored object may be older than the schema.
    pub fn new(spec: &KinesisDemoSpec, defaults: &Defaults) -> Result<Self, PlanError> {
        let spec = &filled(spec, defaults);
        let rate_per_task = positive(spec.generator.rate_per_task, "generator.ratePerTask")?;
        let max_tasks = positive(spec.generator.max_tasks, "generator.maxTasks")?;

        let mut phases: Vec<PlannedPhase> = Vec::with_capacity(spec.phases.len());
        for phase in &spec.phases {
            let rate_before = phases.last().map_or(0, |before| before.rate);
            let planned = planned(phase, rate_before, rate_per_task, max_tasks)?;
            if phases.iter().any(|other| other.name == planned.name) {
                return Err(PlanError::Phase {
                    phase: planned.name,
                    problem: "a phase of this name exists already".into(),
                });
            }
            phases.push(planned);
        }
        let most_tasks = phases.iter().map(|phase| phase.tasks).max().ok_or(PlanError::NoPhases)?;

        let max_duration = spec.limits.max_duration.value();
        let total: Duration = phases.iter().map(|phase| phase.duration).sum();
        if total > max_duration {
            return Err(PlanError::TooLong { total: total.as_secs(), limit: max_duration.as_secs() });
        }

        let warm_mib_per_second =
            match (spec.stream.warm_throughput.mode, spec.stream.warm_throughput.mib_per_second) {
                (WarmThroughputMode::None, _) => None,
                (WarmThroughputMode::Fixed, requested) => {
                    Some(positive(requested.unwrap_or(0), "stream.warmThroughput.mibPerSecond")?)
                }
            };
        let record_size = match (spec.generator.records.size.mode, spec.generator.records.size.bytes) {
            (RecordSizeMode::Natural, _) => RecordSize::Natural,
            (RecordSizeMode::Fixed, bytes) => {
                RecordSize::Fixed(positive(bytes.unwrap_or(0), "generator.records.size.bytes")?)
            }
        };

        Ok(Self {
            region: spec.region.clone().unwrap_or_else(|| defaults.region.clone()),
            stream_name: spec.stream.name.clone(),
            warm_mib_per_second,
            needs_advantage: warm_mib_per_second.is_some()
                || spec.billing.advantage == AdvantagePolicy::Require,
            phases,
            image: spec.generator.image.clone().ok_or(PlanError::NoImage)?,
            cap_per_task: rate_per_task.saturating_mul(CAP_FACTOR),
            most_tasks,
            record_size,
            fargate: fargate(&spec.generator.fargate)?,
            max_duration,
            retain_stream: spec.cleanup.stream == CleanupPolicy::Retain,
            dashboard: spec.dashboard.mode == DashboardMode::CloudWatch,
        })
    }

    /// The highest rate of any phase. Tasks reject a control document with a higher rate.
    pub fn highest_rate(&self) -> u32 {
        self.phases.iter().map(|phase| phase.rate).max().unwrap_or(0)
    }
}

/// Returns the spec with the operator's defaults filled in, as it is stored in status. From then on
/// the run does not depend on the operator's configuration.
pub fn filled(spec: &KinesisDemoSpec, defaults: &Defaults) -> KinesisDemoSpec {
    let mut filled = spec.clone();
    filled.region.get_or_insert_with(|| defaults.region.clone());
    filled.generator.image = filled.generator.image.or_else(|| defaults.image.clone());
    if filled.generator.fargate.subnets.is_empty() {
        filled.generator.fargate.subnets.clone_from(&defaults.subnets);
    }
    if filled.generator.fargate.security_groups.is_empty() {
        filled.generator.fargate.security_groups.clone_from(&defaults.security_groups);
    }
    filled
}

fn fargate(requested: &FargateSpec) -> Result<Fargate, PlanError> {
    if requested.subnets.is_empty() {
        return Err(PlanError::NoSubnets);
    }
    Ok(Fargate {
        cpu: positive(requested.cpu, "generator.fargate.cpu")?,
        memory_mib: positive(requested.memory_mib, "generator.fargate.memoryMiB")?,
        architecture: requested.architecture,
        subnets: requested.subnets.clone(),
        security_groups: requested.security_groups.clone(),
    })
}

fn planned(
    phase: &PhaseSpec,
    rate_before: u32,
    rate_per_task: u32,
    max_tasks: u32,
) -> Result<PlannedPhase, PlanError> {
    let problem = |problem: String| PlanError::Phase { phase: phase.name.clone(), problem };
    let rate = u32::try_from(phase.records_per_second)
        .map_err(|_| problem("recordsPerSecond is below zero".into()))?;
    let duration = phase.duration.value();
    if duration.is_zero() {
        return Err(problem("duration is zero".into()));
    }
    let ramp = match (phase.ramp.shape, &phase.ramp.over) {
        (RampShape::Step, _) => Duration::ZERO,
        (RampShape::Linear, Some(over)) if over.value() <= duration => over.value(),
        (RampShape::Linear, _) => {
            return Err(problem("ramp.over is missing or longer than the phase".into()));
        }
    };
    let highest = if ramp.is_zero() { rate } else { rate.max(rate_before) };
    let tasks = highest.div_ceil(rate_per_task).max(1);
    if tasks > max_tasks {
        return Err(problem(format!(
            "{highest} records per second need {tasks} tasks of {rate_per_task}; generator.maxTasks is {max_tasks}"
        )));
    }
    Ok(PlannedPhase { name: phase.name.clone(), duration, rate, ramp, content: phase.content, tasks })
}

fn positive(value: i32, field: &'static str) -> Result<u32, PlanError> {
    u32::try_from(value).ok().filter(|value| *value > 0).ok_or(PlanError::Malformed(field))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::demo::WarmThroughputSpec;
    use crate::duration::DurationText;

    pub(crate) fn defaults() -> Defaults {
        Defaults {
            region: "us-east-1".into(),
            image: Some("generator:1".into()),
            subnets: vec!["subnet-0a1b2c3d".into()],
            security_groups: vec![],
        }
    }

    fn plan_error(change: impl FnOnce(&mut KinesisDemoSpec)) -> String {
        let mut spec = KinesisDemoSpec::default();
        change(&mut spec);
        Plan::new(&spec, &defaults()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_spec_is_the_original_demo_on_a_cold_stream() {
        let plan = Plan::new(&KinesisDemoSpec::default(), &defaults()).unwrap();
        let phases: Vec<_> =
            plan.phases.iter().map(|p| (p.name.as_str(), p.rate, p.duration.as_secs(), p.tasks)).collect();
        assert_eq!(
            phases,
            [
                ("baseline", 100, 120, 1),
                ("spike", 10_000, 120, 2),
                ("peak", 50_000, 120, 10),
                ("decline", 100, 120, 1)
            ]
        );
        assert_eq!(
            (plan.warm_mib_per_second, plan.needs_advantage, plan.retain_stream),
            (None, false, false)
        );
        assert_eq!((plan.most_tasks, plan.cap_per_task, plan.max_duration.as_secs()), (10, 10_000, 1800));
        assert_eq!((plan.highest_rate(), plan.fargate.subnets), (50_000, vec!["subnet-0a1b2c3d".to_owned()]));
    }

    #[test]
    fn warm_throughput_needs_advantage() {
        let mut spec = KinesisDemoSpec::default();
        spec.stream.warm_throughput =
            WarmThroughputSpec { mode: WarmThroughputMode::Fixed, mib_per_second: Some(100) };
        let plan = Plan::new(&spec, &defaults()).unwrap();
        assert_eq!((plan.warm_mib_per_second, plan.needs_advantage), (Some(100), true));
    }

    #[test]
    fn a_ramp_down_needs_the_tasks_of_the_previous_rate() {
        let mut spec = KinesisDemoSpec::default();
        spec.phases[3].ramp.shape = RampShape::Linear;
        spec.phases[3].ramp.over = Some(DurationText::seconds(20));
        assert_eq!(Plan::new(&spec, &defaults()).unwrap().phases[3].tasks, 10);
    }

    #[test]
    fn errors_name_the_field_and_the_next_step() {
        assert!(plan_error(|s| s.phases[2].records_per_second = 250_001).contains("51 tasks"));
        assert!(
            plan_error(|s| s.limits.max_duration = DurationText::seconds(479))
                .contains("limits.maxDuration allows 479 s")
        );
        assert!(plan_error(|s| s.phases[1].name = "baseline".into()).contains("phases[baseline]"));
        assert!(plan_error(|s| s.phases.clear()).contains("phases: null or an empty list"));
        let null = serde_json::json!({ "phases": null });
        let message = plan_error(|spec| *spec = serde_json::from_value(null).unwrap());
        assert!(message.contains("phases: null") && message.contains("leave the field out"), "{message}");

        let mut without_defaults = defaults();
        without_defaults.subnets.clear();
        assert_eq!(Plan::new(&KinesisDemoSpec::default(), &without_defaults), Err(PlanError::NoSubnets));
        without_defaults.image = None;
        assert_eq!(Plan::new(&KinesisDemoSpec::default(), &without_defaults), Err(PlanError::NoImage));
    }

    #[test]
    fn an_explicit_null_enables_nothing() {
        let plan = |spec| Plan::new(&serde_json::from_value(spec).unwrap(), &defaults()).unwrap();
        assert!(plan(serde_json::json!({})).dashboard);
        assert!(!plan(serde_json::json!({ "dashboard": null })).dashboard);
    }

    #[test]
    fn a_filled_spec_does_not_depend_on_the_operators_defaults() {
        let spec = KinesisDemoSpec::default();
        let plan = Plan::new(&spec, &defaults()).unwrap();
        let other = Defaults {
            region: "eu-west-1".into(),
            image: Some("generator:2".into()),
            subnets: vec!["subnet-ffffffff".into()],
            security_groups: vec![],
        };
        let pinned = Plan::new(&filled(&spec, &defaults()), &other).unwrap();
        assert_eq!(pinned, plan);
        assert_ne!(Plan::new(&spec, &other).unwrap(), plan);
    }
}
