//! One run as it goes on. In: the object's statuses, about one a second; the stored record of the
//! run, which the operator writes at most every ten seconds. Out: one `KinesisDemoRun` as of the
//! newer of the two: the record, and after it what the statuses show. Pure.
//!
//! Statuses have totals since the run began. So whatever was missed or came twice, the points of a
//! phase add up to the phase's totals ([`points`]).

mod marks;
mod points;
#[cfg(test)]
mod tests;

use kinesis_demo_api::run_record::{
    CapacityStep, DEMO_LABEL, KinesisDemoRunSpec, MOST_MARKS, MOST_STEPS, Mark, TrafficColumns,
    date_throttles, record_name, settings,
};
use kinesis_demo_api::status::{PhaseReport, RunStatus, TotalsStatus};
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, KinesisDemoStatus, MicroTime};
use kube::Resource;
use kube::api::ObjectMeta;

use points::Reading;

/// How many readings of the totals are kept. Older ones are thinned out, which merges points.
const MOST_READINGS: usize = 400;

/// The current run of one object, as far as it was observed.
#[derive(Clone, Debug, Default)]
pub struct LiveRun {
    /// The object as last observed.
    demo: Option<Box<KinesisDemo>>,
    readings: Vec<Reading>,
    steps: Vec<CapacityStep>,
    marks: Vec<Mark>,
}

impl LiveRun {
    /// Takes the object as observed at `now`. An older version of it is ignored. Another run, or
    /// another object of this name, starts anew.
    pub fn observe(&mut self, demo: &KinesisDemo, now: MicroTime) {
        if let Some(last) = &self.demo {
            if is_older(demo, last) {
                return;
            }
            if identity(demo) != identity(last) {
                *self = Self::default();
            }
        }
        if let Some(status) = &demo.status {
            self.read_traffic(status);
            let before = self.demo.as_ref().and_then(|demo| demo.status.as_ref());
            marks::append(&mut self.marks, before, status, now);
            self.read_capacity(status, now);
            let surplus = self.marks.len().saturating_sub(MOST_MARKS);
            self.marks.drain(..surplus);
        }
        self.demo = Some(Box::new(demo.clone()));
    }

    /// The object as last observed.
    #[must_use]
    pub fn demo(&self) -> Option<&KinesisDemo> {
        self.demo.as_deref()
    }

    /// The name that the record of this run has or would have.
    #[must_use]
    pub fn record_name(&self) -> Option<String> {
        let (uid, number) = identity(self.demo()?);
        Some(record_name(self.demo()?.metadata.name.as_deref()?, uid, number?))
    }

    fn read_traffic(&mut self, status: &KinesisDemoStatus) {
        let Some(reading) = Reading::of(status) else { return };
        // The same ledgers, read once; a later status of them is more complete.
        self.readings.retain(|earlier| earlier.sampled_at < reading.sampled_at);
        self.readings.push(reading);
        if self.readings.len() > MOST_READINGS {
            let mut index = 0;
            self.readings.retain(|_| {
                index += 1;
                index > MOST_READINGS / 2 || index % 2 == 1
            });
        }
    }

    fn read_capacity(&mut self, status: &KinesisDemoStatus, at: MicroTime) {
        let step = CapacityStep::of(status, at);
        let is_known =
            status.generators.is_some() || (status.stream.is_some() && !status.is_stream_deleted());
        if is_known && !self.steps.last().is_some_and(|last| last.is_like(&step)) {
            self.steps.push(step);
        }
        let surplus = self.steps.len().saturating_sub(MOST_STEPS);
        self.steps.drain(..surplus);
    }

