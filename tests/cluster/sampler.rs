//! What is seen from outside while something happens. In: a release, and the name of a run. Out: a sample every few tenths of a second: the
//! sandbox's state, the tasks' Pods, the object, the Lease. Reads only.

use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::control::ControlDocument;
use kubectl_kinesisdemo::demo::boundaries::Arrivals;
use serde_json::Value;

use crate::installed::Installed;
use crate::place::Place;

const EVERY: Duration = Duration::from_millis(300);

/// One look. What could not be read is absent.
pub struct Sample {
    pub at: Timestamp,
    pub state: Option<Value>,
    /// Names of the Pods that run tasks.
    pub pods: Vec<String>,
    pub demo: Option<KinesisDemo>,
    pub leader: Option<(String, u64)>,
}

impl Sample {
    /// The phase in which the object is.
    pub fn phase(&self) -> Option<&str> {
        Some(self.demo.as_ref()?.status.as_ref()?.phase.as_ref()?.name.as_str())
    }

    /// The epoch under which the status was last claimed.
    pub fn claimed_epoch(&self) -> Option<u64> {
        Some(self.demo.as_ref()?.status.as_ref()?.control.as_ref()?.epoch)
    }

    /// The control document as the tasks read it, with the parameter's version.
    pub fn document(&self) -> Option<(u64, ControlDocument)> {
        let parameter = &self.state.as_ref()?["ssm"]["parameters"]["us-east-1"][0];
        let text = parameter["Value"].as_str()?;
        Some((parameter["Version"].as_u64()?, serde_json::from_str(text).unwrap()))
    }

    /// Whether there is a stream that is not on its way out.
    pub fn has_stream(&self) -> bool {
        let streams = self.state.as_ref().and_then(|state| state["kinesis"]["streams"].as_array());
        streams.into_iter().flatten().any(|stream| stream["StreamStatus"] != "DELETING")
    }

    /// The tasks that ECS says are running.
    pub fn running_tasks(&self) -> usize {
        let tasks =
            self.state.as_ref().and_then(|state| state["ecs"]["regions"]["us-east-1"]["tasks"].as_array());
        tasks.into_iter().flatten().filter(|task| task["running"] == true).count()
    }
}

/// Does `work`, and looks meanwhile.
pub async fn sample_during<T>(
    place: &Place,
    installed: &Installed<'_>,
    run: &str,
    work: impl Future<Output = T>,
) -> (Vec<Sample>, T) {
    let mut samples = Vec::new();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return (samples, done),
            sample = sample(place, installed, run) => samples.push(sample),
        }
    }
}

async fn sample(place: &Place, installed: &Installed<'_>, run: &str) -> Sample {
    let (state, pods, demo, leader) = tokio::join!(
        installed.page("state"),
        installed.task_pods(),
        place.runs.fetch_if_present(run),
        installed.leader()
    );
    let pods = pods.into_iter().filter_map(|pod| pod.metadata.name).collect();
    let sample = Sample { at: Timestamp::now(), state, pods, demo: demo.ok().flatten(), leader };
    tokio::time::sleep(EVERY).await;
    sample
}

/// What one stream has taken: how many records, and when.
pub async fn arrivals(installed: &Installed<'_>, stream_arn: &str) -> (u64, Arrivals) {
    let page = installed.page(&format!("arrivals?stream={stream_arn}")).await.expect("the sandbox answers");
    let stream = &page["streams"][0];
    let records = stream["totals"]["records"].as_u64().expect("the stream took records");
    (records, serde_json::from_value(stream.clone()).unwrap())
}

/// When the last record arrived.
pub fn last_arrival(arrivals: &Arrivals) -> Timestamp {
    arrivals
        .buckets
        .iter()
        .filter(|bucket| bucket.records > 0)
        .map(|bucket| bucket.at)
        .max()
        .expect("records arrived")
}
