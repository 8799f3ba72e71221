//! Runs `report` and `compare` as a program: on files, and against a real API server. The latter
//! needs kube-apiserver and etcd on this machine; without them it prints a line and passes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../report/tests/runs/mod.rs"]
mod runs;

use std::path::Path;
use std::process::{Command, Output};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kinesis_demo_api::KinesisDemoRun;
use kinesis_demo_local_cluster::kubernetes::definition;
use kinesis_demo_local_cluster::{ApiServer, ApiServerOptions};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::{CustomResourceExt, ResourceExt};
use serde_json::Value;

fn program(words: &[&str], kubeconfig: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-kinesisdemo"))
        .args(words)
        .args(["-n", "demos", "--kubeconfig"])
        .arg(kubeconfig)
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn error(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr.clone()).unwrap()
}

const VERDICTS: &str = "Cold delivered 24 % of 872,000 records, throttled in spike and peak; warm delivered all, none throttled.";

#[test]
fn runs_in_files_are_reported_and_compared_without_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("no-kubeconfig");
    let run = |words: &[&str]| program(words, &nowhere);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (cold, warm) = (path("cold.json"), path("warm.yaml"));
    std::fs::write(&cold, serde_json::to_string(&runs::quick(false)).unwrap()).unwrap();
    std::fs::write(&warm, serde_saphyr::to_string(&runs::quick(true)).unwrap()).unwrap();

    let text = out(&run(&["report", "--file", &cold]));
    assert!(text.starts_with("**Delivered 24 % of 872,000 records: throttled in spike and peak"), "{text}");
    let page = path("report.html");
    let said = out(&run(&["report", "--file", &warm, "--output-file", &page]));
    assert_eq!(said, format!("Delivered all 872,000 records.\nwrote {page}\n"));
    assert!(std::fs::read_to_string(&page).unwrap().starts_with("<!DOCTYPE html>"));
    let compared = out(&run(&["compare", "--file", &cold, "--file", &warm]));
    assert_eq!(compared.lines().next().unwrap(), format!("**{VERDICTS}**"));
    let json: Value =
        serde_json::from_str(&out(&run(&["compare", "--file", &cold, "--file", &warm, "-o", "json"])))
            .unwrap();
    assert_eq!(json["names"], serde_json::json!(["cold", "warm"]));

    let missing = error(&run(&["report", "--file", &cold, "--run", "7"]));
    assert!(
        missing.contains("could not read run 7") && missing.contains("on record are cold (run 1)"),
        "{missing}"
    );
    let absent = error(&run(&["report", "--file", &path("absent.yaml")]));
    assert!(absent.contains("could not read ") && absent.contains("absent.yaml"), "{absent}");
    let refused = error(&run(&["report", "--file", &cold, "--output-file", &path("no/folder.html")]));
    assert!(
        refused.contains("could not write") && refused.contains("next: choose another file"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_runs_are_reported_and_compared_by_name() {
    let Some(options) = ApiServerOptions::cached().await else { return };
    let state = tempfile::tempdir().unwrap();
    let server = ApiServer::start(state.path(), options).await.unwrap();
    let client = server.client();
    let kubeconfig = server.admin_kubeconfig();
    let run = |words: &[&str]| program(words, kubeconfig);
    definition::put_namespace(&client, "demos").await.unwrap();

    let not_installed = error(&run(&["report", "quick"]));
    assert!(
        not_installed.contains("could not list the KinesisDemoRuns of KinesisDemo demos/quick"),
        "{not_installed}"
    );
    assert!(
        not_installed.contains("next: this cluster records no runs: upgrade the chart"),
        "{not_installed}"
    );

    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let definition = KinesisDemoRun::crd();
    let params = PatchParams::apply("test").force();
    definitions.patch(&definition.name_any(), &params, &Patch::Apply(&definition)).await.unwrap();
    let records: Api<KinesisDemoRun> = Api::namespaced(client.clone(), "demos");
    while records.list(&ListParams::default().limit(1)).await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let none = error(&run(&["report", "quick"]));
    assert!(none.contains("could not read the newest run of quick in namespace demos"), "{none}");
    for record in [runs::quick(false), runs::quick(true)] {
        let mut stored = records.create(&PostParams::default(), &record).await.unwrap();
        stored.status = record.status;
        records.replace_status(&stored.name_any(), &PostParams::default(), &stored).await.unwrap();
    }

    let text = out(&run(&["report", "quick"]));
    assert!(text.starts_with("**Delivered all 872,000 records.**"), "{text}");
    let json: Value =
        serde_json::from_str(&out(&run(&["report", "cold", "--run", "1", "-o", "json"]))).unwrap();
    assert_eq!(json["spec"]["demo"], "cold");
    let compared = out(&run(&["compare", "cold", "quick/1"]));
    assert_eq!(compared.lines().next().unwrap(), format!("**{VERDICTS}**"));
    let other = error(&run(&["report", "quick", "--run", "4"]));
    assert!(
        other.contains("could not read run 4 of quick in namespace demos: it is not on record"),
        "{other}"
    );
    assert!(other.contains("quick (run 1)"), "{other}");
    let unknown = error(&run(&["report", "warm"]));
    assert!(unknown.contains("on record are cold (run 1) and quick (run 1)"), "{unknown}");
}
