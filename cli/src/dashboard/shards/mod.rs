//! The load of the shards of the runs that a page shows, read from a sandbox: AWS has it at a price
//! per shard, so of real AWS it is never read. In: a sandbox, the streams that are wanted. Out:
//! what is known of each, and why it cannot be read. Asks the sandbox once a second for each
//! stream.

pub mod address;
mod history;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kinesis_demo_local_cluster::sandbox::shards::ShardsReport;
use kinesis_demo_report::shards::ShardLoads;
use tokio::time::{Instant, MissedTickBehavior, interval};

use history::History;

/// How often a stream is read.
const POLL: Duration = Duration::from_secs(1);
/// A page that is open asks twice a second. One that has not asked for so long is closed.
const WANTED: Duration = Duration::from_secs(3);
/// How many streams are kept: those that were wanted last.
const MOST_STREAMS: usize = 32;
/// How many streams of one name are kept: the newest. A name may be used again.
const MOST_OF_A_NAME: usize = 8;

/// A sandbox, and what was read from it.
pub struct Shards {
    sandbox: SandboxClient,
    board: Mutex<Board>,
}

#[derive(Default)]
struct Board {
    /// By name.
    streams: BTreeMap<String, Stream>,
    problem: Option<String>,
}

struct Stream {
    wanted_at: Instant,
    /// By when each was created.
    histories: BTreeMap<Timestamp, Known>,
}

struct Known {
    history: History,
    loads: Option<Arc<ShardLoads>>,
}

impl Shards {
    /// Nothing is known and nothing read yet: [`Shards::poll`].
    #[must_use]
    pub fn new(sandbox: SandboxClient) -> Self {
        Self { sandbox, board: Mutex::default() }
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of the stream of that run, which somebody looks at. It is read from now on.
    #[must_use]
    pub fn of(&self, run: &KinesisDemoRun, now: MicroTime) -> Option<Arc<ShardLoads>> {
        let finished_at = run.status.as_ref().and_then(|status| status.finished_at);
        let mut board = self.board();
        let stream = board.want(&run.spec.stream_name)?;
        let until = finished_at.unwrap_or(now).timestamp();
        let (_, known) = stream.histories.range(..=until).next_back()?;
        known.loads.clone()
    }

    /// Why nothing can be read, for the page.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.board().problem.clone()
    }

    /// Reads what somebody looks at, and the streams that have traffic, until it is dropped.
    pub async fn poll(&self, with_traffic: impl Fn() -> Vec<String>) {
        let mut ticks = interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Before the lock: it takes another one, under which others take ours.
            let with_traffic = with_traffic();
            let wanted = {
                let mut board = self.board();
                for name in with_traffic {
                    board.want(&name);
                }
                board.wanted()
            };
            for (name, since) in wanted {
                let read = self.sandbox.fetch_shards(&name, since).await;
                self.board().take(&name, read.map_err(|error| error_chain(&error)));
            }
        }
    }
}

