//! The records that the gates of all tasks offer and the records that the accounting assigns to
//! them are the same function of the plan. For arbitrary interruptions, slots and ticks, both add
//! up to the plan's integral exactly.

use proptest::prelude::*;

use super::*;
use crate::control::gate::{Gate, TaskLimits};
use crate::control::{Content, ControlDocument, ControlState, SCHEMA};
use crate::demo::status::Interruption;
use crate::interruptions::with_interruption;
use crate::plan::PlannedPhase;
use crate::time::Now;

const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);
const TASKS: usize = 5;

fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn task(number: usize) -> TaskId {
    TaskId::from_arn(&format!("{number:08x}"))
}

fn now(at: u64) -> Now {
    Now { wall: T0 + micros(at), running: micros(at) }
}

/// A version of the control document: the tasks that send, how long it lasts, and the pause before
/// the next one.
#[derive(Clone, Debug)]
struct Version {
    holders: Vec<usize>,
    lasts: u64,
    pause: u64,
}

fn versions(fewest: usize) -> impl Strategy<Value = Vec<Version>> {
    let holders = prop::collection::btree_set(0..TASKS, fewest..=TASKS)
        .prop_flat_map(|tasks| Just(tasks.into_iter().collect::<Vec<_>>()).prop_shuffle());
    let pause = prop_oneof![Just(0_u64), 1_u64..40_000_000];
    let version = (holders, 1_u64..30_000_000, pause);
    prop::collection::vec(version.prop_map(|(holders, lasts, pause)| Version { holders, lasts, pause }), 1..7)
}

fn phases() -> impl Strategy<Value = Vec<PlannedPhase>> {
    let phase = (1_u64..20_000, 0_u32..3_000, prop::option::of(1_u64..20_000));
    prop::collection::vec(phase, 1..4).prop_map(|phases| {
        let planned = phases.into_iter().enumerate().map(|(index, (length, rate, ramp))| PlannedPhase {
            name: format!("p{index}"),
            duration: Duration::from_millis(length),
            rate,
            ramp: Duration::from_millis(ramp.unwrap_or(0).min(length)),
            content: Content::Viral,
            tasks: 1,
        });
        planned.collect()
    })
}

/// The read lease in seconds for tests that do not test the read lease.
const LONG: u32 = 100_000;

/// The result of a simulation: the records that each task's gate released per phase, and the
/// operator's record of the assignments.
struct Simulation {
    offered: BTreeMap<(usize, String), u64>,
    assignments: Vec<Assignment>,
    timeline: Timeline,
    until: u64,
    read_lease: u32,
}

/// Simulates `versions`. Every version is read when it is written, takes effect at once, and knows
/// only the interruptions before it. The last one lasts until the schedule is over. A read is valid
/// for `read_lease` seconds; a task whose read lease ends sends nothing more of the version.
fn simulate(
    phases: &[PlannedPhase],
    versions: &[Version],
    ticks: &[(usize, u64)],
    cap: u32,
    read_lease: u32,
) -> Simulation {
    let far = 1_000_000_000;
    let limits = TaskLimits {
        run: 1,
        deadline: T0 + micros(far),
        max_records_per_second: 3_000,
        longest_read_lease: Duration::MAX,
    };
    let mut gates: Vec<_> = (0..TASKS).map(|number| Gate::new(task(number), limits, now(0))).collect();
    let mut offered: BTreeMap<(usize, String), u64> = BTreeMap::new();
    let (mut interruptions, mut assignments, mut from) = (Vec::new(), Vec::new(), 0);
    for (index, version) in versions.iter().enumerate() {
        let is_last = index + 1 == versions.len();
        let until = if is_last { far } else { from + version.lasts };
        let resumes = if is_last { far } else { until + version.pause };
        let timeline = Timeline::new(phases, T0, &interruptions);
        let document = ControlDocument {
            schema: SCHEMA,
            epoch: 1,
            version: index as u64 + 1,
            run: 1,
            state: ControlState::Run,
            effective_at: T0 + micros(from),
            valid_until: T0 + micros(until),
            ends_by: T0 + micros(far),
            read_every_seconds: 1,
            read_lease_seconds: read_lease,
            slots: version.holders.iter().map(|number| Some(task(*number))).collect(),
            segments: timeline.segments_from(T0 + micros(from), cap).collect(),
        };
        let text = serde_json::to_string(&document).unwrap();
        for gate in &mut gates {
            gate.take(ControlDocument::parse(&text).unwrap(), micros(from), now(from));
        }
        let mut instants: Vec<_> =
            ticks.iter().filter(|(_, at)| (from..resumes).contains(at)).copied().collect();
        instants.sort_by_key(|(_, at)| *at);
        instants.extend((0..TASKS).map(|number| (number, resumes)));
        for (number, at) in instants {
            for due in gates[number].release(now(at)) {
                *offered.entry((number, due.segment.phase)).or_default() += due.count;
            }
        }
        for (slot, number) in version.holders.iter().enumerate() {
            assignments.push(Assignment {
                slot: slot as u32,
                task: task(*number),
                from: T0 + micros(from),
                until: Some(T0 + micros(until)),
            });
        }
        // The interruption begins at the last instant at which any task may have sent.
        interruptions = with_interruption(
            &interruptions,
            Interruption { from: T0 + micros(until), until: T0 + micros(resumes) },
        )
        .unwrap();
        from = resumes;
    }
    // After the last version nothing is scheduled any more, so its interruption moves nothing.
    Simulation {
        offered,
        assignments,
        timeline: Timeline::new(phases, T0, &interruptions),
        until: far,
        read_lease,
    }
}

