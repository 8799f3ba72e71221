//! The operator's role grants exactly what it uses. The API server's audit log of a run with all
//! features shows every verb of the role, no other verb, and no refusal.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kinesis_demo_api::run_record::DEMO_LABEL;
use kinesis_demo_api::{KinesisDemo, KinesisDemoRun, Stage};
use kinesis_demo_local_cluster::kubernetes::api_server::AUDIT_LOG;
use kinesis_demo_local_cluster::kubernetes::operator_access::OPERATOR_ROLE;
use kinesis_demo_local_cluster::programs::OPERATOR;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::local_stack::{LocalStack, shared_permit};

/// A verb on a resource, as in `patch events.events.k8s.io`.
type Right = String;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuditEntry {
    verb: String,
    #[serde(default)]
    object_ref: Option<ObjectRef>,
    #[serde(default)]
    response_status: Option<ResponseStatus>,
    #[serde(default, rename = "requestURI")]
    request_uri: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: String,
    #[serde(default)]
    subresource: Option<String>,
    #[serde(default, rename = "apiGroup")]
    api_group: Option<String>,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: u16,
}

fn right(verb: &str, group: &str, resource: &str) -> Right {
    format!("{verb} {resource}.{group}")
}

/// The rights that the audit log shows as used, and the refused requests.
fn used(log: &str) -> (BTreeSet<Right>, Vec<String>) {
    let mut rights = BTreeSet::new();
    let mut refused = Vec::new();
    for line in log.lines() {
        let entry: AuditEntry = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let Some(object) = entry.object_ref else { continue };
        let resource = match object.subresource {
            Some(subresource) => format!("{}/{subresource}", object.resource),
            None => object.resource,
        };
        rights.insert(right(&entry.verb, &object.api_group.unwrap_or_default(), &resource));
        if entry.response_status.is_some_and(|status| status.code == 401 || status.code == 403) {
            refused.push(format!("{} {}", entry.verb, entry.request_uri));
        }
    }
    (rights, refused)
}

/// The rights that the role grants.
fn granted() -> BTreeSet<Right> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(OPERATOR_ROLE).unwrap();
    let mut rules: Vec<PolicyRule> = Vec::new();
    for document in documents {
        match document["kind"].as_str() {
            Some("ClusterRole") => {
                rules.extend(serde_json::from_value::<ClusterRole>(document).unwrap().rules.unwrap())
            }
            Some("Role") => rules.extend(serde_json::from_value::<Role>(document).unwrap().rules.unwrap()),
            _ => {}
        }
    }
    let mut rights = BTreeSet::new();
    for rule in rules {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                rights.extend(rule.verbs.iter().map(|verb| right(verb, group, resource)));
            }
        }
    }
    rights
}

fn stage(demo: &KinesisDemo) -> Option<Stage> {
    demo.status.as_ref().and_then(|status| status.stage)
}

/// A record of an earlier KinesisDemo of this name.
fn an_old_record(demo: &str, run: u32) -> KinesisDemoRun {
    let record = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemoRun",
        "metadata": { "name": format!("{demo}-{run}-00000"), "labels": { DEMO_LABEL: demo } },
        "spec": {
            "demo": demo, "demoUid": "0", "run": run, "accountId": "000000000000", "region": "us-east-1",
            "streamName": "posts", "settings": {}, "operatorVersion": "0.1.0",
        },
    });
    serde_json::from_value(record).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_is_exactly_what_the_operator_uses() {
    let Some(_permit) = shared_permit().await else { return };
    let stack = LocalStack::start().await;
    // Two throttling periods with a success in between: the second Event increments the count of
    // the first. Each period covers two reconciles with the SDK's three attempts each. A second
    // reconcile follows the first one immediately, because the first one writes the error to the
    // status.
    let refuse = || async {
        let fault = json!({"service": "kinesis", "operation": "DescribeStreamSummary", "kind": "Throttle", "times": 6});
        stack.sandbox.add_fault(&fault).await.unwrap();
    };
    let manifest = json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": "busy" },
        "spec": { "phases": [{ "name": "steady", "duration": "2m", "recordsPerSecond": 200 }] },
    });
    // As many old records of runs as are kept: the run's own record makes one too many.
    let records: Api<KinesisDemoRun> = Api::namespaced(stack.client(), "demos");
    for number in 1..=10 {
        records.create(&PostParams::default(), &an_old_record("busy", number)).await.unwrap();
    }
    stack.demos.apply("busy", &manifest).await.unwrap();
    let accepted = |demo: &KinesisDemo| {
        demo.status
            .as_ref()
            .and_then(|status| status.traffic.as_ref())
            .map_or(0, |traffic| traffic.totals.accepted)
    };
    stack.wait("busy", Duration::from_secs(60), |demo| accepted(demo) > 0).await;
    for _ in 0..2 {
        refuse().await;
        let refused = |demo: &KinesisDemo| json!(demo.status).to_string().contains("Throttled");
        stack.wait("busy", Duration::from_secs(30), refused).await;
        stack.wait("busy", Duration::from_secs(30), |demo| !refused(demo)).await;
    }
    // Another operator takes over the Lease during a run.
    stack.kill_operator().await;
    let before = accepted(&stack.demos.fetch("busy").await.unwrap());
    stack.wait("busy", Duration::from_secs(60), |demo| accepted(demo) > before).await;
    assert_eq!(stage(&stack.demos.fetch("busy").await.unwrap()), Some(Stage::Running));
    stack.demos.delete("busy").await.unwrap();
    stack.wait_until_deleted("busy", Duration::from_secs(90)).await;
    let kept = records.list_metadata(&ListParams::default()).await.unwrap();
    let names: Vec<String> = kept.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names.iter().filter(|name| name.ends_with("-00000")).count(), 9, "{names:?}");
    assert_eq!(names.len(), 10, "{names:?}");

    let log = stack.supervisor.log_path(AUDIT_LOG);
    // The last requests (the end of the watch, the release of the Lease) are only logged when the
    // operator stops.
    stack.supervisor.stop(OPERATOR).await;
    let (used, refused) = used(&std::fs::read_to_string(log).unwrap());
    assert_eq!(refused, [] as [String; 0]);
    assert_eq!(used, granted(), "used (left), granted (right)");
    stack.stop().await;
}
