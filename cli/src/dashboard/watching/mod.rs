//! The objects and runs of a cluster, kept current for the page. In: a cluster, the names of the
//! objects. Out: a [`View`] at any time. Watches the API server and asks it what the user may do.
//! Reads a sandbox, if there is one.
//!
//! A watch that nothing arrives on looks like one where nothing changes. So a small request every
//! two seconds shows whether the API server responds; after an outage the watches begin anew.

mod permissions;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use jiff::Timestamp;
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_api::run_record::DEMO_LABEL;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, MicroTime, Stage};
use kinesis_demo_local_cluster::sandbox::client::SandboxClient;
use kube::ResourceExt;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::{WatchStreamExt, watcher};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use permissions::{Permissions, probe, review};

use super::live::LiveRun;
use super::shards::Shards;
use super::view::{Choice, ListView, RunView, View, actions};
use crate::cluster::Cluster;

/// How many records are kept, the newest. The operator keeps fewer per object.
const MOST_RECORDS: usize = 1_000;

/// Everything that is known of the cluster.
#[derive(Default)]
struct Board {
    demos: BTreeMap<String, Object>,
    records: BTreeMap<String, KinesisDemoRun>,
    /// Why the objects, or the records, cannot be read.
    demos_problem: Option<String>,
    records_problem: Option<String>,
    /// Since when the API server has not responded, and what it last said.
    lost: Option<(MicroTime, String)>,
    /// Whether the objects were listed.
    is_listed: bool,
    permissions: Permissions,
}

#[derive(Default)]
struct Object {
    live: LiveRun,
    is_deleted: bool,
    /// Why it cannot be parsed.
    invalid: Option<String>,
}

/// The watched cluster. Ends its watches when dropped.
pub struct Watching {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

struct Shared {
    board: Mutex<Board>,
    cluster: Cluster,
    names: Vec<String>,
    restart: Notify,
    is_read_only: bool,
    shards: Option<Shards>,
}

impl Watching {
    /// Begins to watch the objects of these names, or all of the namespace if there are none; and
    /// the shards of their streams, if the streams are in a sandbox.
    #[must_use]
    pub fn start(
        cluster: Cluster,
        names: Vec<String>,
        is_read_only: bool,
        sandbox: Option<SandboxClient>,
    ) -> Self {
        let shared = Arc::new(Shared {
            board: Mutex::default(),
            cluster,
            names,
            restart: Notify::new(),
            is_read_only,
            shards: sandbox.map(Shards::new),
        });
        let mut tasks = JoinSet::new();
        match shared.names.as_slice() {
            [] => drop(tasks.spawn(watch_demos(Arc::clone(&shared), None))),
            names => {
                for name in names.iter().cloned().collect::<BTreeSet<_>>() {
                    tasks.spawn(watch_demos(Arc::clone(&shared), Some(name)));
                }
            }
        }
        tasks.spawn(watch_records(Arc::clone(&shared)));
        tasks.spawn(watch_shards(Arc::clone(&shared)));
        tasks.spawn(probe(Arc::clone(&shared)));
        tasks.spawn(review(Arc::clone(&shared)));
        Self { shared, _tasks: tasks }
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.shared.cluster
    }

    /// What the page begins with: the named objects.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.shared.names
    }

