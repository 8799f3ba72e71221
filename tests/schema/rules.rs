//! The definition in a real API server: what it accepts at a bound, what it rejects beyond it, and
//! with which message.

use std::collections::BTreeSet;

use kinesis_demo_api::plan::Plan;
use kinesis_demo_api::{KinesisDemo, KinesisDemoSpec};
use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kinesis_demo_testing::settings::settings;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, CustomResourceExt, ResourceExt};
use serde_json::{Value, json};

/// A spec at the bound of a rule, and one beyond it. `message` is a part of the API server's error
/// for the latter.
struct Edge {
    at: Value,
    beyond: Value,
    message: &'static str,
}

fn phase(change: Value) -> Value {
    let mut phase = json!({ "name": "a", "duration": "10s", "recordsPerSecond": 100 });
    merge(&mut phase, change);
    phase
}

fn phases(change: Value) -> Value {
    json!({ "phases": [phase(change)] })
}

fn fargate(cpu: u32, memory: u32) -> Value {
    json!({ "generator": { "fargate": { "cpu": cpu, "memoryMiB": memory } } })
}

fn merge(into: &mut Value, change: Value) {
    for (key, value) in change.as_object().cloned().unwrap_or_default() {
        into[key] = value;
    }
}

/// Every rule of the schema, CEL or not, that a manifest can violate.
fn edges() -> Vec<Edge> {
    let warm = |warm: Value| json!({ "stream": { "warmThroughput": warm } });
    let size = |size: Value| json!({ "generator": { "records": { "size": size } } });
    let memory = "generator.fargate.memoryMiB: not a size that Fargate offers";
    let many =
        |count: usize| -> Value { (0..count).map(|n| phase(json!({ "name": format!("p{n}") }))).collect() };
    vec![
        Edge {
            at: json!({ "generator": { "ratePerTask": 500, "maxTasks": 2 }, "phases": [phase(json!({ "recordsPerSecond": 1000 }))] }),
            beyond: json!({ "generator": { "ratePerTask": 500, "maxTasks": 2 }, "phases": [phase(json!({ "recordsPerSecond": 1001 }))] }),
            message: "phases: recordsPerSecond of each phase is at most generator.ratePerTask × generator.maxTasks",
        },
        Edge {
            at: json!({ "limits": { "maxDuration": "20s" }, "phases": [phase(json!({})), phase(json!({ "name": "b" }))] }),
            beyond: json!({ "limits": { "maxDuration": "19s" }, "phases": [phase(json!({})), phase(json!({ "name": "b" }))] }),
            message: "phases: durations add up to at most limits.maxDuration",
        },
        Edge {
            at: json!({ "phases": [phase(json!({})), phase(json!({ "name": "b" }))] }),
            beyond: json!({ "phases": [phase(json!({})), phase(json!({}))] }),
            message: "phases: each name at most once",
        },
        Edge {
            at: json!({ "cohort": { "name": "pair", "size": 2 } }),
            beyond: json!({ "cohort": { "name": "pair", "size": 1 } }),
            message: "spec.cohort.size",
        },
        Edge {
            at: json!({ "cohort": { "name": "pair", "size": 15 } }),
            beyond: json!({ "cohort": { "name": "pair", "size": 16 } }),
            message: "spec.cohort.size",
        },
        Edge {
            at: json!({ "cohort": { "name": "a-1", "size": 2 } }),
            beyond: json!({ "cohort": { "name": "-1", "size": 2 } }),
            message: "spec.cohort.name",
        },
        Edge {
            at: phases(json!({ "duration": "1s" })),
            beyond: phases(json!({ "duration": "999ms" })),
            message: "phases[].duration: at least 1s and at most 24h",
        },
        Edge {
            at: json!({ "limits": { "maxDuration": "48h" }, "phases": [phase(json!({ "duration": "24h" }))] }),
            beyond: json!({ "limits": { "maxDuration": "48h" }, "phases": [phase(json!({ "duration": "24h1s" }))] }),
            message: "phases[].duration: at least 1s and at most 24h",
        },
        Edge {
            at: phases(json!({ "ramp": { "shape": "Linear", "over": "10s" } })),
            beyond: phases(json!({ "ramp": { "shape": "Linear", "over": "10001ms" } })),
            message: "phases[].ramp.over: at most the phase's duration",
        },
        Edge {
            at: phases(json!({ "ramp": { "shape": "Step" } })),
            beyond: phases(json!({ "ramp": { "shape": "Linear" } })),
            message: "phases[].ramp.over: required with shape Linear",
        },
        Edge {
            at: phases(json!({ "ramp": { "shape": "Linear", "over": "1s" } })),
            beyond: phases(json!({ "ramp": { "shape": "Linear", "over": "999ms" } })),
            message: "phases[].ramp.over: at least 1s",
        },
        Edge {
            at: warm(json!({ "mode": "Fixed", "mibPerSecond": 1 })),
            beyond: warm(json!({ "mode": "Fixed" })),
            message: "stream.warmThroughput.mibPerSecond: required with mode Fixed",
        },
        Edge {
            at: warm(json!({ "mode": "None" })),
            beyond: warm(json!({ "mibPerSecond": 10 })),
            message: "stream.warmThroughput.mibPerSecond: required with mode Fixed",
        },
        Edge {
            at: size(json!({ "mode": "Fixed", "bytes": 256 })),
            beyond: size(json!({ "mode": "Fixed" })),
            message: "generator.records.size.bytes: required with mode Fixed",
        },
        Edge { at: fargate(256, 2048), beyond: fargate(256, 3072), message: memory },
        Edge { at: fargate(256, 512), beyond: fargate(256, 513), message: memory },
        Edge { at: fargate(512, 4096), beyond: fargate(512, 5120), message: memory },
        Edge { at: fargate(512, 1024), beyond: fargate(512, 512), message: memory },
        Edge { at: fargate(1024, 2048), beyond: fargate(1024, 1024), message: memory },
        Edge { at: fargate(1024, 8192), beyond: fargate(1024, 9216), message: memory },
        Edge { at: fargate(2048, 4096), beyond: fargate(2048, 4097), message: memory },
        Edge { at: fargate(2048, 16384), beyond: fargate(2048, 17408), message: memory },
        Edge { at: fargate(4096, 30720), beyond: fargate(4096, 7168), message: memory },
        Edge {
            at: json!({ "limits": { "maxDuration": "10s" }, "phases": [phase(json!({}))] }),
            beyond: json!({ "limits": { "maxDuration": "9999ms" }, "phases": [phase(json!({ "duration": "1s" }))] }),
            message: "limits.maxDuration: at least 10s and at most 48h",
        },
        Edge {
            at: json!({ "limits": { "maxDuration": "48h" } }),
            beyond: json!({ "limits": { "maxDuration": "48h1ms" } }),
            message: "limits.maxDuration: at least 10s and at most 48h",
        },
        // Bounds that come from the types.
        Edge {
            at: warm(json!({ "mode": "Fixed", "mibPerSecond": 10240 })),
            beyond: warm(json!({ "mode": "Fixed", "mibPerSecond": 10241 })),
            message: "spec.stream.warmThroughput.mibPerSecond",
        },
        Edge {
            at: warm(json!({ "mode": "Fixed", "mibPerSecond": 1 })),
            beyond: warm(json!({ "mode": "Fixed", "mibPerSecond": 0 })),
            message: "spec.stream.warmThroughput.mibPerSecond",
        },
        Edge {
            at: phases(json!({ "recordsPerSecond": 0 })),
            beyond: phases(json!({ "recordsPerSecond": -1 })),
            message: "recordsPerSecond",
        },
        Edge {
            at: phases(json!({ "name": "a".repeat(40) })),
            beyond: phases(json!({ "name": "a".repeat(41) })),
            message: "spec.phases[0].name",
        },
        Edge {
            at: phases(json!({ "name": "a-1" })),
            beyond: phases(json!({ "name": "-a" })),
            message: "spec.phases[0].name",
        },
        Edge {
            at: phases(json!({ "duration": "1m30s" })),
            beyond: phases(json!({ "duration": "90" })),
            message: "spec.phases[0].duration",
        },
        Edge {
            at: phases(json!({ "content": "Viral" })),
            beyond: phases(json!({ "content": "viral" })),
            message: "spec.phases[0].content",
        },
        Edge {
            at: json!({ "phases": many(20) }),
            beyond: json!({ "phases": many(21) }),
            message: "spec.phases",
        },
        Edge { at: json!({ "phases": many(1) }), beyond: json!({ "phases": [] }), message: "spec.phases" },
        Edge {
            at: json!({ "generator": { "maxTasks": 100 } }),
            beyond: json!({ "generator": { "maxTasks": 101 } }),
            message: "spec.generator.maxTasks",
        },
        Edge {
            at: json!({ "generator": { "ratePerTask": 50_000 } }),
            beyond: json!({ "generator": { "ratePerTask": 50_001 } }),
            message: "spec.generator.ratePerTask",
        },
        Edge {
            at: size(json!({ "mode": "Fixed", "bytes": 256 })),
            beyond: size(json!({ "mode": "Fixed", "bytes": 255 })),
            message: "spec.generator.records.size.bytes",
        },
        Edge { at: fargate(1024, 2048), beyond: fargate(1025, 2048), message: "spec.generator.fargate.cpu" },
        Edge {
            at: json!({ "generator": { "fargate": { "subnets": ["subnet-0a1b2c3d"] } } }),
            beyond: json!({ "generator": { "fargate": { "subnets": ["net-1"] } } }),
            message: "spec.generator.fargate.subnets",
        },
        Edge {
            at: json!({ "generator": { "fargate": { "securityGroups": ["sg-0a1b2c3d"] } } }),
            beyond: json!({ "generator": { "fargate": { "securityGroups": ["0a1b2c3d"] } } }),
            message: "spec.generator.fargate.securityGroups",
        },
        Edge {
            at: json!({ "region": "eu-central-1" }),
            beyond: json!({ "region": "Frankfurt" }),
            message: "spec.region",
        },
        Edge {
            at: json!({ "stream": { "name": "Posts_1.x-y" } }),
            beyond: json!({ "stream": { "name": "posts/1" } }),
            message: "spec.stream.name",
        },
        Edge {
            at: json!({ "dashboard": { "mode": "None" } }),
            beyond: json!({ "dashboard": { "mode": "Grafana" } }),
            message: "spec.dashboard.mode",
        },
        Edge {
            at: json!({ "billing": { "advantage": "Require" } }),
            beyond: json!({ "billing": { "advantage": "Enable" } }),
            message: "spec.billing.advantage",
        },
        Edge {
            at: json!({ "cleanup": { "stream": "Retain" } }),
            beyond: json!({ "cleanup": { "stream": "Keep" } }),
            message: "spec.cleanup.stream",
        },
    ]
}

