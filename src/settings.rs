//! The operator's settings, checked. In: the command line arguments. Out: settings that other code
//! need not check again. Pure.

use std::time::Duration;

use kinesis_demo_api::limits::Limits;
use kinesis_demo_api::plan::Defaults;
use kinesis_demo_cost::PriceList;

/// The sandbox's account. It is the only allowed account by default.
pub const SANDBOX_ACCOUNT: &str = "000000000000";

/// The settings of an operator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The accounts in which runs may create resources.
    pub accounts: Vec<String>,
    /// What is filled in where an object names nothing.
    pub defaults: Defaults,
    /// What objects may ask for.
    pub limits: Limits,
    /// The ECS cluster in which services are created.
    pub ecs_cluster: String,
    /// The task role of the generator.
    pub task_role_arn: Option<String>,
    /// The task execution role, with which ECS pulls the image and writes the log.
    pub execution_role_arn: Option<String>,
    /// Whether tasks get a public IP address (in public subnets they need one to reach AWS).
    pub assign_public_ip: bool,
    /// The most active runs.
    pub max_runs: usize,
    /// How many records of runs are kept, and how long.
    pub retention: Retention,
    /// AWS's prices.
    pub prices: PriceList,
    /// The time limits and intervals of a run.
    pub timings: Timings,
}

/// How many records of runs are kept, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The most records per namespace and name. With zero, no run is recorded.
    pub last: usize,
    /// The greatest age of a record, counted from the beginning of its run.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { last: 10, age: Duration::from_secs(7 * 24 * 3_600) }
    }
}

