//! Samples the observable state during a test. In: a release, and the name of a run. Out: a sample
//! every few tenths of a second: the sandbox's state, the tasks' Pods, the object, the Lease. Only
//! reads, and uses watches to keep the load low, since the observed Pods may share their node with
//! the API server.

use std::fmt::Debug;
use std::future::ready;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join3;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_local_cluster::sandbox::boundaries::IngestStatistics;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{Config, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::installed::{Installed, LEASE, TASKS, holder};
use crate::test_cluster::{RUNS, SYSTEM, TestCluster};

const EVERY: Duration = Duration::from_millis(300);

/// One sample. Values that could not be read are absent.
pub struct Sample {
    pub at: Timestamp,
    pub state: Option<Value>,
    /// Names of the Pods that run tasks.
    pub pods: Vec<String>,
    pub demo: Option<KinesisDemo>,
    pub leader: Option<(String, u64)>,
}

impl Sample {
    /// The current phase of the object.
    pub fn phase(&self) -> Option<&str> {
        Some(self.demo.as_ref()?.status.as_ref()?.phase.as_ref()?.name.as_str())
    }

    /// The epoch of the last claim in the status.
    pub fn claimed_epoch(&self) -> Option<u64> {
        Some(self.demo.as_ref()?.status.as_ref()?.control.as_ref()?.epoch)
    }

    /// The control document as the tasks read it, with the parameter's version.
    pub fn document(&self) -> Option<(u64, ControlDocument)> {
        let parameter = &self.state.as_ref()?["ssm"]["parameters"]["us-east-1"][0];
        let text = parameter["Value"].as_str()?;
        Some((parameter["Version"].as_u64()?, serde_json::from_str(text).unwrap()))
    }

    /// Whether a stream exists that is not being deleted.
    pub fn has_stream(&self) -> bool {
        let streams = self.state.as_ref().and_then(|state| state["kinesis"]["streams"].as_array());
        streams.into_iter().flatten().any(|stream| stream["StreamStatus"] != "DELETING")
    }

    /// The number of tasks that ECS reports as running.
    pub fn running_tasks(&self) -> usize {
        let tasks =
            self.state.as_ref().and_then(|state| state["ecs"]["regions"]["us-east-1"]["tasks"].as_array());
        tasks.into_iter().flatten().filter(|task| task["running"] == true).count()
    }
}

/// Runs `work` and takes samples meanwhile.
pub async fn sample_during<T>(
    cluster: &TestCluster,
    installed: &Installed<'_>,
    run: &str,
    work: impl Future<Output = T>,
) -> (Vec<Sample>, T) {
    let client = || cluster.client.clone();
    let (pods, follow_pods) =
        watched(Api::<Pod>::namespaced(client(), SYSTEM), Config::default().labels(TASKS));
    let (demos, follow_demos) = watched(Api::namespaced(client(), RUNS), named(run));
    let (leases, follow_leases) = watched(Api::namespaced(client(), SYSTEM), named(LEASE));
    let take_sample = async || {
        let ready =
            tokio::join!(pods.wait_until_ready(), demos.wait_until_ready(), leases.wait_until_ready());
        assert!(matches!(ready, (Ok(()), Ok(()), Ok(()))), "a watch ended");
        let state = installed.page("state").await;
        let sample = Sample {
            at: Timestamp::now(),
            state,
            pods: pods.state().iter().map(|pod| pod.name_any()).collect(),
            demo: demos.state().pop().map(Arc::unwrap_or_clone),
            leader: leases.state().first().and_then(|lease| holder(lease)),
        };
        tokio::time::sleep(EVERY).await;
        sample
    };
    let mut following = pin!(join3(follow_pods, follow_demos, follow_leases));
    let mut samples = Vec::new();
    let mut work = pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return (samples, done),
            _ = &mut following => unreachable!("watches never end"),
            sample = take_sample() => samples.push(sample),
        }
    }
}

/// A store of the API server's objects, updated while the future is polled.
fn watched<K>(api: Api<K>, config: Config) -> (Store<K>, impl Future<Output = ()>)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    (store, watcher(api, config).default_backoff().reflect(writer).for_each(|_| ready(())))
}

fn named(name: &str) -> Config {
    Config::default().fields(&format!("metadata.name={name}"))
}

/// The records that one stream has received: how many, and when.
pub async fn ingest_statistics(installed: &Installed<'_>, stream_arn: &str) -> (u64, IngestStatistics) {
    let page =
        installed.page(&format!("ingest?stream={stream_arn}")).await.expect("the sandbox does not respond");
    let stream = &page["streams"][0];
    let records = stream["totals"]["records"].as_u64().expect("the stream received no records");
    (records, serde_json::from_value(stream.clone()).unwrap())
}

/// When the last record arrived.
pub fn last_arrival(ingest_statistics: &IngestStatistics) -> Timestamp {
    ingest_statistics
        .buckets
        .iter()
        .filter(|bucket| bucket.records > 0)
        .map(|bucket| bucket.at)
        .max()
        .expect("no records arrived")
}