/// The messages of every CEL rule in the definition.
fn rule_messages() -> BTreeSet<String> {
    fn collect(schema: &Value, into: &mut BTreeSet<String>) {
        match schema {
            Value::Object(members) => {
                for rule in
                    members.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten()
                {
                    into.insert(rule["message"].as_str().expect("every rule has a message").to_owned());
                }
                members.values().for_each(|member| collect(member, into));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let crd = serde_json::to_value(KinesisDemo::crd()).unwrap();
    let mut messages = BTreeSet::new();
    collect(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], &mut messages);
    for rule in crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["x-kubernetes-validations"]
        .as_array()
        .unwrap()
    {
        messages.insert(rule["message"].as_str().unwrap().to_owned());
    }
    messages
}

/// Rules about changes and names, which `edges` cannot express. `transitions_and_names` tests them.
const ELSEWHERE: [&str; 3] = [
    "region: fixed from creation",
    "stream.name: fixed from creation",
    "metadata.name: at most 63 characters",
];

#[test]
fn every_cel_rule_is_tested_at_its_bound() {
    let edges = edges();
    for message in rule_messages() {
        let tested = ELSEWHERE.contains(&message.as_str())
            || edges.iter().any(|edge| message.starts_with(edge.message));
        assert!(tested, "no test violates the rule {message:?}");
    }
}

fn object(name: &str, spec: Value) -> DynamicObject {
    serde_json::from_value(json!({
        "apiVersion": "kinesisdemo.io/v1alpha1",
        "kind": "KinesisDemo",
        "metadata": { "name": name, "namespace": "default" },
        "spec": spec,
    }))
    .unwrap()
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

/// The API server's error for `object`, if it rejects it.
async fn refusal(api: &Api<DynamicObject>, object: &DynamicObject) -> Option<String> {
    match api.create(&dry_run(), object).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_real_api_server_enforces_every_rule() {
    let Some(options) = ApiServerOptions::cached().await else { return };
    let state = tempfile::tempdir().unwrap();
    let server = ApiServer::start(state.path(), options).await.unwrap();
    definition::put_definitions(&server.client()).await.unwrap();
    let kind = KinesisDemo::api_resource();
    let api: Api<DynamicObject> = Api::namespaced_with(server.client(), "default", &kind);

    tables(&api).await;
    transitions_and_names(&api).await;
    defaults(&api, &kind).await;
    nulls(&api).await;
    server.stop().await;
}

async fn tables(api: &Api<DynamicObject>) {
    for (row, edge) in edges().into_iter().enumerate() {
        assert_eq!(
            refusal(api, &object("edge", edge.at.clone())).await,
            None,
            "row {row}: {} was rejected at the bound",
            edge.at
        );
        let error = refusal(api, &object("edge", edge.beyond.clone())).await;
        let error = error
            .unwrap_or_else(|| panic!("row {row}: {} was accepted despite {:?}", edge.beyond, edge.message));
        assert!(error.contains(edge.message), "row {row}: {error:?} does not contain {:?}", edge.message);
    }
}

async fn transitions_and_names(api: &Api<DynamicObject>) {
    assert_eq!(refusal(api, &object(&"n".repeat(63), json!({}))).await, None);
    let error = refusal(api, &object(&"n".repeat(64), json!({}))).await.unwrap();
    assert!(error.contains("metadata.name: at most 63 characters"), "{error}");

    let spec = json!({ "region": "eu-west-1", "stream": { "name": "posts" } });
    api.create(&PostParams::default(), &object("fixed", spec)).await.unwrap();
    api.create(&PostParams::default(), &object("free", json!({}))).await.unwrap();
    for (name, change, message) in [
        ("fixed", json!({ "region": "us-east-1" }), "region: fixed from creation"),
        ("fixed", json!({ "region": null }), "region: fixed from creation"),
        ("free", json!({ "region": "us-east-1" }), "region: fixed from creation"),
        ("fixed", json!({ "stream": { "name": "other" } }), "stream.name: fixed from creation"),
        ("free", json!({ "stream": { "name": "late" } }), "stream.name: fixed from creation"),
    ] {
        let patch = Patch::Merge(json!({ "spec": change }));
        let error =
            api.patch(name, &PatchParams::default(), &patch).await.expect_err("the change must be rejected");
        assert!(error.to_string().contains(message), "{name} {change}: {error}");
    }
    let patch = Patch::Merge(json!({ "spec": { "cleanup": { "stream": "Retain" }, "region": "eu-west-1" } }));
    api.patch("fixed", &PatchParams::default(), &patch).await.unwrap();
}

async fn defaults(api: &Api<DynamicObject>, kind: &ApiResource) {
    let applied = object("defaults", json!({}));
    let parameters = PatchParams::apply("someone");
    let first = api.patch("defaults", &parameters, &Patch::Apply(&applied)).await.unwrap();
    let spec = &first.data["spec"];
    let rates: Vec<_> = spec["phases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|phase| phase["recordsPerSecond"].as_i64().unwrap())
        .collect();
    assert_eq!(rates, [100, 10_000, 50_000, 100]);
    assert_eq!(spec["stream"]["warmThroughput"]["mode"], "None");
    assert_eq!(spec["generator"]["fargate"]["memoryMiB"], 512);
    assert_eq!(spec["limits"]["maxDuration"], "30m");
    assert_eq!(spec["phases"][0]["ramp"]["shape"], "Step");

    // What the server stored equals the defaults of the types, and applying the file again changes
    // nothing.
    let typed: KinesisDemo = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(typed.spec, kinesis_demo_api::KinesisDemoSpec::default());
    let second = api.patch("defaults", &parameters, &Patch::Apply(&applied)).await.unwrap();
    assert_eq!(second.resource_version(), first.resource_version());
    assert_eq!(kind.plural, "kinesisdemos");
}

/// An explicit null either has the same effect as leaving the field out, or a cheaper one, or is
/// rejected.
async fn nulls(api: &Api<DynamicObject>) {
    let stored = async |spec: Value| -> Result<KinesisDemo, String> {
        match api.create(&dry_run(), &object("nulls", spec)).await {
            Ok(stored) => Ok(serde_json::from_value(serde_json::to_value(&stored).unwrap()).unwrap()),
            Err(error) => Err(error.to_string()),
        }
    };
    let plan = |demo: &KinesisDemo| Plan::new(&demo.spec, &settings().defaults);

    // The API server keeps this null, and the plan rejects it instead of using the default phases.
    let no_phases = stored(json!({ "phases": null })).await.unwrap();
    let error = plan(&no_phases).unwrap_err().to_string();
    assert!(
        error.starts_with("phases: null or an empty list") && error.contains("leave the field out"),
        "{error}"
    );
    let with_null =
        api.create(&PostParams::default(), &object("kept", json!({ "phases": null }))).await.unwrap();
    assert_eq!(with_null.data["spec"]["phases"], Value::Null);
    // An ordinary edit fixes it.
    let fixed_phases = Patch::Merge(json!({ "spec": { "phases": [phase(json!({}))] } }));
    api.patch("kept", &PatchParams::default(), &fixed_phases).await.unwrap();

    assert!(!plan(&stored(json!({ "dashboard": null })).await.unwrap()).unwrap().dashboard);

    let default = KinesisDemoSpec::default();
    for spec in [
        json!({ "stream": null }),
        json!({ "stream": { "name": null, "warmThroughput": null } }),
        json!({ "stream": { "warmThroughput": { "mode": null } } }),
        json!({ "billing": null }),
        json!({ "billing": { "advantage": null } }),
        json!({ "generator": null }),
        json!({ "generator": { "image": null, "ratePerTask": null, "maxTasks": null, "records": null, "fargate": null } }),
        json!({ "limits": null }),
        json!({ "limits": { "maxDuration": null } }),
        json!({ "cleanup": null }),
        json!({ "region": null }),
    ] {
        // Same as leaving the field out.
        assert_eq!(stored(spec.clone()).await.unwrap().spec, default, "{spec}");
    }
    for spec in [
        json!(null),
        json!({ "dashboard": { "mode": null } }),
        json!({ "phases": [null] }),
        phases(json!({ "recordsPerSecond": null })),
        phases(json!({ "duration": null })),
        phases(json!({ "name": null })),
    ] {
        assert!(stored(spec.clone()).await.is_err(), "{spec} was accepted");
    }
}