    /// Whether the page has an object of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.shared.board().demos.contains_key(name)
    }

    /// The chosen runs as of now.
    #[must_use]
    pub fn view(&self, choices: &[Choice]) -> View {
        let board = self.shared.board();
        let now = MicroTime::from(Timestamp::now());
        let mut runs: Vec<RunView> = choices.iter().map(|choice| self.run_view(&board, choice)).collect();
        let mut messages = board.messages(now);
        if let Some(shards) = &self.shared.shards {
            for view in &mut runs {
                view.shards = view.run.as_ref().and_then(|run| shards.of(run, now));
            }
            messages.extend(shards.problem());
        }
        View { now, speed: 1, messages, runs }
    }

    /// All objects and runs as of now.
    #[must_use]
    pub fn list(&self) -> ListView {
        let board = self.shared.board();
        let now = MicroTime::from(Timestamp::now());
        let present = board.demos.iter().filter(|(_, object)| !object.is_deleted);
        let demos = present.filter_map(|(name, object)| match &object.invalid {
            Some(invalid) => Some((name.clone(), Err(invalid.clone()))),
            None => object.live.demo().map(|demo| (name.clone(), Ok(demo.clone()))),
        });
        let mut runs: Vec<_> = board.records.values().cloned().collect();
        runs.sort_by_key(|run| std::cmp::Reverse(started_at(run)));
        ListView { now, speed: 1, messages: board.messages(now), demos: Some(demos.collect()), runs }
    }

    fn run_view(&self, board: &Board, choice: &Choice) -> RunView {
        let (name, object) = match choice {
            Choice::Demo(name) => (name, board.demos.get(name)),
            // The record of a current run is continued by what is observed of it.
            Choice::Run(record) => {
                let current =
                    board.demos.iter().find(|(_, object)| object.live.record_name().as_ref() == Some(record));
                match (current, board.records.get(record)) {
                    (Some((name, object)), _) => (name, Some(object)),
                    (None, Some(run)) => return past_run(run),
                    (None, None) => return missing(record, "There is no such run; old ones are deleted."),
                }
            }
        };
        let Some(object) = object else {
            return match (newest_of(board, name), board.is_listed) {
                (Some(run), _) => past_run(run),
                (None, true) => {
                    missing(name, "There is no KinesisDemo of this name. It appears here once it is created.")
                }
                (None, false) => missing(name, "Connecting to the cluster …"),
            };
        };
        if let Some(invalid) = &object.invalid {
            return missing(name, &format!("The object is stored but cannot be parsed: {invalid}"));
        }
        let Some(demo) = object.live.demo() else { return missing(name, "Connecting to the cluster …") };
        let record = object.live.record_name().and_then(|name| board.records.get(&name));
        let refused = match object.is_deleted {
            true => Some("the object was deleted"),
            false if self.shared.is_read_only => Some(READ_ONLY),
            false => board.permissions.refusal(name),
        };
        RunView {
            name: name.clone(),
            run: object.live.merged(record),
            demo: Some(demo.clone()),
            shards: None,
            message: object
                .is_deleted
                .then(|| "The object was deleted. This is what was last known of its run.".to_owned()),
            actions: actions(demo, refused),
        }
    }
}

/// Why nothing can be requested with `--read-only`.
pub const READ_ONLY: &str = "this page was started with --read-only";

impl Board {
    fn messages(&self, now: MicroTime) -> Vec<String> {
        let mut messages = Vec::new();
        if let Some((since, why)) = &self.lost {
            messages.push(format!(
                "The API server has not responded for {} s ({why}). What you see is from before; the page goes on by \
                 itself when it responds again.",
                now.since(*since).as_secs()
            ));
        }
        messages.extend(self.demos_problem.clone());
        messages.extend(self.records_problem.clone());
        messages
    }
}

impl Shared {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn missing(name: &str, message: &str) -> RunView {
    RunView { name: name.to_owned(), message: Some(message.to_owned()), ..RunView::default() }
}

fn past_run(run: &KinesisDemoRun) -> RunView {
    RunView { name: run.spec.demo.clone(), run: Some(run.clone()), ..RunView::default() }
}

fn newest_of<'a>(board: &'a Board, demo: &str) -> Option<&'a KinesisDemoRun> {
    board.records.values().filter(|run| run.spec.demo == demo).max_by_key(|run| started_at(run))
}

fn started_at(run: &KinesisDemoRun) -> Option<MicroTime> {
    run.status.as_ref().and_then(|status| status.started_at)
}

async fn watch_demos(shared: Arc<Shared>, name: Option<String>) {
    let api: Api<DeserializeGuard<KinesisDemo>> =
        Api::namespaced(shared.cluster.client(), shared.cluster.namespace());
    let config = match &name {
        Some(name) => watcher::Config::default().fields(&format!("metadata.name={name}")),
        None => watcher::Config::default(),
    };
    let is_ours = |other: &str| name.as_ref().is_none_or(|name| name == other);
    loop {
        let mut listed: Option<BTreeSet<String>> = None;
        let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = shared.restart.notified() => break,
            };
            let now = MicroTime::from(Timestamp::now());
            match event {
                Some(Ok(watcher::Event::Init)) => listed = Some(BTreeSet::new()),
                Some(Ok(watcher::Event::InitApply(object))) => {
                    listed.get_or_insert_default().insert(object.name_any());
                    shared.board().observe(object, now);
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    let listed = listed.take().unwrap_or_default();
                    let mut board = shared.board();
                    (board.is_listed, board.demos_problem) = (true, None);
                    for (name, object) in board.demos.iter_mut().filter(|(name, _)| is_ours(name)) {
                        object.is_deleted = !listed.contains(name);
                    }
                }
                Some(Ok(watcher::Event::Apply(object))) => shared.board().observe(object, now),
                Some(Ok(watcher::Event::Delete(object))) => {
                    if let Some(object) = shared.board().demos.get_mut(&object.name_any()) {
                        object.is_deleted = true;
                    }
                }
                Some(Err(error)) => {
                    if let Some(status) = refusal(&error) {
                        let problem = format!(
                            "KinesisDemos cannot be read in namespace {}: {}. Ask for get, list and watch on \
                             kinesisdemos.kinesisdemo.io, or choose another namespace with -n.",
                            shared.cluster.namespace(),
                            status.message
                        );
                        shared.board().demos_problem = Some(problem);
                    }
                    tracing::debug!(error = %error_chain(&error), "the watch of objects failed and is retried");
                }
                None => break,
            }
        }
    }
}

