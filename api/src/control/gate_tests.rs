use super::*;
use crate::control::{Content, SCHEMA};
use crate::schedule::ScheduleSegment;

pub(super) const T0: MicroTime = MicroTime::from_micros(1_700_000_000_000_000);

const FAR: MicroTime = MicroTime::from_micros(T0.as_micros() + 3_600_000_000);

pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A segment of viral posts at one rate. `from` and `until` are milliseconds after T0.
pub(super) fn segment(phase: &str, from: u64, until: u64, rate: u32) -> Segment {
    Segment {
        phase: phase.to_owned(),
        span: ScheduleSegment::whole(T0 + ms(from), T0 + ms(until), [rate, rate]),
        content: Content::Viral,
        cap_per_task: 100_000,
    }
}

/// The instant `milliseconds` after T0, on synchronized clocks.
pub(super) fn at(milliseconds: u64) -> Now {
    Now { wall: T0 + ms(milliseconds), running: ms(milliseconds) }
}

pub(super) fn task(number: usize) -> TaskId {
    TaskId::from_arn(&format!("{number:08x}"))
}

/// Tasks 0 and 1 send 1,000 records/s from second 1 to second 11.
pub(super) fn a_document() -> ControlDocument {
    ControlDocument {
        schema: SCHEMA,
        epoch: 1,
        version: 1,
        run: 1,
        state: ControlState::Run,
        effective_at: T0,
        valid_until: T0 + ms(60_000),
        ends_by: T0 + ms(600_000),
        read_every_seconds: 1,
        read_lease_seconds: 15,
        slots: vec![Some(task(0)), Some(task(1))],
        segments: vec![segment("spike", 1_000, 11_000, 1_000)],
    }
}

fn limits() -> TaskLimits {
    TaskLimits {
        run: 1,
        deadline: FAR,
        max_records_per_second: 30_000,
        longest_read_lease: LONGEST_READ_LEASE,
    }
}

pub(super) fn gate_of(number: usize) -> Gate {
    Gate::new(task(number), limits(), at(0))
}

fn a_gate() -> Gate {
    gate_of(0)
}

fn released(gate: &mut Gate, milliseconds: u64) -> u64 {
    gate.release(at(milliseconds)).iter().map(|release| release.count).sum()
}

#[test]
fn a_task_sends_its_share_of_the_records_due_since_last_tick() {
    let mut gate = a_gate();
    assert_eq!(gate.take(a_document(), ms(0), at(100)), Reading::NewVersion);
    assert_eq!(gate.send_state(at(100)), SendState::Waits { until: T0 + ms(1_000) });
    assert_eq!(released(&mut gate, 1_000), 0);
    assert_eq!(gate.send_state(at(1_000)), SendState::Sends { phase: "spike".into() });
    let expected = DueRecords {
        version: (1, 1),
        segment: segment("spike", 1_000, 11_000, 1_000),
        share: Share { position: 0, of: 2 },
        count: 5,
        from: T0 + ms(1_000),
        until: T0 + ms(1_010),
    };
    assert_eq!(gate.release(at(1_010)), [expected]);
    assert_eq!(gate.release(at(1_010)), []);
    assert_eq!(released(&mut gate, 11_000) + 5, 5_000);
    assert_eq!(gate.send_state(at(11_000)), SendState::Finished);
    assert_eq!(released(&mut gate, 14_000), 0);
}

#[test]
fn a_task_without_a_slot_sends_nothing() {
    let mut gate = gate_of(7);
    gate.take(a_document(), ms(0), at(0));
    assert_eq!(released(&mut gate, 5_000), 0);
    assert_eq!(gate.send_state(at(5_000)), SendState::Finished);
    assert_eq!(gate.share(at(5_000)), None);
}

#[test]
fn records_due_before_the_first_document_are_not_sent() {
    let mut gate = a_gate();
    assert_eq!(gate.send_state(at(2_000)), SendState::Finished);
    gate.take(a_document(), ms(2_990), at(3_000));
    assert_eq!(released(&mut gate, 3_100), 50);
}

