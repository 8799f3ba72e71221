//! Which records are kept. In: the records of a KinesisDemo, or all. Out: deletions.

use std::cmp::Ordering;
use std::time::Duration;

use kinesis_demo_api::MicroTime;

use crate::kubernetes::ClusterError;
use crate::kubernetes::run_records::{ListedRecord, RunRecords};
use crate::settings::Retention;

/// How often expired records are looked for.
pub const EVERY: Duration = Duration::from_secs(3_600);

/// Deletes the records of a KinesisDemo except the latest.
pub async fn delete_beyond_last(
    retention: Retention,
    records: &dyn RunRecords,
    namespace: &str,
    demo: &str,
) -> Result<(), ClusterError> {
    let mut listed = records.list_records(Some(namespace), Some(demo)).await?;
    listed.sort_by(newest_first);
    for record in listed.iter().skip(retention.last) {
        records.delete_record(&record.namespace, &record.name).await?;
    }
    Ok(())
}

/// Deletes the records that are too old. Without `namespaces`, in all of them.
pub async fn delete_expired(
    retention: Retention,
    records: &dyn RunRecords,
    namespaces: &[String],
    now: MicroTime,
) -> Result<(), ClusterError> {
    let scopes: Vec<Option<&str>> = match namespaces.is_empty() {
        true => vec![None],
        false => namespaces.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    for scope in scopes {
        for record in records.list_records(scope, None).await? {
            if now.since(record.created_at) > retention.age {
                records.delete_record(&record.namespace, &record.name).await?;
            }
        }
    }
    Ok(())
}

/// Of two that were created in the same second, the one of the later run: the API server keeps
/// whole seconds.
fn newest_first(one: &ListedRecord, other: &ListedRecord) -> Ordering {
    let run = |record: &ListedRecord| -> u32 {
        record.name.rsplit('-').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    (other.created_at, run(other)).cmp(&(one.created_at, run(one)))
}
