//! `list`, `status`, `watch`: read only.

use std::io::Write;

use jiff::Timestamp;
use kinesis_demo_api::KinesisDemo;
use kube::core::DeserializeGuard;
use kube::{Resource, ResourceExt};
use serde_json::json;

use crate::args::{List, One, Output, Watch};
use crate::cluster::Cluster;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::follow::{WatchOutcome, follow_until_interrupted};
use crate::output::{document, width};
use crate::render::frame::frame;
use crate::render::line::{stage, stall};
use crate::render::number::grouped;
use crate::render::printable::printable;
use crate::render::table::{Align, table_within};
use crate::screen::Screen;

/// What Ctrl-C does while a run is watched.
pub const ENDS_THE_WATCH: &str = "Ctrl-C ends the watch; the run goes on";

pub async fn list(arguments: List) -> Result<ExitStatus, CliError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let demos = cluster.fetch_all(arguments.all_namespaces).await?;
    let mut out = std::io::stdout().lock();
    match arguments.output {
        Output::Json | Output::Yaml => {
            let items: Vec<&KinesisDemo> =
                demos.iter().filter_map(|DeserializeGuard(demo)| demo.as_ref().ok()).collect();
            let list = json!({
                "apiVersion": KinesisDemo::api_version(&()),
                "kind": "KinesisDemoList",
                "items": items,
            });
            out.write_all(document(&list, arguments.output)?.unwrap_or_default().as_bytes())?;
        }
        Output::Text if demos.is_empty() => {
            let place = if arguments.all_namespaces {
                "any namespace".into()
            } else {
                format!("namespace {}", cluster.namespace())
            };
            writeln!(
                out,
                "no KinesisDemo in {place}; create one with `kubectl kinesisdemo start --name NAME`"
            )?;
        }
        Output::Text => {
            for line in rows(&demos, arguments.all_namespaces, width()) {
                writeln!(out, "{line}")?;
            }
        }
    }
    for DeserializeGuard(demo) in &demos {
        if let Err(invalid) = demo {
            let (namespace, name) = (invalid.metadata.namespace.as_deref(), invalid.metadata.name.as_deref());
            eprintln!(
                "{}/{} is stored but cannot be parsed: {}",
                namespace.unwrap_or_default(),
                name.unwrap_or_default(),
                printable(&invalid.to_string())
            );
        }
    }
    Ok(ExitStatus::Success)
}

/// The columns of `kubectl get kd`, with names that can be passed to the other verbs.
fn rows(demos: &[DeserializeGuard<KinesisDemo>], with_namespace: bool, width: usize) -> Vec<String> {
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
    // Names are not unique across namespaces.
    let keys = if with_namespace { 2 } else { 1 };
    let lines = table_within(&header, &rows, keys, width);
    lines.iter().map(|line| printable(line)).collect()
}

fn cells(demo: &KinesisDemo) -> Vec<String> {
    let Some(status) = &demo.status else {
        return vec![String::new(), "Pending".into()];
    };
    let text = |number: Option<u64>| number.map(grouped).unwrap_or_default();
    // Every on-demand stream with Advantage has warm throughput; it is shown only if it was
    // requested.
    let warm = status.stream.as_ref().and_then(|stream| stream.warm).filter(|warm| warm.target > 0);
    let stage = match stall(status) {
        Some(reason) => format!("{} (stalled: {reason})", stage(demo, status)),
        None => stage(demo, status),
    };
    vec![
        text(status.run.as_ref().map(|run| run.number.into())),
        stage,
        status.phase.as_ref().map(|phase| phase.name.clone()).unwrap_or_default(),
        text(status.traffic.as_ref().map(|traffic| traffic.rate)),
        text(status.target()),
        text(status.generators.as_ref().map(|generators| generators.running.into())),
        text(warm.map(|warm| warm.current.into())),
        status
            .run
            .as_ref()
            .and_then(|run| run.ends_at)
            .map(|ends_at| ends_at.next_whole_second().strftime("%H:%M:%SZ").to_string())
            .unwrap_or_default(),
    ]
}