impl Board {
    fn streams_with_traffic(&self) -> Vec<String> {
        let present = self.demos.values().filter(|object| !object.is_deleted);
        let statuses = present.filter_map(|object| object.live.demo()?.status.as_ref());
        let running = statuses.filter(|status| status.stage == Some(Stage::Running));
        running
            .filter_map(|status| Some(status.run.as_ref()?.effective.as_ref()?.stream_name.clone()))
            .collect()
    }

    fn observe(&mut self, object: DeserializeGuard<KinesisDemo>, now: MicroTime) {
        let name = object.name_any();
        let entry = self.demos.entry(name).or_default();
        entry.is_deleted = false;
        match object.0 {
            Ok(demo) => {
                entry.invalid = None;
                entry.live.observe(&demo, now);
            }
            Err(invalid) => entry.invalid = Some(invalid.to_string()),
        }
    }
}

async fn watch_shards(shared: Arc<Shared>) {
    if let Some(shards) = &shared.shards {
        shards.poll(|| shared.board().streams_with_traffic()).await;
    }
}

async fn watch_records(shared: Arc<Shared>) {
    let api: Api<DeserializeGuard<KinesisDemoRun>> =
        Api::namespaced(shared.cluster.client(), shared.cluster.namespace());
    let config = match shared.names.as_slice() {
        [] => watcher::Config::default(),
        names => watcher::Config::default().labels(&format!("{DEMO_LABEL} in ({})", names.join(","))),
    };
    loop {
        let mut listed = BTreeMap::new();
        let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = shared.restart.notified() => break,
            };
            match event {
                Some(Ok(watcher::Event::Init)) => listed.clear(),
                // A record that cannot be parsed is of another version; the others are shown.
                Some(Ok(watcher::Event::InitApply(DeserializeGuard(Ok(run))))) => {
                    listed.insert(run.name_any(), run);
                }
                Some(Ok(watcher::Event::InitDone)) => {
                    let mut board = shared.board();
                    (board.records, board.records_problem) = (std::mem::take(&mut listed), None);
                }
                Some(Ok(watcher::Event::Apply(DeserializeGuard(Ok(run))))) => {
                    let mut board = shared.board();
                    board.records.insert(run.name_any(), run);
                    if board.records.len() > MOST_RECORDS {
                        let oldest = board.records.iter().min_by_key(|(_, run)| started_at(run));
                        if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                            board.records.remove(&oldest);
                        }
                    }
                }
                Some(Ok(watcher::Event::Delete(object))) => {
                    shared.board().records.remove(&object.name_any());
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    if let Some(status) = refusal(&error) {
                        shared.board().records_problem = Some(records_problem(status));
                    }
                    tracing::debug!(error = %error_chain(&error), "the watch of records failed and is retried");
                }
                None => break,
            }
        }
    }
}

fn records_problem(status: &kube::core::Status) -> String {
    match status.code {
        404 => "This cluster has no KinesisDemoRuns, so past runs and what happened before this page was opened are not \
                shown. Apply the newest files in crds/ to have them."
            .to_owned(),
        _ => format!(
            "KinesisDemoRuns cannot be read, so past runs and what happened before this page was opened are not shown: {}. \
             Ask for get, list and watch on kinesisdemoruns.kinesisdemo.io.",
            status.message
        ),
    }
}

/// The response of the API server with which it refuses a watch.
fn refusal(error: &watcher::Error) -> Option<&kube::core::Status> {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        _ => return None,
    };
    matches!(status.code, 401 | 403 | 404).then_some(status)
}
