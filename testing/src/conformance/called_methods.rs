//! Records which methods of the AWS traits are called. In: the clients of an arm. Out: the same
//! clients, and the names of the called methods.
//!
//! The macro implements every trait, so a new method does not compile until it is listed here, and
//! then a test fails until a body calls it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_operator::aws::{
    Advantage, Aws, AwsResult, Dashboards, Identity, LedgerPage, LogGroupDescription, Logs, Metrics,
    NewService, NewStream, NewTaskDefinition, OverwriteResult, Parameters, RunMetric, Scaling,
    ScheduledActionDescription, ServiceDescription, Services, StreamDescription, Streams, Tags,
    TaskDefinitionDescription, TaskDefinitions, TaskDescription, Tasks,
};

/// The methods that were called. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct CalledMethods(Arc<Mutex<BTreeSet<&'static str>>>);

impl CalledMethods {
    /// The names of the called methods.
    pub fn names(&self) -> BTreeSet<&'static str> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, method: &'static str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(method);
    }
}

/// A client whose calls are recorded.
struct Recorded<T: ?Sized> {
    client: Arc<T>,
    called: CalledMethods,
}

macro_rules! recorded {
    ($($field:ident: $trait:ident {
        $(fn $method:ident($($argument:ident: $type:ty),*) -> $output:ty;)+
    })+) => {
        $(#[async_trait]
        impl $trait for Recorded<dyn $trait> {
            $(async fn $method(&self, $($argument: $type),*) -> AwsResult<$output> {
                self.called.note(concat!(stringify!($trait), "::", stringify!($method)));
                self.client.$method($($argument),*).await
            })+
        })+

        /// All methods of the AWS traits that call AWS.
        pub const METHODS: &[&str] = &[$($(concat!(stringify!($trait), "::", stringify!($method))),+),+];

        impl CalledMethods {
            /// Records the calls of these clients.
            pub fn record(&self, aws: Aws) -> Aws {
                // Destructured without `..`, so that a new client cannot be forgotten here. The
                // clock makes no calls.
                let Aws { $($field,)+ clock } = aws;
                Aws { $($field: Arc::new(Recorded { client: $field, called: self.clone() }),)+ clock }
            }
        }
    };
}

recorded! {
    identity: Identity {
        fn fetch_account_id() -> String;
    }
    streams: Streams {
        fn fetch_stream(name: &str) -> Option<StreamDescription>;
        fn fetch_stream_tags(arn: &str) -> Tags;
        fn create_stream(stream: &NewStream) -> ();
        fn update_warm_throughput(arn: &str, mib_per_second: u32) -> ();
        fn delete_stream(arn: &str) -> ();
        fn fetch_advantage() -> Advantage;
    }
    task_definitions: TaskDefinitions {
        fn fetch_task_definition(family: &str) -> Option<TaskDefinitionDescription>;
        fn register_task_definition(definition: &NewTaskDefinition) -> ();
        fn deregister_task_definition(arn: &str) -> ();
        fn fetch_inactive_task_definitions(family: &str) -> Vec<String>;
        fn delete_task_definition(arn: &str) -> ();
    }
    services: Services {
        fn fetch_cluster_is_active(cluster: &str) -> bool;
        fn fetch_service(cluster: &str, name: &str) -> Option<ServiceDescription>;
        fn create_service(service: &NewService) -> ();
        fn resize_service(cluster: &str, name: &str, desired: u32) -> ();
        fn delete_service(cluster: &str, name: &str) -> ();
    }
    tasks: Tasks {
        fn fetch_tasks(cluster: &str, service: &str) -> Vec<TaskDescription>;
        fn protect_tasks(cluster: &str, arns: &[String], minutes: u32) -> ();
        fn release_tasks(cluster: &str, arns: &[String]) -> ();
    }
    scaling: Scaling {
        fn fetch_scheduled_scale_to_zero(cluster: &str, service: &str) -> Option<ScheduledActionDescription>;
        fn put_scheduled_scale_to_zero(cluster: &str, service: &str, max_tasks: u32, at: MicroTime) -> ();
        fn delete_scheduled_scale_to_zero(cluster: &str, service: &str) -> ();
    }
    parameters: Parameters {
        fn fetch_parameter(name: &str) -> Option<String>;
        fn fetch_parameter_tags(name: &str) -> Tags;
        fn create_parameter(name: &str, text: &str, tags: &Tags) -> ();
        fn overwrite_parameter(name: &str, text: &str) -> OverwriteResult;
        fn tag_parameter(name: &str, tags: &Tags) -> ();
        fn delete_parameter(name: &str) -> ();
    }
    logs: Logs {
        fn fetch_log_group(name: &str) -> Option<LogGroupDescription>;
        fn fetch_log_group_tags(arn: &str) -> Tags;
        fn create_log_group(name: &str, tags: &Tags) -> ();
        fn put_log_retention(name: &str, days: u32) -> ();
        fn delete_log_group(name: &str) -> ();
        fn fetch_ledger_page(group: &str, since: MicroTime, page: Option<&str>) -> LedgerPage;
        fn fetch_last_lines(group: &str, task: &str, count: u32) -> Option<Vec<String>>;
    }
    dashboards: Dashboards {
        fn fetch_dashboard_exists(name: &str) -> bool;
        fn put_dashboard(name: &str, body: &str) -> ();
        fn delete_dashboard(name: &str) -> ();
    }
    metrics: Metrics {
        fn put_run_metrics(run_name: &str, at: MicroTime, data: &[(RunMetric, u32)]) -> ();
    }
}
