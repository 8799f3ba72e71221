//! Properties of all tasks' gates together, for arbitrary slot changes and reads.

use proptest::prelude::*;

use super::tests::{T0, a_document, at, gate_of, ms, segment, task};
use super::*;
use crate::schedule::ScheduleSegment;

/// A change of the slots. It takes effect `after_ms` after the previous one.
#[derive(Debug, Clone)]
struct Change {
    slots: Vec<Option<usize>>,
    after_ms: u64,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let slots = prop::collection::btree_set(0_usize..5, 0..5).prop_flat_map(|tasks| {
        let padded: Vec<_> = tasks.into_iter().map(Some).chain([None, None]).collect();
        Just(padded).prop_shuffle()
    });
    prop::collection::vec(
        (slots, 1_u64..9_000).prop_map(|(slots, after_ms)| Change { slots, after_ms }),
        1..6,
    )
}

fn version_of(number: u64, change: &Change, effective_at: u64, rates: [u32; 2]) -> ControlDocument {
    let span = |from: u64, until: u64| ScheduleSegment::whole(T0 + ms(from), T0 + ms(until), rates);
    ControlDocument {
        version: number,
        effective_at: T0 + ms(effective_at),
        valid_until: T0 + ms(600_000),
        slots: change.slots.iter().map(|slot| slot.map(task)).collect(),
        segments: vec![
            Segment { span: span(2_000, 17_000), ..segment("one", 0, 0, 0) },
            Segment { span: span(17_000, 29_000), ..segment("two", 0, 0, 0) },
        ],
        ..a_document()
    }
}

proptest! {
    /// Every task reads every version before it takes effect, and ticks at arbitrary times.
    /// Together they offer exactly the schedule.
    #[test]
    fn the_tasks_together_offer_exactly_the_schedule(
        changes in changes(), rates in [0_u32..30_000, 0_u32..30_000],
        ticks in prop::collection::vec((0_usize..5, 0_u64..35_000_000), 0..120),
    ) {
        let mut gates: Vec<_> = (0..5).map(gate_of).collect();
        let mut effective_at = 0;
        let mut versions = Vec::new();
        for (number, change) in (1..).zip(&changes) {
            versions.push((effective_at, version_of(number, change, effective_at, rates)));
            effective_at += change.after_ms;
        }
        // A version is read halfway between the previous version's effective time and its own.
        enum Event { Tick(usize), Read(usize) }
        let mut events: Vec<_> = ticks.into_iter().map(|(gate, us)| (us, Event::Tick(gate))).collect();
        let mut previous = 0;
        for (index, (from, _)) in versions.iter().enumerate() {
            events.push(((previous + from) * 500, Event::Read(index)));
            previous = *from;
        }
        events.sort_by_key(|(us, event)| (*us, matches!(event, Event::Tick(_))));
        let mut offered = 0_u64;
        let instant = |us: u64| Now { wall: T0 + Duration::from_micros(us), running: Duration::from_micros(us) };
        for (us, event) in events {
            match event {
                Event::Tick(gate) => offered += gates[gate].release(instant(us)).iter().map(|r| r.count).sum::<u64>(),
                Event::Read(index) => {
                    for gate in &mut gates {
                        gate.take(versions[index].1.clone(), Duration::from_micros(us), instant(us));
                        // Disables the read lease for this property.
                        gate.versions.iter_mut().for_each(|known| known.confirmed_at = Duration::from_secs(3_600));
                    }
                }
            }
        }
        for gate in &mut gates {
            offered += gate.release(at(60_000)).iter().map(|r| r.count).sum::<u64>();
        }
        let mut scheduled = 0_u64;
        let ends = versions.iter().skip(1).map(|(from, _)| *from).chain([60_000]);
        for ((from, document), until) in versions.iter().zip(ends) {
            let filled = document.slots.iter().flatten().count() as u64;
            for segment in document.segments.iter().filter(|_| filled > 0) {
                let limit = filled * u64::from(segment.cap_per_task);
                scheduled += segment.span.due(T0 + ms(until), limit) - segment.span.due(T0 + ms(*from), limit);
            }
        }
        prop_assert_eq!(offered, scheduled);
    }

    /// Versions are published at least one read lease before they take effect. Tasks read the
    /// published version, or fail to, at arbitrary times. No two tasks ever act on different
    /// versions at the same time.
    #[test]
    fn two_versions_are_never_in_force_at_once(
        changes in changes(), rates in [1_000_u32..30_000, 1_000_u32..30_000],
        published in prop::collection::vec(0_u64..4_000, 6),
        actions in prop::collection::vec((0_usize..5, any::<bool>(), 0_u64..40_000), 1..150),
    ) {
        let read_lease = 2_000;
        let mut versions = Vec::new();
        let mut previous = (0, 0);
        for ((number, change), delay) in (1..).zip(&changes).zip(published) {
            let published_at = previous.0 + delay;
            let effective_at = (published_at + read_lease).max(previous.1 + change.after_ms);
            previous = (published_at, effective_at);
            let mut document = version_of(number, change, effective_at, rates);
            document.read_lease_seconds = 2;
            versions.push((published_at, document));
        }
        let mut gates: Vec<_> = (0..5).map(gate_of).collect();
        let mut releases = Vec::new();
        let mut actions = actions;
        actions.sort_by_key(|(.., when)| *when);
        for (gate, reads, when) in actions {
            let newest = versions.iter().rfind(|(published_at, _)| *published_at <= when);
            match newest {
                Some((_, document)) if reads => drop(gates[gate].take(document.clone(), ms(when), at(when))),
                _ => releases.extend(gates[gate].release(at(when)).into_iter().map(|release| (gate, release))),
            }
        }
        for (number, gate) in gates.iter_mut().enumerate() {
            releases.extend(gate.release(at(60_000)).into_iter().map(|release| (number, release)));
        }
        for (one, first) in &releases {
            for (other, second) in releases.iter().filter(|(other, _)| other != one) {
                let overlap = first.from.max(second.from) < first.until.min(second.until);
                prop_assert!(!overlap || first.version == second.version, "{one} {first:?} / {other} {second:?}");
            }
        }
    }
}
