//! Which recorded run is meant. In: a name and a number, and a cluster or a file. Out: its record,
//! or why there is none and which there are. Reads the API server, or the file.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use kinesis_demo_api::{KinesisDemoRun, MicroTime};
use kinesis_demo_report::text::{clean, listed};
use kube::core::DeserializeGuard;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::error::CliError;
use crate::run_name::RunName;

/// A record has at most 200 KiB; a file may be a list of some.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// How many names an error lists.
const MOST_NAMES: usize = 20;

/// Reads the record of a run from the cluster.
pub async fn fetch(cluster: &Cluster, wanted: &RunName) -> Result<KinesisDemoRun, CliError> {
    let mut runs = readable(cluster.fetch_runs(Some(&wanted.demo)).await?);
    runs.retain(|run| run.spec.demo == wanted.demo);
    let place = format!("in namespace {}", cluster.namespace());
    if runs.is_empty() {
        let others = known(&readable(cluster.fetch_runs(None).await?));
        return Err(CliError::Refused(format!(
            "could not read {wanted} {place}: no run of it is on record; {}",
            match others.as_slice() {
                [] => "none at all is. The operator records a run from its start, and keeps it for some days"
                    .to_owned(),
                others => format!("on record are {}", listed(others, MOST_NAMES)),
            }
        )));
    }
    choose(runs, Some(&wanted.demo), wanted.run, &place)
}

/// Reads the record of a run from a file: a KinesisDemoRun, or a list of them. `-` is stdin.
pub fn read(path: &Path, demo: Option<&str>, run: Option<u32>) -> Result<KinesisDemoRun, CliError> {
    let failed = |source| CliError::File { path: path.to_owned(), source };
    let source: Box<dyn Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin()),
        _ => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let text = read_at_most(source, MOST_BYTES).map_err(failed)?;
    let place = format!("in {}", path.display());
    let refused = |reason: String| {
        CliError::Refused(format!(
            "could not read a run {place}: {reason}. Save one with `kubectl get kdr NAME -o yaml`"
        ))
    };
    let Some(text) = text else {
        return Err(refused(format!("it has more than {} MiB", MOST_BYTES >> 20)));
    };
    choose(parse(&text).map_err(refused)?, demo, run, &place)
}

/// The text of a source; `None` if it is longer than that, or has no end.
pub fn read_at_most(source: impl Read, most_bytes: u64) -> std::io::Result<Option<String>> {
    let mut text = String::new();
    source.take(most_bytes + 1).read_to_string(&mut text)?;
    Ok((text.len() as u64 <= most_bytes).then_some(text))
}

/// The objects in a text: JSON or YAML, one, a list of them, or several documents.
pub fn objects_in(text: &str) -> Result<Vec<Value>, String> {
    // Every JSON document is a YAML document, but JSON is read ten times as fast.
    let documents = match serde_json::from_str(text) {
        Ok(document) => vec![document],
        Err(_) => serde_saphyr::from_multiple(text)
            .map_err(|error| format!("it is neither JSON nor YAML: {error}"))?,
    };
    let items = documents.into_iter().filter(|document: &Value| !document.is_null()).flat_map(|document| {
        match document {
            Value::Array(items) => items,
            Value::Object(mut members) => match members.remove("items") {
                Some(Value::Array(items)) => items,
                Some(other) => {
                    members.insert("items".to_owned(), other);
                    vec![Value::Object(members)]
                }
                None => vec![Value::Object(members)],
            },
            other => vec![other],
        }
    });
    Ok(items.collect())
}

/// Whether an object claims to be a KinesisDemoRun.
pub fn is_run(object: &Value) -> bool {
    object.get("kind").and_then(Value::as_str) == Some("KinesisDemoRun")
}

/// The records in a text. Other objects are skipped.
fn parse(text: &str) -> Result<Vec<KinesisDemoRun>, String> {
    let items = objects_in(text)?;
    let runs = items.into_iter().filter(is_run).map(serde_json::from_value::<KinesisDemoRun>);
    let runs: Vec<KinesisDemoRun> =
        runs.collect::<Result<_, _>>().map_err(|error| format!("not a valid KinesisDemoRun: {error}"))?;
    if runs.is_empty() { Err("it contains no KinesisDemoRun".to_owned()) } else { Ok(runs) }
}

/// Those that can be parsed. The others are named on stderr.
fn readable(runs: Vec<DeserializeGuard<KinesisDemoRun>>) -> Vec<KinesisDemoRun> {
    let parsed = runs.into_iter().filter_map(|DeserializeGuard(run)| {
        run.inspect_err(|invalid| {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            eprintln!("KinesisDemoRun {name} is stored but cannot be parsed: {}", clean(&invalid.error, 500));
        })
        .ok()
    });
    parsed.collect()
}