#[test]
fn a_version_applies_from_its_effective_time_to_the_microsecond() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    let alone = ControlDocument {
        version: 2,
        effective_at: T0 + ms(4_000),
        slots: vec![Some(task(0))],
        ..a_document()
    };
    let without_slot = ControlDocument {
        version: 3,
        effective_at: T0 + ms(5_000),
        slots: vec![Some(task(1))],
        ..a_document()
    };
    assert_eq!(gate.take(alone, ms(2_000), at(2_000)), Reading::NewVersion);
    assert_eq!(gate.take(without_slot, ms(2_500), at(2_500)), Reading::NewVersion);
    let releases = gate.release(at(6_000));
    let seen: Vec<_> = releases.iter().map(|r| (r.version, r.count, r.from, r.until)).collect();
    let second = |s: u64| T0 + ms(s * 1_000);
    // Each read first collects the records due so far, so version 1 is split at 2 s and at 2.5 s.
    assert_eq!(
        seen,
        [
            ((1, 1), 500, second(1), second(2)),
            ((1, 1), 250, second(2), T0 + ms(2_500)),
            ((1, 1), 750, T0 + ms(2_500), second(4)),
            ((1, 2), 1_000, second(4), second(5)),
        ]
    );
    assert_eq!(gate.send_state(at(6_000)), SendState::Finished);
    assert_eq!(gate.share(at(6_000)), None);
}

#[test]
fn a_newer_version_effective_earlier_replaces_the_pending_one() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    let pending = ControlDocument { version: 2, effective_at: T0 + ms(8_000), ..a_document() };
    let sooner =
        ControlDocument { version: 3, effective_at: T0 + ms(4_000), slots: vec![None], ..a_document() };
    gate.take(pending, ms(1_000), at(1_000));
    gate.take(sooner, ms(2_000), at(2_000));
    assert_eq!(released(&mut gate, 11_000), 1_500);
}

#[test]
fn a_renewal_applies_at_once_and_adds_segments() {
    let mut gate = a_gate();
    let short = ControlDocument { valid_until: T0 + ms(2_000), ..a_document() };
    gate.take(short.clone(), ms(0), at(0));
    let mut renewed = a_document();
    renewed.segments.push(segment("peak", 11_000, 12_000, 10_000));
    assert_eq!(gate.take(renewed, ms(1_500), at(1_500)), Reading::Renewal);
    assert_eq!(gate.take(short, ms(1_600), at(1_600)), Reading::Stale);
    assert_eq!(released(&mut gate, 11_000), 5_000);
    let peak = gate.release(at(12_000));
    assert_eq!((peak.len(), peak[0].segment.phase.as_str(), peak[0].count), (1, "peak", 5_000));
}

#[test]
fn a_later_version_does_not_revive_an_expired_one() {
    let mut gate = a_gate();
    gate.take(ControlDocument { valid_until: T0 + ms(2_000), ..a_document() }, ms(0), at(0));
    let pending = ControlDocument { version: 2, effective_at: T0 + ms(6_000), ..a_document() };
    gate.take(pending, ms(1_000), at(1_000));
    assert_eq!(released(&mut gate, 4_000), 500);
    assert_eq!(released(&mut gate, 7_000), 500);
}

#[test]
fn an_expired_operator_lease_closes_the_gate_until_renewal() {
    let mut gate = a_gate();
    gate.take(ControlDocument { valid_until: T0 + ms(3_000), ..a_document() }, ms(0), at(0));
    assert_eq!(released(&mut gate, 4_000), 1_000);
    assert_eq!(gate.send_state(at(4_000)), SendState::Lapsed);
    assert_eq!(gate.take(a_document(), ms(4_900), at(5_000)), Reading::Renewal);
    assert_eq!(released(&mut gate, 6_000), 500);
}

#[test]
fn only_reads_of_the_newest_document_renew_the_read_lease() {
    let long = ControlDocument { segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    let newer = ControlDocument { version: 2, ..long.clone() };
    let other_run = ControlDocument { run: 4, version: 9, ..long.clone() };
    for (read_again, reading, sent) in [
        (newer.clone(), Reading::Unchanged, 11_500),
        (long, Reading::Stale, 7_500),
        (other_run, Reading::ForeignRun, 7_500),
    ] {
        let mut gate = a_gate();
        gate.take(newer.clone(), ms(0), at(0));
        // The second read begins at 8 s and ends at 9 s. Its lease counts from the beginning.
        assert_eq!(gate.take(read_again, ms(8_000), at(9_000)), reading);
        assert_eq!(released(&mut gate, 40_000), sent, "{reading:?}");
        assert_eq!(gate.send_state(at(40_000)), SendState::Lapsed);
    }
}

#[test]
fn the_read_lease_is_measured_by_the_monotonic_clock() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    // The wall clock is two seconds behind: it shows second 4 when 6 s have passed. 15 s have
    // passed at its second 13.
    let behind = |running: u64| Now { wall: T0 + ms(running - 2_000), running: ms(running) };
    assert_eq!(gate.send_state(behind(6_000)), SendState::Sends { phase: "spike".into() });
    assert_eq!(gate.send_state(behind(15_000)), SendState::Finished);
    let endless =
        ControlDocument { version: 2, segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    gate.take(endless, ms(6_000), behind(6_000));
    let sent: u64 = gate.release(behind(30_000)).iter().map(|r| r.count).sum();
    assert_eq!(sent, 1_500 + 15_000 / 2);
}

#[test]
fn a_forged_document_cannot_stop_a_task_from_reading_the_next() {
    let forged = ControlDocument {
        read_every_seconds: 1_000_000,
        read_lease_seconds: 1_000_000,
        segments: vec![segment("spike", 0, 60_000, 1_000)],
        ..a_document()
    };
    assert_eq!(forged.read_every(), Duration::from_secs(10));
    let mut gate = a_gate();
    gate.take(forged, ms(0), at(0));
    assert_eq!(released(&mut gate, 60_000), 15_000, "half of the records due within 30 s of the read");
}

#[test]
fn a_renewal_may_change_how_often_the_document_is_read() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    let endless = vec![segment("spike", 1_000, 11_000, 1_000), segment("after", 11_000, 60_000, 1_000)];
    let slower = ControlDocument {
        valid_until: T0 + ms(70_000),
        read_every_seconds: 10,
        read_lease_seconds: 30,
        segments: endless,
        ..a_document()
    };
    assert_eq!(gate.take(slower, ms(1_000), at(1_000)), Reading::Renewal);
    assert_eq!(released(&mut gate, 60_000), 15_000, "from second 1 until 30 s after the read");
}

