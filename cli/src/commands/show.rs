//! `list`, `status`, `watch`: reading only.

use std::io::Write;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::args::{List, One, Output};
use crate::cluster::Cluster;
use crate::ending::Ending;
use crate::error::CliError;
use crate::follow::{End, follow};
use crate::render::frame::frame;
use crate::render::line::stage;
use crate::render::number::grouped;
use crate::render::table::{Align, table};
use crate::screen::Screen;

pub async fn list(arguments: List) -> Result<Ending, CliError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let demos = cluster.fetch_all(arguments.all_namespaces).await?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json => {
            let items: Vec<&KinesisDemo> =
                demos.iter().filter_map(|DeserializeGuard(demo)| demo.as_ref().ok()).collect();
            let list = json!({
                "apiVersion": KinesisDemo::api_version(&()),
                "kind": "KinesisDemoList",
                "items": items,
            });
            writeln!(out, "{list:#}")?;
        }
        Output::Text if demos.is_empty() => {
            let place = if arguments.all_namespaces {
                "any namespace".into()
            } else {
                format!("namespace {}", cluster.namespace())
            };
            writeln!(out, "no KinesisDemo in {place}; `kubectl kinesisdemo start --name NAME` makes one")?;
        }
        Output::Text => {
            for line in rows(&demos, arguments.all_namespaces) {
                writeln!(out, "{line}")?;
            }
        }
    }
    for DeserializeGuard(demo) in &demos {
        if let Err(invalid) = demo {
            let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
            eprintln!(
                "{}/{} is stored but cannot be read: {invalid}",
                namespace.unwrap_or_default(),
                name.unwrap_or_default()
            );
        }
    }
    Ok(Ending::Done)
}

/// The columns of `kubectl get kd`, with names that a person may pass on to the other verbs.
fn rows(demos: &[DeserializeGuard<KinesisDemo>], with_namespace: bool) -> Vec<String> {
    let mut header = vec![
        ("NAME", Align::Left),
        ("RUN", Align::Right),
        ("STAGE", Align::Left),
        ("PHASE", Align::Left),
        ("RATE/s", Align::Right),
        ("TARGET/s", Align::Right),
        ("TASKS", Align::Right),
        ("WARM", Align::Right),
        ("ENDS", Align::Left),
    ];
    if with_namespace {
        header.insert(0, ("NAMESPACE", Align::Left));
    }
    let rows: Vec<Vec<String>> = demos
        .iter()
        .map(|DeserializeGuard(demo)| {
            let (metadata, mut cells) = match demo {
                Ok(demo) => (&demo.metadata, cells(demo)),
                Err(invalid) => (&invalid.metadata, vec![String::new(), "unreadable".into()]),
            };
            cells.insert(0, metadata.name.clone().unwrap_or_default());
            if with_namespace {
                cells.insert(0, metadata.namespace.clone().unwrap_or_default());
            }
            cells
        })
        .collect();
    table(&header, &rows)
}

fn cells(demo: &KinesisDemo) -> Vec<String> {
    let Some(status) = &demo.status else {
        return vec![String::new(), "Pending".into()];
    };
    let text = |number: Option<u64>| number.map(grouped).unwrap_or_default();
    let warm = status.stream.as_ref().and_then(|stream| stream.warm);
    vec![
        text(status.run.as_ref().map(|run| run.number.into())),
        stage(demo, status),
        status.phase.as_ref().map(|phase| phase.name.clone()).unwrap_or_default(),
        text(status.traffic.as_ref().map(|traffic| traffic.rate)),
        text(status.target()),
        text(status.generators.as_ref().map(|generators| generators.running.into())),
        text(warm.map(|warm| warm.current.into())),
        status
            .run
            .as_ref()
            .and_then(|run| run.ends_at)
            .map(|ends_at| ends_at.timestamp().strftime("%H:%M:%SZ").to_string())
            .unwrap_or_default(),
    ]
}

pub async fn status(arguments: One) -> Result<Ending, CliError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let demo = cluster.fetch(&arguments.name).await?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json => writeln!(out, "{:#}", json!(demo))?,
        Output::Text => {
            for line in frame(&demo, Timestamp::now()) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(Ending::Done)
}

/// Ends with the run, whatever its outcome; a run that is over already is shown once.
pub async fn watch(arguments: One) -> Result<Ending, CliError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    // The watch itself would wait for an object that does not exist, or for a cluster that never answers.
    let demo = cluster.fetch(&arguments.name).await?;
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map_or(1, |run| run.number);
    let mut screen = Screen::new(arguments.output);
    match follow(&cluster, &demo.name_any(), run, false, &mut screen, |_, _| {}).await? {
        End::Over(demo) | End::Stalled(demo) => Ok(Ending::of_run(&demo)),
        End::Gone => {
            eprintln!("{} was deleted", arguments.name);
            Ok(Ending::Done)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_cannot_be_read_is_listed_too() {
        let good = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "a", "namespace": "x"}, "spec": {},
            "status": {"stage": "Warming", "stream": {"name": "s", "arn": "arn", "status": "UPDATING", "shards": 4,
                "warm": {"target": 100, "current": 0}}}});
        let bad = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "b", "namespace": "y"}, "spec": {"phases": 7}});
        let demos: Vec<DeserializeGuard<KinesisDemo>> =
            [good, bad].into_iter().map(|value| serde_json::from_value(value).unwrap()).collect();
        let lines = rows(&demos, true);
        assert!(lines[0].starts_with("NAMESPACE   NAME"));
        assert!(lines[1].contains("Warming"), "{lines:?}");
        assert!(lines[2].starts_with("y           b") && lines[2].ends_with("unreadable"), "{lines:?}");
    }
}
