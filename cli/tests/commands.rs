//! Runs the program against a real API server; the test plays the operator. Needs kube-apiserver
//! and etcd on this machine; without them the tests print a line and pass.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use k8s_openapi::api::events::v1::Event;
use kinesis_demo_api::KinesisDemo;
use kinesis_demo_api::demo::REQUEST_ANNOTATION;
use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};

/// A cluster with a namespace `demos`, and the program configured to use it.
struct Harness {
    server: ApiServer,
    _state: tempfile::TempDir,
}

impl Harness {
    async fn set_up() -> Option<Self> {
        let options = ApiServerOptions::cached().await?;
        let state = tempfile::tempdir().unwrap();
        let server = ApiServer::start(state.path(), options).await.unwrap();
        definition::put_namespace(&server.client(), "demos").await.unwrap();
        Some(Self { server, _state: state })
    }

    fn client(&self) -> Client {
        self.server.client()
    }

    fn demos(&self) -> Api<KinesisDemo> {
        Api::namespaced(self.client(), "demos")
    }

    /// Runs the program with `line`, in the namespace `demos`.
    async fn run(&self, line: &str) -> CommandResult {
        self.run_with(line, "").await
    }

    async fn run_with(&self, line: &str, input: &str) -> CommandResult {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        self.run_words(&words, input).await
    }

    /// Runs `start -f FILE`; the path may contain spaces.
    async fn start(&self, file: &Path, flags: &[&str]) -> CommandResult {
        let mut words: Vec<OsString> = vec!["start".into(), "-f".into(), file.into()];
        words.extend(flags.iter().map(Into::into));
        self.run_words(&words, "").await
    }

    async fn run_with_environment(&self, line: &str, environment: &[(&str, &str)]) -> CommandResult {
        let words: Vec<_> = line.split_whitespace().map(Into::into).collect();
        self.run_all(&words, "", environment).await
    }

    async fn run_words(&self, words: &[OsString], input: &str) -> CommandResult {
        self.run_all(words, input, &[]).await
    }