#[test]
fn a_wall_clock_set_back_releases_nothing_twice() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    assert_eq!(released(&mut gate, 6_000), 2_500);
    let set_back = |running: u64| Now { wall: T0 + ms(running - 3_000), running: ms(running) };
    assert_eq!(gate.release(set_back(7_000)), []);
    assert_eq!(gate.release(set_back(9_000)), []);
    assert_eq!(gate.release(set_back(10_000)).iter().map(|r| r.count).sum::<u64>(), 500);
}

#[test]
fn stop_applies_as_soon_as_it_is_read() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    let stop = ControlDocument {
        version: 2,
        state: ControlState::Stop,
        effective_at: T0 + ms(9_000),
        ..a_document()
    };
    gate.take(stop, ms(3_000), at(3_000));
    assert_eq!(released(&mut gate, 8_000), 1_000);
    assert_eq!(gate.send_state(at(8_000)), SendState::Finished);
    let resumed = ControlDocument { version: 3, effective_at: T0 + ms(9_500), ..a_document() };
    gate.take(resumed, ms(8_000), at(8_000));
    assert_eq!(gate.send_state(at(8_000)), SendState::Waits { until: T0 + ms(9_500) });
    assert_eq!(released(&mut gate, 11_000), 750);
}

#[test]
fn nothing_is_sent_past_the_end_of_the_run_or_the_deadline() {
    let long = ControlDocument { segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    let mut ended = a_gate();
    ended.take(ControlDocument { ends_by: T0 + ms(5_000), ..long.clone() }, ms(0), at(0));
    assert_eq!(released(&mut ended, 9_000), 2_500);
    assert_eq!(ended.send_state(at(9_000)), SendState::Finished);

    let mut capped = Gate::new(task(0), TaskLimits { deadline: T0 + ms(7_000), ..limits() }, at(0));
    capped.take(long, ms(0), at(0));
    assert_eq!(released(&mut capped, 9_000), 3_500);
    assert_eq!(capped.send_state(at(9_000)), SendState::Finished);
}

#[test]
fn a_read_after_a_missed_version_does_not_confirm_earlier_ones() {
    let long = ControlDocument { segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    for (next, sent) in [(2, 10_000), (3, 7_500)] {
        let mut gate = a_gate();
        gate.take(long.clone(), ms(0), at(0));
        let pending = ControlDocument {
            version: next,
            epoch: 2,
            effective_at: T0 + ms(20_000),
            slots: vec![Some(task(1))],
            ..long.clone()
        };
        gate.take(pending.clone(), ms(12_000), at(12_000));
        gate.take(pending, ms(14_000), at(14_000));
        assert_eq!(released(&mut gate, 30_000), sent, "version {next} after version 1");
    }
}

#[test]
fn a_document_beyond_the_plans_limits_is_ignored() {
    type Change<'a> = &'a dyn Fn(&mut ControlDocument);
    let ok = ControlDocument { segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    let with = |change: Change<'_>| {
        let mut document = ControlDocument { epoch: 1_000_000_000, version: 2, ..ok.clone() };
        change(&mut document);
        document
    };
    let ramp = |document: &mut ControlDocument| document.segments[0].span.rate = [0, 30_001];
    let twice = |document: &mut ControlDocument| document.segments.push(segment("spike", 59_999, 61_000, 1));
    let endless = |document: &mut ControlDocument| {
        document.segments[0].span.until = MicroTime::from_micros(i64::MAX);
    };
    let part = |document: &mut ControlDocument| {
        document.segments[0].span.part = Some(crate::schedule::Part { after: ms(0), of: Duration::MAX });
    };
    let cases: [(Change<'_>, &str); 4] = [
        (&ramp, "30001 records per second, the plan's highest rate is 30000"),
        (&twice, "not in order"),
        (&endless, "no segment of a plan"),
        (&part, "no segment of a plan"),
    ];
    for (change, message) in cases {
        for state in [ControlState::Run, ControlState::Stop] {
            let mut gate = a_gate();
            gate.take(ok.clone(), ms(0), at(0));
            let Reading::BeyondLimits(beyond) =
                gate.take(ControlDocument { state, ..with(change) }, ms(5_000), at(5_000))
            else {
                panic!("obeyed: {message}");
            };
            assert!(beyond.to_string().contains(message), "{beyond}");
            // It does not renew the read lease either: its 15 s count from the previous read.
            assert_eq!(released(&mut gate, 40_000), 7_500);
        }
    }
    // A very high epoch within the limits is an ordinary document, and so is one that ends after
    // the task's deadline.
    let mut gate = a_gate();
    let at_the_limit = |document: &mut ControlDocument| {
        document.segments[0].span.rate = [30_000, 30_000];
        document.ends_by = FAR + ms(3_600_000);
        document.segments.push(segment("peak", 60_000, 61_000, 1));
    };
    assert_eq!(gate.take(with(&at_the_limit), ms(0), at(0)), Reading::NewVersion);
    assert_eq!(released(&mut gate, 1_000), 15_000);
}

#[test]
fn ignoring_the_gap_rule_sends_too_long_after_a_missed_version() {
    let long = ControlDocument { segments: vec![segment("spike", 0, 60_000, 1_000)], ..a_document() };
    let pending = ControlDocument { version: 3, effective_at: T0 + ms(20_000), ..long.clone() };
    for (rule, sent) in [(GapRule::Obey, 7_500), (GapRule::Ignore, 10_000)] {
        let mut gate = Gate::with_gap_rule(task(0), limits(), rule, at(0));
        gate.take(long.clone(), ms(0), at(0));
        gate.take(pending.clone(), ms(12_000), at(12_000));
        assert_eq!(released(&mut gate, 20_000), sent, "{rule:?}");
    }
}

#[test]
fn due_records_can_be_counted_for_any_part_of_the_interval() {
    let mut gate = a_gate();
    gate.take(a_document(), ms(0), at(0));
    let due = gate.release(at(3_000)).remove(0);
    assert_eq!((due.count, due.within(T0, FAR)), (1_000, 1_000));
    assert_eq!(due.within(T0, T0 + ms(1_500)) + due.within(T0 + ms(1_500), FAR), 1_000);
    assert_eq!(due.within(T0 + ms(3_000), FAR), 0);
}

/// Somebody else writes a document with the known version's number. It changes nothing and does not
/// renew the read lease.
#[test]
fn a_known_version_with_other_content_is_ignored() {
    let forgeries: [fn(&mut ControlDocument); 6] = [
        |forged| forged.segments[0].span.rate = [20_000, 20_000],
        |forged| forged.segments[0].phase = "calm".into(),
        |forged| forged.segments[0].span.until = forged.segments[0].span.until + ms(5_000),
        |forged| forged.slots = vec![Some(task(0))],
        |forged| forged.ends_by = forged.ends_by + ms(1),
        |forged| forged.effective_at = forged.effective_at + ms(1),
    ];
    for (number, forge) in forgeries.into_iter().enumerate() {
        for later in [ms(0), ms(30_000)] {
            let mut gate = a_gate();
            gate.take(a_document(), ms(0), at(0));
            let mut forged = a_document();
            forge(&mut forged);
            forged.valid_until = forged.valid_until + later;
            assert_eq!(gate.take(forged, ms(10_000), at(10_000)), Reading::Contradiction, "{number}");
            assert_eq!(released(&mut gate, 11_000), 5_000, "{number}");
            // The read lease of the only successful read ends at second 15.
            let renewed = ControlDocument {
                valid_until: T0 + ms(90_000),
                segments: vec![
                    segment("spike", 1_000, 11_000, 1_000),
                    segment("peak", 11_000, 41_000, 1_000),
                ],
                ..a_document()
            };
            assert_eq!(gate.take(renewed, ms(14_000), at(14_000)), Reading::Renewal, "{number}");
        }
    }
}
