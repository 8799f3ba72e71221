//! `logs`: the Kubernetes Events of one object. The tasks' own logs are in CloudWatch and need AWS
//! credentials, which a user of the cluster may not have. The operator reports in Events what it
//! did and which AWS calls failed.

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;

use crate::args::{Logs, Output};
use crate::cluster::{Cluster, last_seen};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::follow::is_over;
use crate::output::item;
use crate::render::printable::printable;

/// How often `--follow` polls.
const EVERY: Duration = Duration::from_secs(2);

pub async fn logs(arguments: Logs) -> Result<ExitStatus, CliError> {
    let Logs { name, connection, follow, output } = arguments;
    let cluster = Cluster::connect(&connection).await?;
    let mut demo = cluster.fetch(&name).await?;
    let run = demo.status.as_ref().and_then(|status| status.run.as_ref()).map_or(1, |run| run.number);
    let mut printed = HashSet::new();
    loop {
        // Check this before reading the events, so that the last event is included.
        let over = is_over(&demo, run);
        let events = cluster.fetch_events(&demo).await?;
        let mut out = std::io::stdout().lock();
        for event in &events {
            // A repeated event is the same object with a higher count; each count is printed once.
            let count = event.series.as_ref().map_or(1, |series| series.count);
            if printed.insert((event.uid(), count)) {
                match item(event, output)? {
                    Some(data) => out.write_all(data.as_bytes())?,
                    None => writeln!(out, "{}", text(event))?,
                }
            }
        }
        drop(out);
        if !follow || over {
            if printed.is_empty() && output == Output::Text {
                eprintln!("no Events for {name}: Kubernetes deletes them after an hour");
            }
            return Ok(ExitStatus::Success);
        }
        tokio::time::sleep(EVERY).await;
        match cluster.fetch_if_present(&name).await? {
            Some(present) => demo = present,
            None => return Ok(ExitStatus::Success),
        }
    }
}

/// `10:00:03Z  Normal  Warming  …  (3 times)`.
fn text(event: &Event) -> String {
    let at = last_seen(event).unwrap_or(Timestamp::UNIX_EPOCH).strftime("%Y-%m-%d %H:%M:%SZ");
    let kind = event.type_.as_deref().unwrap_or_default();
    let reason = event.reason.as_deref().unwrap_or_default();
    let note = event.note.as_deref().unwrap_or_default();
    let times = match &event.series {
        Some(series) => format!("  ({} times)", series.count),
        None => String::new(),
    };
    printable(&format!("{at}  {kind:<7}  {reason:<22}  {note}{times}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_repeated_event_shows_its_last_time_and_count() {
        let event: Event = serde_json::from_value(json!({
            "metadata": {"name": "e"}, "eventTime": "2026-11-22T10:00:00.000000Z", "type": "Warning",
            "reason": "AwsRefused", "note": "CreateStream: LimitExceededException",
            "series": {"count": 3, "lastObservedTime": "2026-11-22T10:05:00.000000Z"},
        }))
        .unwrap();
        assert_eq!(
            text(&event),
            "2026-11-22 10:05:00Z  Warning  AwsRefused              CreateStream: LimitExceededException  (3 times)"
        );
    }
}