/// The run of that demo with that number; without a number, the newest.
fn choose(
    runs: Vec<KinesisDemoRun>,
    demo: Option<&str>,
    number: Option<u32>,
    place: &str,
) -> Result<KinesisDemoRun, CliError> {
    let all = known(&runs);
    let is_wanted = |run: &KinesisDemoRun| {
        demo.is_none_or(|demo| run.spec.demo == demo) && number.is_none_or(|number| run.spec.run == number)
    };
    runs.into_iter().filter(is_wanted).max_by_key(age_key).ok_or_else(|| {
        let run = number.map_or_else(|| "a run".to_owned(), |number| format!("run {number}"));
        let of = demo.map(|demo| format!(" of {demo}")).unwrap_or_default();
        let there = listed(&all, MOST_NAMES);
        CliError::Refused(format!(
            "could not read {run}{of} {place}: it is not on record; on record are {there}"
        ))
    })
}

/// Later runs have greater keys. Objects of one name, one after the other, number their runs anew.
fn age_key(run: &KinesisDemoRun) -> (Option<MicroTime>, u32) {
    let started_at = run.status.as_ref().and_then(|status| status.started_at);
    let created_at = run.metadata.creation_timestamp.as_ref().map(|time| MicroTime::from(time.0));
    (started_at.or(created_at), run.spec.run)
}

/// The runs by demo, such as `quick (runs 1, 2)`.
fn known(runs: &[KinesisDemoRun]) -> Vec<String> {
    let mut numbers: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for run in runs {
        numbers.entry(clean(&run.spec.demo, 63)).or_default().push(run.spec.run);
    }
    let named = numbers.into_iter().map(|(demo, mut numbers)| {
        numbers.sort_unstable();
        numbers.dedup();
        let all: Vec<String> = numbers.iter().map(u32::to_string).collect();
        format!("{demo} ({} {})", if all.len() == 1 { "run" } else { "runs" }, all.join(", "))
    });
    named.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(demo: &str, number: u32, started_at: &str) -> Value {
        json!({"apiVersion": "kinesisdemo.io/v1alpha1", "kind": "KinesisDemoRun",
            "metadata": {"name": format!("{demo}-{number}")},
            "spec": {"demo": demo, "demoUid": "u", "run": number, "accountId": "0", "region": "r",
                "streamName": "s", "settings": {}, "operatorVersion": "1"},
            "status": {"startedAt": started_at}})
    }

    fn list() -> Vec<KinesisDemoRun> {
        let items = [
            run("quick", 2, "2026-11-28T10:00:00Z"),
            run("quick", 10, "2026-11-28T11:00:00Z"),
            // The object was deleted and created again.
            run("quick", 1, "2026-11-28T12:00:00Z"),
            run("cold", 1, "2026-11-28T13:00:00Z"),
        ];
        parse(&json!({"kind": "List", "items": items}).to_string()).unwrap()
    }

    fn chosen(demo: &str, number: Option<u32>) -> Result<u32, String> {
        let run = choose(list(), Some(demo), number, "in namespace demos");
        run.map(|run| run.spec.run).map_err(|error| error.to_string())
    }

    #[test]
    fn the_recorded_example_has_a_cold_and_a_warm_run() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/runs/cold-and-warm.json");
        let throttled = ["cold", "warm"].map(|demo| {
            let run = read(&path, Some(demo), None).unwrap();
            run.status.unwrap().totals.unwrap().throttled > 0
        });
        assert_eq!(throttled, [true, false]);
    }

    #[test]
    fn the_newest_run_is_the_one_that_started_last() {
        assert_eq!(chosen("quick", None), Ok(1));
        assert_eq!(chosen("quick", Some(10)), Ok(10));
        assert_eq!(chosen("cold", None), Ok(1));
    }

    #[test]
    fn an_unknown_run_is_answered_with_those_on_record() {
        assert_eq!(
            chosen("quick", Some(7)),
            Err("could not read run 7 of quick in namespace demos: it is not on record; on record are \
                 cold (run 1) and quick (runs 1, 2, 10)"
                .into())
        );
    }

    #[test]
    fn records_are_read_from_json_and_yaml() {
        let one = run("quick", 2, "2026-11-28T10:00:00Z");
        let yaml = serde_saphyr::to_string(&one).unwrap();
        assert_eq!(parse(&yaml).unwrap(), parse(&one.to_string()).unwrap());
        let pod = json!({"kind": "Pod"}).to_string();
        assert_eq!(parse(&pod).unwrap_err(), "it contains no KinesisDemoRun");
        assert!(
            parse(&json!({"kind": "KinesisDemoRun"}).to_string()).unwrap_err().starts_with("not a valid")
        );
        assert!(parse("{[").unwrap_err().starts_with("it is neither JSON nor YAML"));
    }
}