fn check(
    simulation: &Simulation,
    phases: &[PlannedPhase],
    cap: u32,
    is_exact: bool,
) -> Result<(), TestCaseError> {
    let ledgers = Ledgers::default();
    let accounting_inputs = AccountingInputs {
        timeline: &simulation.timeline,
        assignments: &simulation.assignments,
        folded: &[],
        ledgers: &ledgers,
        cap_per_task: cap,
        unreported_for: Duration::ZERO,
        until: T0 + micros(simulation.until),
        cancelled_from: None,
    };
    for number in 0..TASKS * usize::from(simulation.read_lease == LONG) {
        let assigned = accounting_inputs.assigned(&task(number), T0, T0 + micros(simulation.until));
        for (index, phase) in phases.iter().enumerate() {
            let offered = simulation.offered.get(&(number, phase.name.clone())).copied().unwrap_or(0);
            prop_assert_eq!(
                offered,
                assigned.get(&index).copied().unwrap_or(0),
                "task {}, {}",
                number,
                &phase.name
            );
        }
    }
    let plan = Timeline::new(phases, T0, &[]);
    for (index, phase) in phases.iter().enumerate() {
        let by_tasks = (0..TASKS).filter_map(|number| simulation.offered.get(&(number, phase.name.clone())));
        let (offered, scheduled) =
            (by_tasks.sum::<u64>(), plan.scheduled(index, T0 + micros(simulation.until)));
        prop_assert_eq!(scheduled, simulation.timeline.scheduled(index, T0 + micros(simulation.until)));
        prop_assert!(offered <= scheduled, "{} offered, {} scheduled", offered, scheduled);
        prop_assert!(!is_exact || offered == scheduled, "{} offered, {} scheduled", offered, scheduled);
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_whole_plan_is_offered_with_any_interruptions_and_slots(
        phases in phases(), versions in versions(1),
        ticks in prop::collection::vec((0_usize..TASKS, 0_u64..300_000_000), 0..80),
    ) {
        check(&simulate(&phases, &versions, &ticks, 3_000, LONG), &phases, 3_000, true)?;
    }

    #[test]
    fn with_empty_slots_no_more_is_offered_than_scheduled(
        phases in phases(), versions in versions(0),
        ticks in prop::collection::vec((0_usize..TASKS, 0_u64..300_000_000), 0..80),
    ) {
        check(&simulate(&phases, &versions, &ticks, 3_000, LONG), &phases, 3_000, false)?;
    }
}

proptest! {
    /// It is unknown when exactly tasks that cannot read stopped sending. So an interruption begins
    /// at the last instant at which any of them may have sent. What they did not send by then is
    /// unoffered.
    #[test]
    fn with_expired_read_leases_no_more_is_offered_than_scheduled(
        phases in phases(), versions in versions(1), read_lease in 0_u32..20,
        ticks in prop::collection::vec((0_usize..TASKS, 0_u64..300_000_000), 0..80),
    ) {
        check(&simulate(&phases, &versions, &ticks, 3_000, read_lease), &phases, 3_000, false)?;
    }
}

#[test]
fn an_interruption_in_a_phase_loses_no_record() {
    let phase = |rate, ramp| PlannedPhase {
        name: "p".into(),
        duration: Duration::from_secs(15),
        rate,
        ramp: Duration::from_secs(ramp),
        content: Content::Viral,
        tasks: 1,
    };
    for (rate, ramp) in [(1_000, 0), (999, 7), (7, 15)] {
        let version = |lasts, pause| Version { holders: vec![0, 1, 2], lasts, pause };
        let versions =
            [version(3_333_333, 5_000_000), version(1, 1), version(4_444_444, 12_345_678), version(1, 0)];
        let phases = [phase(rate, ramp)];
        check(&simulate(&phases, &versions, &[], 3_000, LONG), &phases, 3_000, true).unwrap();
    }
}