pub async fn status(arguments: One) -> Result<ExitStatus, CliError> {
    let cluster = Cluster::connect(&arguments.connection).await?;
    let demo = cluster.fetch(&arguments.name).await?;
    let mut out = std::io::stdout().lock();
    match document(&demo, arguments.output)? {
        Some(data) => out.write_all(data.as_bytes())?,
        None => {
            for line in frame(&demo, Timestamp::now(), width()) {
                writeln!(out, "{line}")?;
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// Ends when the run is over, whatever its outcome. A run that is already over is shown once.
pub async fn watch(arguments: Watch) -> Result<ExitStatus, CliError> {
    let Watch { one: arguments, plain } = arguments;
    let cluster = Cluster::connect(&arguments.connection).await?;
    // The watch itself would wait for an object that does not exist, or for a cluster that never
    // responds.
    let demo = cluster.fetch(&arguments.name).await?;
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map_or(1, |run| run.number);
    let mut screen = Screen::new(arguments.output, plain, ENDS_THE_WATCH);
    match follow_until_interrupted(&cluster, &demo.name_any(), run, false, &mut screen).await? {
        WatchOutcome::Over(demo) | WatchOutcome::Stalled(demo) => Ok(ExitStatus::of_run(&demo)),
        WatchOutcome::Deleted => {
            eprintln!("{} was deleted", arguments.name);
            Ok(ExitStatus::Success)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: usize = 200;

    /// Lists one object with that status; returns its cells by title.
    fn listed(status: serde_json::Value) -> impl Fn(&str) -> String {
        let demo = crate::render::fixture::demo(status);
        let lines = rows(&[DeserializeGuard(Ok(demo))], false, WIDE);
        move |title| {
            let (header, row) = (&lines[0], &lines[1]);
            let at = header.find(title).unwrap();
            // A cell and its title begin or end at the same column, whichever is wider.
            let cell = |range: std::ops::Range<usize>| row.get(range).unwrap_or_default().trim().to_owned();
            let end = at + title.len();
            let next =
                header[end..].find(|letter| letter != ' ').map_or(row.len().max(end), |space| end + space);
            cell(at..next.min(row.len()).max(at.min(row.len())))
        }
    }

    #[test]
    fn warm_throughput_is_shown_only_if_requested() {
        let stream = |warm: serde_json::Value| json!({"stream": {"name": "s", "arn": "arn", "status": "ACTIVE", "shards": 4, "warm": warm}});
        assert_eq!(listed(stream(json!({"target": 0, "current": 4})))("WARM"), "");
        assert_eq!(listed(stream(json!(null)))("WARM"), "");
        assert_eq!(listed(stream(json!({"target": 100, "current": 7})))("WARM"), "7");
    }

    #[test]
    fn a_stall_is_shown_except_for_a_failed_run() {
        let stalled = [crate::render::fixture::condition("Stalled", "True", "AccountNotAllowed", "…")];
        assert_eq!(
            listed(json!({"stage": "Pending", "conditions": stalled}))("STAGE"),
            "Pending (stalled: AccountNotAllowed)"
        );
        assert_eq!(listed(json!({"stage": "Failed", "conditions": stalled}))("STAGE"), "Failed");
        assert_eq!(listed(json!({}))("STAGE"), "Running");
        assert_eq!(listed(json!({}))("RUN"), "1");
        assert_eq!(listed(json!({}))("ENDS"), "10:00:47Z");
    }

    #[test]
    fn equal_names_show_their_namespace_in_every_part() {
        let named = |name: &str, namespace: &str| {
            let mut demo = crate::render::fixture::peak();
            demo.metadata.name = Some(name.into());
            demo.metadata.namespace = Some(namespace.into());
            DeserializeGuard(Ok(demo))
        };
        let objects = [
            ("viral-event", "team-a"),
            ("viral-event", "team-b"),
            ("a-much-longer-name-of-a-viral-event", "team-b"),
        ];
        let demos: Vec<_> = objects.into_iter().map(|(name, namespace)| named(name, namespace)).collect();
        let lines = rows(&demos, true, 80);
        let parts: Vec<&[String]> = lines.split(String::is_empty).collect();
        assert!(parts.len() > 1, "{lines:#?}");
        for part in parts {
            assert_eq!(part.len(), 1 + objects.len(), "{lines:#?}");
            assert!(part[0].starts_with("NAMESPACE  NAME "), "{lines:#?}");
            for (line, (name, namespace)) in part[1..].iter().zip(objects) {
                let words: Vec<&str> = line.split_whitespace().take(2).collect();
                assert_eq!(words, [namespace, name], "{lines:#?}");
            }
        }
        let own: Vec<String> = rows(&demos[2..], false, 60);
        assert!(own.iter().filter(|line| line.starts_with("NAME  ")).count() > 1, "{own:#?}");
    }

    #[test]
    fn an_object_that_cannot_be_parsed_is_also_listed() {
        let good = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "a", "namespace": "x"}, "spec": {},
            "status": {"stage": "Warming", "stream": {"name": "s", "arn": "arn", "status": "UPDATING", "shards": 4,
                "warm": {"target": 100, "current": 0}}}});
        let bad = json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemo",
            "metadata": {"name": "b", "namespace": "y"}, "spec": {"phases": 7}});
        let demos: Vec<DeserializeGuard<KinesisDemo>> =
            [good, bad].into_iter().map(|value| serde_json::from_value(value).unwrap()).collect();
        let lines = rows(&demos, true, WIDE);
        assert!(lines[0].starts_with("NAMESPACE   NAME"));
        assert!(lines[1].contains("Warming"), "{lines:?}");
        assert!(lines[2].starts_with("y           b") && lines[2].ends_with("unreadable"), "{lines:?}");
    }
}
