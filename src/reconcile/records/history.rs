//! The record of a run in the making. In: what each reconcile stored, and what an earlier leader
//! recorded. Out: steps, marks and gaps. Pure.

use std::time::Duration;

use kinesis_demo_api::run_record::{
    CapacityStep, Gap, KinesisDemoRunStatus, MOST_GAPS, MOST_MARKS, MOST_STEPS, Mark, MarkKind, TrafficCells,
};
use kinesis_demo_api::status::Stage;
use kinesis_demo_api::{KinesisDemoStatus, MicroTime};

use crate::kubernetes::events::RunEvent;

/// A run in which records arrive is observed at least this often. A longer time is a gap.
const OBSERVED_EVERY: Duration = Duration::from_secs(30);

/// A mark is not repeated within this many marks.
const REPEATS: usize = 20;

/// What is known of one run.
#[derive(Clone, Debug)]
pub struct RunHistory {
    pub namespace: String,
    pub demo: String,
    pub uid: String,
    pub run: u32,
    /// As last stored.
    pub status: KinesisDemoStatus,
    pub steps: Vec<CapacityStep>,
    pub marks: Vec<Mark>,
    pub marks_omitted: u32,
    pub gaps: Vec<Gap>,
    /// The traffic at the run's end. Afterwards it does not change.
    pub settled_cells: Option<TrafficCells>,
    first_seen_at: MicroTime,
    /// The stage in which this leader saw the run first, and when it was entered.
    first_stage: Option<(Stage, Mark)>,
    last_seen_at: MicroTime,
}

impl RunHistory {
    /// The history of a run that this leader sees for the first time.
    pub fn new(
        namespace: &str,
        demo: &str,
        uid: &str,
        run: u32,
        status: KinesisDemoStatus,
        now: MicroTime,
    ) -> Self {
        let step = CapacityStep::of(&status, now);
        let first_stage =
            status.stage.zip(status.run.as_ref()).map(|(stage, run)| (stage, Mark::stage(stage, run)));
        Self {
            namespace: namespace.to_owned(),
            demo: demo.to_owned(),
            uid: uid.to_owned(),
            run,
            steps: vec![step],
            status,
            marks: Vec::new(),
            marks_omitted: 0,
            gaps: Vec::new(),
            settled_cells: None,
            first_seen_at: now,
            first_stage,
            last_seen_at: now,
        }
    }

    /// Whether the run is over, so that its record is final.
    pub fn is_final(&self) -> bool {
        self.status.stage.is_some_and(Stage::is_terminal)
    }

    /// Takes the status that was just stored, and the Events that were published.
    pub fn observe(&mut self, status: KinesisDemoStatus, run_events: &[RunEvent], now: MicroTime) {
        let runs = self.status.stage == Some(Stage::Running);
        if runs && now.since(self.last_seen_at) > OBSERVED_EVERY {
            self.add_gap(Gap { from: self.last_seen_at, until: now });
        }
        self.last_seen_at = now;
        for run_event in run_events {
            if let Some(kind) = kind_of(run_event) {
                self.mark(mark_of(kind, run_event, &status, now));
            }
        }
        self.note_capacity(&status, now);
        self.status = status;
    }

    fn note_capacity(&mut self, status: &KinesisDemoStatus, now: MicroTime) {
        let step = CapacityStep::of(status, now);
        let Some(before) = self.steps.last().copied() else {
            self.steps.push(step);
            return;
        };
        if step.is_like(&before) {
            return;
        }
        for mark in Mark::of_capacity(&before, &step) {
            if !self.marks.last_mut().is_some_and(|last| last.absorb(&mark)) {
                self.mark(mark);
            }
        }
        self.steps.push(step);
        thin(&mut self.steps, MOST_STEPS);
    }

    fn mark(&mut self, mark: Mark) {
        let is_same = |other: &Mark| other.kind == mark.kind && other.text == mark.text;
        if self.marks.iter().rev().take(REPEATS).any(is_same) {
            return;
        }
        self.marks.push(mark);
        self.bound_marks();
    }

    fn bound_marks(&mut self) {
        while self.marks.len() > MOST_MARKS {
            // The oldest of the least important kind.
            let Some(least) = self.marks.iter().map(|mark| mark.kind).max() else { return };
            let Some(index) = self.marks.iter().position(|mark| mark.kind == least) else { return };
            self.marks.remove(index);
            self.marks_omitted = self.marks_omitted.saturating_add(1);
        }
    }