    async fn run_all(&self, words: &[OsString], input: &str, environment: &[(&str, &str)]) -> CommandResult {
        let kubeconfig = self.server.admin_kubeconfig();
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"))
            .args(words)
            .args(["-n", "demos", "--kubeconfig"])
            .arg(kubeconfig)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap().into_owned_fd().map(std::fs::File::from).unwrap();
        pipe.write_all(input.as_bytes()).unwrap();
        drop(pipe);
        let Output { status, stdout, stderr } = child.wait_with_output().await.unwrap();
        CommandResult {
            code: status.code().unwrap(),
            out: String::from_utf8(stdout).unwrap(),
            err: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Writes the status as the operator would.
    async fn put_status(&self, name: &str, status: Value) {
        let patch = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "status": status});
        self.demos().patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Responds to the next request on `name` as the operator would, then sets the run's stage.
    async fn respond_to_request(&self, name: &str, outcome: &str, run: u32, stage: &str) -> Value {
        loop {
            let demo = self.demos().get(name).await.unwrap();
            if let Some(text) = demo.annotations().get(REQUEST_ANNOTATION) {
                let request: Value = serde_json::from_str(text).unwrap();
                let last = json!({"id": request["id"], "verb": request["verb"], "outcome": outcome,
                    "message": "because", "at": "2026-11-22T10:00:00.000000Z"});
                self.put_status(name, json!({"lastRequest": last})).await;
                self.put_status(name, status(run, stage)).await;
                return request;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

struct CommandResult {
    code: i32,
    out: String,
    err: String,
}

fn status(run: u32, stage: &str) -> Value {
    json!({"stage": stage, "observedGeneration": 1,
        "run": {"number": run, "stageEnteredAt": "2026-11-22T10:00:00.000000Z"}})
}

fn example(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[tokio::test]
async fn a_demo_is_created_watched_aborted_rerun_and_deleted() {
    let Some(harness) = Harness::set_up().await else { return };

    let unknown = harness.run("list").await;
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("could not list the KinesisDemos of namespace demos"), "{}", unknown.err);
    assert!(unknown.err.contains("next: KinesisDemo is not installed in this cluster"), "{}", unknown.err);
    definition::put_definitions(&harness.client()).await.unwrap();
    let none = harness.run("list").await;
    assert_eq!((none.code, none.out.contains("no KinesisDemo in namespace demos")), (0, true));
    let missing = harness.run("status nothing").await;
    assert_eq!(missing.code, 1);
    assert!(missing.err.contains("could not read KinesisDemo demos/nothing"), "{}", missing.err);

    // Created from a file, from stdin and from flags. Applying the same file again changes nothing.
    let file = example("smoke.yaml");
    let created = harness.start(&file, &["--no-watch"]).await;
    assert_eq!(created.code, 0, "{}", created.err);
    let before = harness.demos().get("smoke").await.unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(harness.run_with("start -f - --no-watch", &text).await.code, 0);
    let after = harness.demos().get("smoke").await.unwrap();
    assert_eq!(before.metadata.resource_version, after.metadata.resource_version);
    let flags = harness.run("start --name flags --region eu-west-1 --warm-throughput 100 --no-watch").await;
    assert_eq!(flags.code, 0, "{}", flags.err);
    let created = harness.demos().get("flags").await.unwrap();
    assert_eq!(created.spec.region.as_deref(), Some("eu-west-1"));
    assert_eq!(created.spec.stream.warm_throughput.mib_per_second, Some(100));

    // A rejection shows the API server's message, with field and limit.
    let bad = text.replace("duration: 5s", "duration: 25h").replace("name: smoke", "name: bad");
    let refused = harness.run_with("start -f - --no-watch", &bad).await;
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("phases[].duration: at least 1s and at most 24h"), "{}", refused.err);
    let typo = text.replace("maxDuration", "maxDurations");
    assert!(harness.run_with("start -f - --no-watch", &typo).await.err.contains("maxDurations"));

    // The program's log has no colours without a terminal.
    let logged = harness.run_with_environment("list", &[("RUST_LOG", "trace")]).await;
    assert!(logged.err.contains("TRACE") && !logged.err.contains('\u{1b}'), "{}", logged.err);

    harness.put_status("smoke", status(1, "Running")).await;
    let listed = harness.run("list").await.out;
    assert!(listed.lines().any(|line| line.starts_with("smoke") && line.contains("Running")), "{listed}");
    let json: Value = serde_json::from_str(&harness.run("list -o json").await.out).unwrap();
    assert_eq!(
        (json["kind"].as_str(), json["items"].as_array().map(Vec::len)),
        (Some("KinesisDemoList"), Some(2))
    );
    for verb in ["list", "status smoke", "watch flags", "logs smoke"] {
        let wrong = harness.run(&format!("{verb} -o xml")).await;
        assert_eq!(wrong.code, 2, "{verb}: {}", wrong.err);
    }
    let yaml: Value = serde_saphyr::from_str(&harness.run("list -o yaml").await.out).unwrap();
    assert_eq!(yaml, json);
    let shown = harness.run("status smoke -o yaml").await.out;
    let yaml: KinesisDemo = serde_saphyr::from_str(&shown).unwrap();
    assert_eq!(yaml, harness.demos().get("smoke").await.unwrap(), "{shown}");
    assert!(harness.run("status smoke").await.out.starts_with("demos/smoke · run 1 · Running"));

    // An abort waits for the operator's response and for the end of the run.
    let (stopped, request) = tokio::join!(
        harness.run("stop smoke"),
        harness.respond_to_request("smoke", "Accepted", 1, "Aborted")
    );
    assert_eq!(stopped.code, 0, "{}", stopped.err);
    assert_eq!((request["verb"].as_str(), request["run"].as_u64()), (Some("abort"), Some(1)));
    assert!(stopped.out.contains("Aborted"), "{}", stopped.out);
    assert_eq!(harness.run("watch smoke").await.code, 4);

    // Applying the file again does not start a finished run again; only a rerun does.
    let again = harness.start(&file, &[]).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("rerun smoke"), "{}", again.err);
    clear_request(&harness, "smoke").await;
    let (rerun, request) = tokio::join!(
        harness.run("rerun smoke"),
        harness.respond_to_request("smoke", "Accepted", 2, "Failed")
    );
    assert_eq!(request["verb"].as_str(), Some("rerun"));
    assert_eq!(rerun.code, 3, "{}", rerun.err);
    clear_request(&harness, "smoke").await;
    let (refused, _) =
        tokio::join!(harness.run("stop smoke"), harness.respond_to_request("smoke", "Refused", 2, "Failed"));
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("the operator refused: because"), "{}", refused.err);

    assert_events_are_printed(&harness).await;

    let cleaned = harness.run("cleanup smoke").await;
    assert_eq!(cleaned.code, 0, "{}", cleaned.err);
    assert!(cleaned.out.contains("demos/smoke is deleted"), "{}", cleaned.out);
    let again = harness.run("cleanup smoke").await;
    assert_eq!((again.code, again.out.as_str()), (0, "demos/smoke does not exist; nothing was deleted\n"));
    let rest = harness.run("cleanup --all").await;
    assert_eq!(rest.code, 0, "{}", rest.err);
    assert!(harness.demos().get_opt("flags").await.unwrap().is_none());
    harness.server.stop().await;
}

/// Creates a new object under that field manager, as `kubectl apply` of the file does.
async fn create_as(harness: &Harness, manager: &str, document: &Value) {
    let _ = harness.demos().delete(document["metadata"]["name"].as_str().unwrap(), &Default::default()).await;
    let demo: KinesisDemo = serde_json::from_value(document.clone()).unwrap();
    // As written, without the defaults that the type would add.
    let api: Api<kube::core::DynamicObject> =
        Api::namespaced_with(harness.client(), "demos", &kube::core::ApiResource::erase::<KinesisDemo>(&()));
    let object = serde_json::from_value(document.clone()).unwrap();
    let params = PostParams { field_manager: Some(manager.into()), ..PostParams::default() };
    api.create(&params, &object).await.unwrap();
    assert_eq!(harness.demos().get(&demo.name_any()).await.unwrap().spec.phases, demo.spec.phases);
}

#[tokio::test]
async fn only_a_different_file_conflicts_and_names_the_owner() {
    let Some(harness) = Harness::set_up().await else { return };
    definition::put_definitions(&harness.client()).await.unwrap();
    let text = std::fs::read_to_string(example("smoke.yaml")).unwrap();
    let document: Value = serde_saphyr::from_str(&text).unwrap();
    let faster = text.replace("recordsPerSecond: 1000", "recordsPerSecond: 1001");
    assert_ne!(faster, text);
    for manager in ["kubectl-client-side-apply", "argocd-controller"] {
        create_as(&harness, manager, &document).await;
        let before = harness.demos().get("smoke").await.unwrap();
        let same = harness.run_with("start -f - --no-watch", &text).await;
        assert_eq!(same.code, 0, "{}", same.err);
        let after = harness.demos().get("smoke").await.unwrap();
        // The object is not written at all, so the other tool's next apply finds no second owner.
        assert_eq!(
            (&after.spec, after.metadata.resource_version),
            (&before.spec, before.metadata.resource_version.clone())
        );

        let refused = harness.run_with("start -f - --no-watch", &faster).await;
        assert_eq!(refused.code, 1);
        let message =
            format!("could not apply KinesisDemo demos/smoke: .spec.phases is owned by {manager}\n");
        assert!(refused.err.contains(&message), "{}", refused.err);
        assert!(refused.err.contains("--force-conflicts"), "{}", refused.err);
        assert_eq!(harness.demos().get("smoke").await.unwrap().spec, before.spec);

        let taken = harness.run_with("start -f - --no-watch --force-conflicts", &faster).await;
        assert_eq!(taken.code, 0, "{}", taken.err);
        assert_eq!(harness.demos().get("smoke").await.unwrap().spec.phases[1].records_per_second, 1001);
    }
    // The program may change fields that it applied itself.
    let back = harness.run_with("start -f - --no-watch", &text).await;
    assert_eq!(back.code, 0, "{}", back.err);
    harness.server.stop().await;
}

/// Fields that are not given here and that another tool owns are kept and reported.
#[tokio::test]
async fn fields_of_another_tool_missing_in_the_file_are_named() {
    let Some(harness) = Harness::set_up().await else { return };
    definition::put_definitions(&harness.client()).await.unwrap();
    let text = std::fs::read_to_string(example("smoke.yaml")).unwrap();
    let mut document: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(document["spec"].get("cleanup"), None);

    // Defaults, which the creator of the object also owns, are not reported.
    create_as(&harness, "kubectl-client-side-apply", &document).await;
    let same = harness.run_with("start -f - --no-watch", &text).await;
    assert_eq!((same.code, same.err.as_str()), (0, "demos/smoke is applied\n"));

    document["spec"]["cleanup"] = json!({"stream": "Retain"});
    create_as(&harness, "kubectl-client-side-apply", &document).await;
    let before = harness.demos().get("smoke").await.unwrap();
    let message = "demos/smoke keeps fields that were not given: spec.cleanup.stream (owned by kubectl-client-side-apply)\n\
                next: to change these fields, set them here with --force-conflicts";
    let same = harness.run_with("start -f - --no-watch", &text).await;
    assert_eq!(same.code, 0, "{}", same.err);
    assert!(same.err.contains(message), "{}", same.err);
    let after = harness.demos().get("smoke").await.unwrap();
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);

    // They are also reported when other fields were changed and taken over.
    let faster = text.replace("recordsPerSecond: 1000", "recordsPerSecond: 1001");
    let taken = harness.run_with("start -f - --no-watch --force-conflicts", &faster).await;
    assert_eq!(taken.code, 0, "{}", taken.err);
    assert!(taken.err.contains(message), "{}", taken.err);
    assert_eq!(harness.demos().get("smoke").await.unwrap().spec.phases[1].records_per_second, 1001);

    // Do what the message says.
    document["spec"]["cleanup"] = json!({"stream": "Delete"});
    document["spec"]["phases"][1]["recordsPerSecond"] = json!(1001);
    let given = harness.run_with("start -f - --no-watch --force-conflicts", &document.to_string()).await;
    assert_eq!((given.code, given.err.as_str()), (0, "demos/smoke is applied\n"));
    harness.server.stop().await;
}

async fn clear_request(harness: &Harness, name: &str) {
    let patch = json!({"metadata": {"annotations": {REQUEST_ANNOTATION: null}}});
    harness.demos().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// Checks that only the Events of this object are printed, not those of an earlier object with the
/// same name.
async fn assert_events_are_printed(harness: &Harness) {
    let demo = harness.demos().get("smoke").await.unwrap();
    let events: Api<Event> = Api::namespaced(harness.client(), "demos");
    for (name, uid, note) in [("one", demo.uid().unwrap(), "mine"), ("two", "another".to_owned(), "not mine")]
    {
        let event: Event = serde_json::from_value(json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": name, "namespace": "demos"}, "type": "Normal", "reason": "Warming", "action": "Warm", "note": note,
            "eventTime": "2026-11-22T10:00:00.000000Z", "reportingController": "test", "reportingInstance": "test",
            "regarding": {"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo", "namespace": "demos", "name": "smoke",
                "uid": uid},
        }))
        .unwrap();
        events.create(&PostParams::default(), &event).await.unwrap();
    }
    let logs = harness.run("logs smoke").await;
    assert_eq!(logs.code, 0, "{}", logs.err);
    assert_eq!(logs.out.lines().count(), 1, "{}", logs.out);
    assert!(logs.out.contains("Warming") && logs.out.trim_end().ends_with("mine"), "{}", logs.out);
}