    /// The run as of now: its record, if there is one, continued by what was observed since. None
    /// before the object's first run.
    #[must_use]
    pub fn merged(&self, record: Option<&KinesisDemoRun>) -> Option<KinesisDemoRun> {
        let demo = self.demo()?;
        let status = demo.status.as_ref()?;
        let run = status.run.as_ref()?;
        let recorded = record.and_then(|record| record.status.as_ref());
        if let Some(record) = record.filter(|_| recorded.is_some_and(|status| status.finished_at.is_some())) {
            return Some(record.clone());
        }
        let mut merged = match record {
            Some(record) => record.clone(),
            None => unrecorded(demo, run)?,
        };
        let mut after = recorded.cloned().unwrap_or_default();
        let covered = after.recorded_at;
        let sampled_at = status.traffic.as_ref().map(|traffic| traffic.sampled_at);
        if covered.is_none() || sampled_at >= covered || status.stage > after.stage {
            after.describe(status);
        }
        let origin = after.traffic.as_ref().map(|columns| columns.origin);
        let stored: Vec<_> = after.traffic.iter().flat_map(TrafficColumns::points).collect();
        let points = points::continued(stored, &self.readings, &after);
        let first = points.iter().map(|point| point.from).min();
        if let Some(first) = first {
            after.traffic =
                Some(TrafficColumns::of(&points, origin.map_or(first, |origin| origin.min(first))));
        }
        let is_later = |at: MicroTime| covered.is_none_or(|covered| at > covered);
        for step in self.steps.iter().filter(|step| is_later(step.at)) {
            if !after.capacity.last().is_some_and(|last| last.is_like(step)) {
                after.capacity.push(*step);
            }
        }
        let later: Vec<Mark> = self
            .marks
            .iter()
            .filter(|mark| {
                is_later(mark.at) && !after.marks.iter().any(|stored| marks::is_same(stored, mark))
            })
            .cloned()
            .collect();
        after.marks.extend(later);
        date_throttles(&mut after.marks, &after.phases, &points);
        merged.status = Some(after);
        Some(merged)
    }
}

/// The object's uid and the number of its run.
fn identity(demo: &KinesisDemo) -> (&str, Option<u32>) {
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref());
    (demo.metadata.uid.as_deref().unwrap_or_default(), run.map(|run| run.number))
}

/// Whether `demo` is from before `last`: an older version of the object, or an older object.
fn is_older(demo: &KinesisDemo, last: &KinesisDemo) -> bool {
    let created = |demo: &KinesisDemo| demo.metadata.creation_timestamp.as_ref().map(|time| time.0);
    if demo.metadata.uid != last.metadata.uid {
        return created(demo) < created(last);
    }
    let version = |demo: &KinesisDemo| demo.metadata.resource_version.as_ref()?.parse::<u64>().ok();
    match (version(demo), version(last)) {
        (Some(version), Some(last)) => version < last,
        _ => false,
    }
}

/// A record without measurements, for a run of which none is stored.
fn unrecorded(demo: &KinesisDemo, run: &RunStatus) -> Option<KinesisDemoRun> {
    let (name, uid) = (demo.metadata.name.clone()?, demo.metadata.uid.clone().unwrap_or_default());
    let effective = run.effective.as_ref();
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    Some(KinesisDemoRun {
        metadata: ObjectMeta {
            name: Some(record_name(&name, &uid, run.number)),
            namespace: demo.meta().namespace.clone(),
            labels: Some([(DEMO_LABEL.to_owned(), name.clone())].into()),
            ..ObjectMeta::default()
        },
        spec: KinesisDemoRunSpec {
            demo: name,
            demo_uid: uid,
            run: run.number,
            account_id: text(effective.map(|effective| &effective.account_id)),
            region: text(effective.map(|effective| &effective.region)),
            stream_name: text(effective.map(|effective| &effective.stream_name)),
            settings: settings(effective.map_or(&demo.spec, |effective| &effective.spec)),
            operator_version: String::new(),
        },
        status: None,
    })
}

/// When a phase's traffic ends: by the schedule, or when the traffic was stopped.
fn end_of(phase: &PhaseReport, traffic_ends_at: Option<MicroTime>) -> MicroTime {
    let stopped = traffic_ends_at.map_or(phase.ends_at, |stopped| stopped.min(phase.ends_at));
    stopped.max(phase.starts_at)
}

/// The counts that a point has, in one order.
fn counts(totals: &TotalsStatus) -> points::Counts {
    let TotalsStatus { scheduled, offered, accepted, throttled, failed, dropped, unknown, .. } = totals;
    [*scheduled, *offered, *accepted, *throttled, *failed, *dropped, *unknown]
}
