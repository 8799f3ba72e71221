//! What the operator was told at its start, checked. In: the command line's words. Out: settings that later code need not
//! doubt. Pure.

use std::time::Duration;

use kinesis_demo_api::plan::Defaults;

/// The sandbox's account: the only one that is allowed unless others are named.
pub const SANDBOX_ACCOUNT: &str = "000000000000";

/// The settings of an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The accounts in which runs may make anything.
    pub accounts: Vec<String>,
    /// What objects need not say, and what they may not exceed.
    pub defaults: Defaults,
    /// The ECS cluster in which services are made.
    pub ecs_cluster: String,
    /// The role of the generator itself.
    pub task_role_arn: Option<String>,
    /// The role by which ECS pulls the image and writes the log.
    pub execution_role_arn: Option<String>,
    /// Whether tasks get a public address (public subnets need one to reach AWS).
    pub assign_public_ip: bool,
    /// The most runs that go on at once.
    pub max_runs: usize,
    /// The instants and spans of a run.
    pub timings: Timings,
}

/// The spans that a run's control is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How often a task reads the control document, where nothing makes it read less often.
    pub read_every: Duration,
    /// The longest that this may become where many tasks share a Region's reads.
    pub longest_read_every: Duration,
    /// How long a good read allows a task to send, at the least: it is no less than three intervals.
    pub read_lease: Duration,
    /// How long the tasks go on without a renewal.
    pub valid_for: Duration,
    /// How often the document is renewed.
    pub renew_every: Duration,
    /// How far apart clocks may be.
    pub skew: Duration,
    /// From the claim of a version in status until the document is written, at the most; later, the version is dated anew.
    pub publish_within: Duration,
    /// How often a task writes its ledger.
    pub ledger_every: Duration,
    /// How often the ledgers are read.
    pub sample_every: Duration,
    /// How often the operator's CloudWatch metrics are published.
    pub metrics_every: Duration,
    /// How often AWS is asked while something is under way.
    pub poll_every: Duration,
    /// How long a task takes to start, until a start was measured.
    pub task_start: Duration,
    /// How long a task may need to finish what is in flight.
    pub drain: Duration,
    /// How long a last word may take through the log.
    pub log_delay: Duration,
    /// The longest a stream may take to become ACTIVE.
    pub stream_timeout: Duration,
    /// The longest warm throughput may take to rise.
    pub warm_timeout: Duration,
    /// The longest the first tasks may take to run; then the traffic starts with those that do.
    pub start_timeout: Duration,
    /// How long a run whose traffic is over waits for a log that cannot be read.
    pub log_patience: Duration,
    /// The longest that removing may take; then the run is over, and what is left is named.
    pub cleanup_timeout: Duration,
    /// How often a run looks whether its scheduled scale-to-zero is still there.
    pub ceiling_every: Duration,
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Timings {
    /// For AWS: sized by its API rates and by Fargate's start times (20 to 60 s).
    pub const fn aws() -> Self {
        Self {
            read_every: s(3),
            longest_read_every: s(10),
            read_lease: s(15),
            valid_for: s(60),
            renew_every: s(15),
            skew: s(1),
            publish_within: s(4),
            ledger_every: s(5),
            sample_every: s(10),
            metrics_every: s(15),
            poll_every: s(5),
            task_start: s(90),
            drain: s(10),
            log_delay: s(30),
            stream_timeout: s(600),
            warm_timeout: s(1800),
            start_timeout: s(600),
            log_patience: s(600),
            cleanup_timeout: s(900),
            ceiling_every: s(60),
        }
    }

    /// For a laptop's sandbox, where a minute holds a whole event.
    pub const fn local() -> Self {
        Self {
            read_every: s(1),
            longest_read_every: s(5),
            read_lease: s(4),
            valid_for: s(30),
            renew_every: s(5),
            skew: Duration::from_millis(250),
            publish_within: s(2),
            ledger_every: s(1),
            sample_every: s(1),
            metrics_every: s(5),
            poll_every: s(1),
            task_start: s(4),
            drain: s(4),
            log_delay: s(5),
            stream_timeout: s(120),
            warm_timeout: s(120),
            start_timeout: s(60),
            log_patience: s(60),
            cleanup_timeout: s(120),
            ceiling_every: s(5),
        }
    }

    /// The same, for a run whose tasks read their control document each `seconds`.
    pub fn reading_every(&self, seconds: u32) -> Self {
        let read_every = s(seconds.into()).clamp(self.read_every, self.longest_read_every);
        Self { read_every, read_lease: self.read_lease.max(read_every * 3), ..self.clone() }
    }

    /// From the claim of a slot change until it counts: by then every task has read it or has stopped sending.
    pub fn change_takes(&self) -> Duration {
        self.publish_within + self.read_lease + self.skew
    }

    /// From the claim of the first version until traffic starts: nobody sends before, so tasks only need to read it.
    pub fn start_takes(&self) -> Duration {
        self.publish_within + self.read_every * 2 + self.skew
    }

    /// The longest that one look at AWS may hold a reconcile: the renewal after it still comes long
    /// before the tasks' lease ends.
    pub fn look_within(&self) -> Duration {
        self.renew_every
    }

    /// How long a task with a slot may write nothing before it counts as hanging: three intervals, and
    /// what its lines may take through the log.
    pub fn silence(&self) -> Duration {
        self.ledger_every * 3 + self.log_delay
    }

    /// From SIGTERM a task has 30 s, and ECS takes a while to notice. Beyond this the service is
    /// removed with whatever runs.
    pub fn stop_timeout(&self) -> Duration {
        self.drain + s(150)
    }

    /// The longest from the end of the traffic until the run is over, whatever AWS refuses: tasks fall
    /// silent and stop, the log is read or given up, everything is removed or named.
    pub fn end_grace(&self) -> Duration {
        let silence = self.read_lease + self.drain;
        let log = self.log_delay + self.log_patience;
        silence + self.stop_timeout() + log + self.cleanup_timeout + s(60)
    }

    /// How long before a phase its tasks are asked for, when the slowest start seen took `slowest`.
    pub fn lead(&self, slowest: Option<Duration>) -> Duration {
        let start = slowest.map_or(self.task_start, |slowest| slowest + slowest / 4);
        start + self.change_takes() + self.poll_every * 3
    }
}