impl Board {
    fn want(&mut self, name: &str) -> Option<&Stream> {
        if name.is_empty() {
            return None;
        }
        let wanted_at = Instant::now();
        if let Some(stream) = self.streams.get_mut(name) {
            stream.wanted_at = wanted_at;
            return self.streams.get(name);
        }
        if self.streams.len() >= MOST_STREAMS {
            let oldest = self.streams.iter().min_by_key(|(_, stream)| stream.wanted_at);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                self.streams.remove(&oldest);
            }
        }
        self.streams.insert(name.to_owned(), Stream { wanted_at, histories: BTreeMap::new() });
        self.streams.get(name)
    }

    /// The streams to read, and from when on.
    fn wanted(&self) -> Vec<(String, Option<Timestamp>)> {
        let now = Instant::now();
        let wanted = self.streams.iter().filter(|(_, stream)| now.duration_since(stream.wanted_at) < WANTED);
        let since =
            |stream: &Stream| stream.histories.values().filter_map(|known| known.history.next()).min();
        wanted.map(|(name, stream)| (name.clone(), since(stream))).collect()
    }

    fn take(&mut self, name: &str, read: Result<ShardsReport, String>) {
        let report = match read {
            Ok(report) => report,
            Err(why) => {
                self.problem = Some(format!(
                    "No heat map of shards: {why}. Everything else is shown; it is tried again every second."
                ));
                return;
            }
        };
        self.problem = None;
        let Some(stream) = self.streams.get_mut(name) else { return };
        for found in report.streams.iter().filter(|found| found.name == name) {
            let known = stream.histories.entry(found.created_at);
            let known = known.and_modify(|known| known.history.add(found, report.now));
            let known =
                known.or_insert_with(|| Known { history: History::of(found, report.now), loads: None });
            known.loads = known.history.loads().map(Arc::new);
        }
        while stream.histories.len() > MOST_OF_A_NAME {
            stream.histories.pop_first();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report(created: &[&str], now: &str) -> ShardsReport {
        let stream = |created: &&str| {
            json!({
                "name": "posts", "arn": "arn", "createdAt": created, "windowMillis": 1000, "forgottenWindows": 0,
                "windows": [created], "shards": [{
                    "shardId": "shardId-000000000000", "hashKeyRange": {"startingHashKey": "0", "endingHashKey": "9"},
                    "openedAt": created, "closedAt": null, "records": [7], "bytes": [70], "throttled": [0],
                }],
            })
        };
        let streams: Vec<_> = created.iter().map(stream).collect();
        serde_json::from_value(json!({"now": now, "streams": streams})).unwrap()
    }

    fn run(finished_at: Option<&str>) -> KinesisDemoRun {
        serde_json::from_value(json!({
            "apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemoRun", "metadata": {"name": "r"},
            "spec": {"demo": "d", "demoUid": "u", "run": 1, "accountId": "a", "region": "r", "streamName": "posts",
                "settings": {}, "operatorVersion": ""},
            "status": {"finishedAt": finished_at},
        }))
        .unwrap()
    }

    fn shards() -> Shards {
        let address = kinesis_demo_local_cluster::sandbox::address::SandboxAddress {
            endpoint: "http://127.0.0.1:1".into(),
            access_key_id: "SANDBOX1".into(),
        };
        Shards::new(SandboxClient::at(address).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_is_read_while_somebody_looks_at_it() {
        let shards = shards();
        let now = MicroTime::from("2026-11-28T10:00:10Z".parse::<Timestamp>().unwrap());
        assert_eq!(shards.of(&run(None), now), None);
        assert_eq!(shards.board().wanted(), [("posts".to_owned(), None)]);
        shards.board().take("posts", Ok(report(&["2026-11-28T10:00:00Z"], "2026-11-28T10:00:09.5Z")));
        let since = "2026-11-28T10:00:09Z".parse().unwrap();
        assert_eq!(shards.board().wanted(), [("posts".to_owned(), Some(since))]);
        assert_eq!(shards.of(&run(None), now).unwrap().until, since.into());
        tokio::time::advance(WANTED).await;
        assert_eq!(shards.board().wanted(), []);
    }

    #[tokio::test]
    async fn a_run_has_the_stream_that_existed_in_its_time() {
        let shards = shards();
        let now = MicroTime::from("2026-11-28T11:00:00Z".parse::<Timestamp>().unwrap());
        let _ = shards.of(&run(None), now);
        let both = report(&["2026-11-28T10:00:00Z", "2026-11-28T10:30:00Z"], "2026-11-28T10:50:00Z");
        shards.board().take("posts", Ok(both));
        let from = |run| shards.of(&run, now).map(|loads| loads.from.timestamp().to_string());
        assert_eq!(from(run(Some("2026-11-28T10:10:00Z"))).as_deref(), Some("2026-11-28T10:00:00Z"));
        assert_eq!(from(run(None)).as_deref(), Some("2026-11-28T10:30:00Z"));
        assert_eq!(from(run(Some("2026-11-28T09:00:00Z"))), None);
    }

    #[tokio::test]
    async fn a_failure_is_told_until_it_is_over() {
        let shards = shards();
        shards.board().take("posts", Err("could not read /_sandbox/shards of the sandbox: refused".into()));
        let problem = shards.problem().unwrap();
        assert!(problem.starts_with("No heat map of shards: could not read /_sandbox/shards"), "{problem}");
        shards.board().take("posts", Ok(report(&[], "2026-11-28T10:50:00Z")));
        assert_eq!(shards.problem(), None);
    }
}
