//! Series of tasks and stream over a run, sampled whenever the status changes. In: objects as they
//! are observed. Out: series. Pure.

use jiff::Timestamp;
use kinesis_demo_api::{KinesisDemo, MicroTime};
use serde::Serialize;

/// How many tasks were desired, and how many were running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSample {
    pub at: MicroTime,
    pub desired: u32,
    pub running: u32,
}

/// The stream's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamSample {
    pub at: MicroTime,
    pub shards: u32,
    pub warm_target: u32,
    pub warm_current: u32,
}

/// The series of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Samples {
    pub tasks: Vec<TaskSample>,
    pub stream: Vec<StreamSample>,
}

impl Samples {
    /// Adds the values of this object that differ from the last sample.
    pub fn take(&mut self, demo: &KinesisDemo, now: Timestamp) {
        let Some(status) = &demo.status else { return };
        let at = MicroTime::from(now);
        if let Some(generators) = &status.generators {
            let sample = TaskSample { at, desired: generators.desired, running: generators.running };
            let same = |last: &TaskSample| TaskSample { at, ..*last } == sample;
            if !self.tasks.last().is_some_and(same) {
                self.tasks.push(sample);
            }
        }
        // A deleted stream is not a change of capacity.
        if let Some(stream) = status.stream.as_ref().filter(|_| !status.is_stream_deleted()) {
            let (warm_target, warm_current) = stream.warm.map_or((0, 0), |warm| (warm.target, warm.current));
            let sample = StreamSample { at, shards: stream.shards, warm_target, warm_current };
            let same = |last: &StreamSample| StreamSample { at, ..*last } == sample;
            if !self.stream.last().is_some_and(same) {
                self.stream.push(sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn demo(running: u32, shards: u32) -> KinesisDemo {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "metadata": {"name": "a"}, "spec": {},
            "status": {
                "generators": {"desired": 10, "running": running, "admitted": 0},
                "stream": {"name": "s", "arn": "arn", "status": "ACTIVE", "shards": shards},
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_sample_is_added_only_when_its_value_changes() {
        let mut samples = Samples::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        samples.take(&demo(0, 4), at(1));
        samples.take(&demo(10, 4), at(2));
        samples.take(&demo(10, 4), at(3));
        samples.take(&demo(10, 8), at(4));
        let tasks: Vec<_> =
            samples.tasks.iter().map(|sample| (sample.at.timestamp(), sample.running)).collect();
        assert_eq!(tasks, [(at(1), 0), (at(2), 10)]);
        let shards: Vec<_> =
            samples.stream.iter().map(|sample| (sample.at.timestamp(), sample.shards)).collect();
        assert_eq!(shards, [(at(1), 4), (at(4), 8)]);
    }
}