/// The time limits and intervals of a run's control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timings {
    /// How often a task reads the control document, unless many tasks require a longer interval.
    pub read_every: Duration,
    /// The longest read interval, when many tasks share a Region's reads.
    pub longest_read_every: Duration,
    /// The minimum time that a task may send after a successful read. It is at least three read
    /// intervals.
    pub read_lease: Duration,
    /// How long the tasks continue without a renewal.
    pub valid_for: Duration,
    /// How often the document is renewed.
    pub renew_every: Duration,
    /// The maximum clock skew.
    pub skew: Duration,
    /// The longest time from the claim of a version in status until the document is written. After
    /// that, the version is redated.
    pub publish_within: Duration,
    /// The same for the first version, which is written sooner: the reconcile that claims it does
    /// nothing else. If it is late, traffic starts later.
    pub publish_first_within: Duration,
    /// The read intervals that a task has for the first version. With more than one, a failed read
    /// does not make it late.
    pub first_reads: u32,
    /// How often a task writes its ledger.
    pub ledger_every: Duration,
    /// How often the ledgers are read.
    pub sample_every: Duration,
    /// How often the operator's CloudWatch metrics are published.
    pub metrics_every: Duration,
    /// How often AWS is polled while an operation is in progress.
    pub poll_every: Duration,
    /// The assumed start time of a task, until a start was measured.
    pub task_start: Duration,
    /// How long a task may take to finish its requests in flight.
    pub drain: Duration,
    /// How long a final ledger line may take to appear in the log.
    pub log_delay: Duration,
    /// The longest time for a stream to become ACTIVE.
    pub stream_timeout: Duration,
    /// The longest time for warm throughput to rise.
    pub warm_timeout: Duration,
    /// The longest time for the first tasks to run. After that, traffic starts with the tasks that
    /// run.
    pub start_timeout: Duration,
    /// How long a run of a cohort waits for members that do not exist, or lack what they need.
    pub cohort_timeout: Duration,
    /// How long a run waits for an unreadable log after its traffic has ended.
    pub log_patience: Duration,
    /// The longest time for cleanup. After that the run ends, and its status lists what is left.
    pub cleanup_timeout: Duration,
    /// How often a run checks that its scheduled scale-to-zero still exists.
    pub scale_to_zero_every: Duration,
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Timings {
    /// For AWS: based on its API rates and on Fargate's start times (20 to 60 s).
    pub const fn aws() -> Self {
        Self {
            read_every: s(3),
            longest_read_every: s(10),
            read_lease: s(15),
            valid_for: s(60),
            renew_every: s(15),
            skew: s(1),
            publish_within: s(4),
            publish_first_within: s(4),
            first_reads: 2,
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
            cohort_timeout: s(600),
            log_patience: s(600),
            cleanup_timeout: s(900),
            scale_to_zero_every: s(60),
        }
    }

    /// For a local sandbox, where a whole event takes a minute.
    pub const fn local() -> Self {
        Self {
            read_every: s(1),
            longest_read_every: s(5),
            read_lease: s(4),
            valid_for: s(30),
            renew_every: s(5),
            skew: Duration::from_millis(250),
            publish_within: s(2),
            publish_first_within: Duration::from_millis(750),
            // On loopback reads do not fail by themselves.
            first_reads: 1,
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
            cohort_timeout: s(60),
            log_patience: s(60),
            cleanup_timeout: s(120),
            scale_to_zero_every: s(5),
        }
    }

    /// The same timings for a run whose tasks read their control document every `seconds`.
    pub fn reading_every(&self, seconds: u32) -> Self {
        let read_every = s(seconds.into()).clamp(self.read_every, self.longest_read_every);
        Self { read_every, read_lease: self.read_lease.max(read_every * 3), ..self.clone() }
    }

    /// From the claim of a slot change until it takes effect. By then every task has read it or has
    /// stopped sending.
    pub fn change_takes(&self) -> Duration {
        self.publish_within + self.read_lease + self.skew
    }

    /// From the claim of the first version until traffic starts. No task sends before, so tasks
    /// only need to read it.
    pub fn start_takes(&self) -> Duration {
        self.publish_first_within + self.read_every * self.first_reads + self.skew
    }

    /// From the instant at which the last member of a cohort is ready until the traffic of all
    /// starts. By then each member has seen that all are ready, and has claimed its first version.
    pub fn cohort_start_takes(&self) -> Duration {
        self.publish_within + self.start_takes()
    }

    /// How long before it takes effect the first version must be published, at the latest.
    pub fn start_notice(&self) -> Duration {
        self.read_every + self.skew
    }

    /// How long a run with a ready stream waits for those of the other members of its cohort.
    pub fn cohort_warm_timeout(&self) -> Duration {
        self.stream_timeout + self.warm_timeout
    }

    /// The time limit for AWS calls in one reconcile. The next renewal still comes long before the
    /// tasks' lease ends.
    pub fn aws_time_limit(&self) -> Duration {
        self.renew_every
    }

    /// How long a task with a slot may write nothing before it counts as hanging: three intervals,
    /// and the time its lines may take to appear in the log.
    pub fn silence(&self) -> Duration {
        self.ledger_every * 3 + self.log_delay
    }

    /// The longest time for tasks to stop. A task has 30 s from SIGTERM, and ECS takes some time to
    /// notice. After that the service is removed with the tasks that still run.
    pub fn stop_timeout(&self) -> Duration {
        self.drain + s(150)
    }

    /// The longest time from the end of the traffic until the run ends, whatever AWS refuses: tasks
    /// stop sending and stop, the log is read or given up, everything is removed or listed.
    pub fn end_grace(&self) -> Duration {
        let silence = self.read_lease + self.drain;
        let log = self.log_delay + self.log_patience;
        silence + self.stop_timeout() + log + self.cleanup_timeout + s(60)
    }

    /// How long before a phase its tasks are requested, if the slowest known start took `slowest`.
    pub fn lead(&self, slowest: Option<Duration>) -> Duration {
        let start = slowest.map_or(self.task_start, |slowest| slowest + slowest / 4);
        start + self.change_takes() + self.poll_every * 3
    }
}