    fn add_gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
        while self.gaps.len() > MOST_GAPS {
            self.gaps.remove(0);
        }
    }

    /// Takes over what an earlier leader recorded before this one saw the run.
    pub fn continue_from(&mut self, recorded: &KinesisDemoRunStatus) {
        let first = self.first_seen_at;
        let earlier = recorded.capacity.iter().filter(|step| step.at < first).copied();
        let mut steps: Vec<CapacityStep> = earlier.collect();
        for step in std::mem::take(&mut self.steps) {
            if steps.last().is_none_or(|last| !last.is_like(&step)) {
                steps.push(step);
            }
        }
        thin(&mut steps, MOST_STEPS);
        self.steps = steps;

        // What the earlier leader saw after its last write is lost, but not where that led to.
        let missed = self.first_stage.clone().filter(|(stage, _)| recorded.stage != Some(*stage));
        let own = std::mem::take(&mut self.marks);
        self.marks = recorded.marks.iter().filter(|mark| mark.at < first).cloned().collect();
        let is_new = |mark: &Mark| !self.marks.contains(mark) && !own.contains(mark);
        let entered = missed.as_ref().map(|(_, mark)| mark.clone()).filter(is_new);
        self.marks.extend(entered);
        self.marks.extend(own);
        self.marks_omitted = self.marks_omitted.saturating_add(recorded.marks_omitted);
        self.bound_marks();

        let own = std::mem::take(&mut self.gaps);
        self.gaps = recorded.gaps.iter().filter(|gap| gap.until < first).copied().collect();
        let may_differ = |stage: Stage| if stage == Stage::Running { WRITE_EVERY } else { WRITE_ANYWAY };
        if let (Some(at), Some(stage)) = (recorded.recorded_at, recorded.stage)
            && !stage.is_terminal()
            && (missed.is_some() || first.since(at) > may_differ(stage) + Duration::from_secs(2))
        {
            self.add_gap(Gap { from: at, until: first });
        }
        own.into_iter().for_each(|gap| self.add_gap(gap));
    }
}

/// The shortest time between two writes of a record while its run is not over.
pub const WRITE_EVERY: Duration = Duration::from_secs(10);

/// A record is written this often even if nothing has changed: it says how long the run was
/// observed.
pub const WRITE_ANYWAY: Duration = Duration::from_secs(60);

/// Removes the shortest steps until `most` are left. First and last stay.
fn thin(steps: &mut Vec<CapacityStep>, most: usize) {
    while steps.len() > most.max(2) {
        let lengths = steps.windows(2).enumerate().skip(1);
        let shortest = lengths.min_by_key(|(_, pair)| match pair {
            [step, next] => next.at.since(step.at),
            _ => Duration::MAX,
        });
        let Some((index, _)) = shortest else { return };
        steps.remove(index);
    }
}

/// The kind of mark for an Event; `None` for what the record has elsewhere.
fn kind_of(run_event: &RunEvent) -> Option<MarkKind> {
    Some(match run_event.reason.as_str() {
        // `phases` has the instants of phases, `capacity` the tasks.
        "PhaseStarted" | "SlotsChanged" | "ServiceResized" | "ResourceRemoved" => return None,
        "ThrottlingBegan" => MarkKind::Throttle,
        "ControlLapsed" | "ScheduleMoved" => MarkKind::Lapse,
        "RequestAccepted" | "RequestRefused" => MarkKind::Request,
        "SilentTasksReplaced" | "TaskFailed" | "TasksMissing" => MarkKind::Tasks,
        _ if run_event.action.starts_with("EnterStage/") => MarkKind::Stage,
        _ if run_event.action.starts_with("CallAws/") => MarkKind::Refusal,
        _ if run_event.action == "CheckPrerequisites" => MarkKind::Refusal,
        // The stage that follows says the same.
        _ if run_event.action.starts_with("EndTraffic/") => return None,
        _ => MarkKind::Other,
    })
}

/// The mark of an Event. What the status tells, too, is marked as by everybody who has the status.
fn mark_of(kind: MarkKind, run_event: &RunEvent, status: &KinesisDemoStatus, now: MicroTime) -> Mark {
    let RunEvent { reason, note, action, .. } = run_event;
    let about = action.split_once('/').map_or("", |(_, about)| about);
    match (kind, status.stage, &status.run, &status.last_request) {
        // `SendRecords/run-3/peak`: a phase's name has no slash.
        (MarkKind::Throttle, ..) => Mark::throttled(about.rsplit('/').next().unwrap_or_default(), now),
        (MarkKind::Stage, Some(stage), Some(run), _) if *reason == stage.to_string() => {
            Mark::stage(stage, run)
        }
        (MarkKind::Stage, ..) => Mark::new(now, kind, reason),
        (MarkKind::Request, _, _, Some(answered)) if answered.id == about => Mark::request(answered),
        _ => Mark::new(now, kind, note),
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
