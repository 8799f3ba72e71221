//! What an operator allows a plan to ask for. In: a plan, and the operator's limits. Out: nothing,
//! or the first limit that the plan exceeds, with the flag that raises it. Pure.
//!
//! A run was checked when it started, so its pinned plan is not checked again: it stays accepted
//! even if the operator's limits have been lowered since.

use crate::allow_list::{AllowList, is_listed};
use crate::demo::KinesisDemoSpec;
use crate::plan::{Defaults, Plan, PlanError};

/// The operator's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The regions that objects may name.
    pub regions: Vec<String>,
    /// The images, subnets and security groups that objects may name.
    pub allow_list: AllowList,
    /// The maximum rate of a phase.
    pub max_records_per_second: u32,
    /// The maximum number of tasks of a phase.
    pub max_tasks: u32,
    /// The maximum warm throughput.
    pub max_warm_mib_per_second: u32,
}

/// A limit that a plan exceeds.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    #[error("region {region}: this operator allows {allowed}; use one of these, or allow it with --region")]
    Region { region: String, allowed: String },
    #[error(
        "{field}: this operator does not allow {requested}; leave the field out to use the operator's default, or allow it with {flag}"
    )]
    NotAllowed { field: &'static str, requested: String, flag: &'static str },
    #[error("{field}: {requested} is above this operator's limit of {limit} ({flag})")]
    AboveLimit { field: &'static str, requested: u32, limit: u32, flag: &'static str },
}

/// Why an operator does not accept a spec.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The spec is wrong for every operator.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The spec asks for more than this operator allows.
    #[error(transparent)]
    Limit(#[from] LimitError),
}

/// Plans `spec`, and checks the plan against `limits`.
pub fn accepted_plan(
    spec: &KinesisDemoSpec,
    defaults: &Defaults,
    limits: &Limits,
) -> Result<Plan, SpecError> {
    let plan = Plan::new(spec, defaults)?;
    check_limits(&plan, limits)?;
    Ok(plan)
}

/// Checks `plan` against `limits`.
pub fn check_limits(plan: &Plan, limits: &Limits) -> Result<(), LimitError> {
    at_most("generator.maxTasks", plan.most_tasks, limits.max_tasks, "--max-tasks")?;
    let max_rate = limits.max_records_per_second;
    for phase in &plan.phases {
        at_most("phases[].recordsPerSecond", phase.rate, max_rate, "--max-records-per-second")?;
    }
    at_most(
        "stream.warmThroughput.mibPerSecond",
        plan.warm_mib_per_second.unwrap_or(0),
        limits.max_warm_mib_per_second,
        "--max-warm-mib-per-second",
    )?;
    if !limits.regions.contains(&plan.region) {
        return Err(LimitError::Region { region: plan.region.clone(), allowed: limits.regions.join(", ") });
    }
    let AllowList { images, subnets, security_groups } = &limits.allow_list;
    let fargate = &plan.fargate;
    all_listed("generator.image", std::slice::from_ref(&plan.image), images, "--allow-image")?;
    all_listed("generator.fargate.subnets", &fargate.subnets, subnets, "--allow-subnet")?;
    all_listed(
        "generator.fargate.securityGroups",
        &fargate.security_groups,
        security_groups,
        "--allow-security-group",
    )
}

fn all_listed(
    field: &'static str,
    requested: &[String],
    listed: &[String],
    flag: &'static str,
) -> Result<(), LimitError> {
    match requested.iter().find(|name| !is_listed(listed, name)) {
        Some(name) => Err(LimitError::NotAllowed { field, requested: name.clone(), flag }),
        None => Ok(()),
    }
}

fn at_most(field: &'static str, requested: u32, limit: u32, flag: &'static str) -> Result<(), LimitError> {
    if requested > limit {
        return Err(LimitError::AboveLimit { field, requested, limit, flag });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{WarmThroughputMode, WarmThroughputSpec};
    use crate::plan::tests::defaults;

    fn limits() -> Limits {
        let listed = AllowList { images: vec!["team/*".into()], ..AllowList::default() };
        Limits {
            regions: vec!["us-east-1".into(), "eu-west-1".into()],
            allow_list: listed.and_defaults(&defaults()),
            max_records_per_second: 200_000,
            max_tasks: 100,
            max_warm_mib_per_second: 200,
        }
    }

    fn error(change: impl FnOnce(&mut KinesisDemoSpec)) -> String {
        let mut spec = KinesisDemoSpec::default();
        change(&mut spec);
        accepted_plan(&spec, &defaults(), &limits()).unwrap_err().to_string()
    }

    #[test]
    fn the_operators_defaults_and_allow_listed_names_are_accepted() {
        for image in ["generator:1", "team/generator:9"] {
            let mut spec = KinesisDemoSpec::default();
            spec.generator.image = Some(image.into());
            spec.generator.fargate.subnets = vec!["subnet-0a1b2c3d".into()];
            assert_eq!(accepted_plan(&spec, &defaults(), &limits()).unwrap().image, image);
        }
    }

    #[test]
    fn errors_name_the_field_the_limit_and_the_flag() {
        assert_eq!(
            error(|s| s.region = Some("mars-north-1".into())),
            "region mars-north-1: this operator allows us-east-1, eu-west-1; use one of these, or allow it with --region"
        );
        assert_eq!(
            error(|s| s.stream.warm_throughput =
                WarmThroughputSpec { mode: WarmThroughputMode::Fixed, mib_per_second: Some(201) }),
            "stream.warmThroughput.mibPerSecond: 201 is above this operator's limit of 200 (--max-warm-mib-per-second)"
        );
        assert_eq!(
            error(|s| s.phases[2].records_per_second = 250_000),
            "phases[].recordsPerSecond: 250000 is above this operator's limit of 200000 (--max-records-per-second)"
        );
        assert_eq!(
            error(|s| {
                s.generator.rate_per_task = 100;
                s.generator.max_tasks = 500;
            }),
            "generator.maxTasks: 500 is above this operator's limit of 100 (--max-tasks)"
        );
        assert_eq!(
            error(|s| s.generator.image = Some("other/generator:1".into())),
            "generator.image: this operator does not allow other/generator:1; leave the field out to use the operator's default, or allow it with --allow-image"
        );
        assert_eq!(
            error(|s| s.generator.fargate.subnets = vec!["subnet-0a1b2c3d".into(), "subnet-00000001".into()]),
            "generator.fargate.subnets: this operator does not allow subnet-00000001; leave the field out to use the operator's default, or allow it with --allow-subnet"
        );
        assert_eq!(
            error(|s| s.generator.fargate.security_groups = vec!["sg-00000001".into()]),
            "generator.fargate.securityGroups: this operator does not allow sg-00000001; leave the field out to use the operator's default, or allow it with --allow-security-group"
        );
    }

    #[test]
    fn lower_limits_do_not_affect_a_plan() {
        let plan = accepted_plan(&KinesisDemoSpec::default(), &defaults(), &limits()).unwrap();
        let lower = Limits { max_tasks: 1, ..limits() };
        assert!(check_limits(&plan, &lower).is_err());
        assert_eq!(Plan::new(&KinesisDemoSpec::default(), &defaults()), Ok(plan));
    }
}
