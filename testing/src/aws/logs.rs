//! Log groups of the fake, and the ledger lines in them. In: calls. Out: what CloudWatch Logs would
//! store and return.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::TaskId;
use kinesis_demo_api::ledger::{ControlVersion, Counters, Latencies, LedgerLine, MARKER, PhaseLedger};

use super::state::RegionState;
use super::validation::{LOG_GROUP_NAME, check_tags, violation};
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{AwsResult, LedgerPage, LogGroupDescription, Logs, Tags};

/// The latency of every accepted record.
const LATENCY: Duration = Duration::from_millis(20);

/// The number of lines returned per task: the latest ones. Lines are cumulative, large because of
/// their histograms, and the crash loop simulates the same run a thousand times.
const LINES_PER_TASK: usize = 3;

/// CloudWatch Logs API reference, PutRetentionPolicy.
const RETENTION_DAYS: [u32; 22] =
    [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653];

#[derive(Default)]
pub(super) struct LogGroup {
    tags: Tags,
    retention_days: Option<u32>,
    pub(super) lines: Vec<Line>,
}

/// A ledger line without its histograms. They are large, so they are created when the line is
/// returned.
pub(super) struct Line {
    pub(super) visible_at: MicroTime,
    pub(super) run: u32,
    pub(super) task: TaskId,
    pub(super) sequence: u64,
    pub(super) at: MicroTime,
    pub(super) is_final: bool,
    pub(super) control: Option<ControlVersion>,
    pub(super) counters: BTreeMap<String, Counters>,
}

impl Line {
    fn ledger_line(&self) -> LedgerLine {
        let ledger = |counters: &Counters| {
            let mut latency = Latencies::default();
            latency.record(LATENCY, counters.accepted);
            PhaseLedger { counters: counters.clone(), latency }
        };
        LedgerLine {
            kinesisdemo: MARKER.to_owned(),
            run: self.run,
            task: self.task.clone(),
            sequence: self.sequence,
            at: self.at,
            is_final: self.is_final,
            control: self.control,
            phases: self.counters.iter().map(|(phase, counters)| (phase.clone(), ledger(counters))).collect(),
        }
    }
}

impl RegionState<'_> {
    fn log_group(&mut self, name: &str) -> Result<&mut LogGroup, ApiError> {
        let missing = || api_error("ResourceNotFoundException", "The specified log group does not exist.");
        self.region.log_groups.get_mut(name).ok_or_else(missing)
    }

    fn log_group_arn(&self, name: &str) -> String {
        self.arn("logs", &format!("log-group:{name}"))
    }
}

#[async_trait]
impl Logs for Handle {
    async fn fetch_log_group(&self, name: &str) -> AwsResult<Option<LogGroupDescription>> {
        self.reach("DescribeLogGroups").await.read("DescribeLogGroups", name, |state| {
            let found = state.region.log_groups.get(name);
            Ok(found.map(|group| LogGroupDescription {
                arn: state.log_group_arn(name),
                has_retention: group.retention_days.is_some(),
            }))
        })
    }

    async fn fetch_log_group_tags(&self, arn: &str) -> AwsResult<Tags> {
        self.reach("ListTagsForResource").await.read("ListTagsForResource", arn, |state| {
            let name = state.region.log_groups.keys().find(|name| state.log_group_arn(name) == arn).cloned();
            Ok(state.log_group(&name.unwrap_or_default())?.tags.clone())
        })
    }

    async fn create_log_group(&self, name: &str, tags: &Tags) -> AwsResult<()> {
        self.reach("CreateLogGroup").await.write("CreateLogGroup", name, |state| {
            LOG_GROUP_NAME.check(name)?;
            check_tags("InvalidParameterException", tags)?;
            if state.region.log_groups.contains_key(name) {
                let text = "The specified log group already exists";
                return Err(api_error("ResourceAlreadyExistsException", text));
            }
            state
                .region
                .log_groups
                .insert(name.to_owned(), LogGroup { tags: tags.clone(), ..LogGroup::default() });
            Ok(())
        })
    }

    async fn put_log_retention(&self, name: &str, days: u32) -> AwsResult<()> {
        self.reach("PutRetentionPolicy").await.write("PutRetentionPolicy", name, |state| {
            let group = state.log_group(name)?;
            if !RETENTION_DAYS.contains(&days) {
                let constraint = format!("Member must satisfy enum value set: {RETENTION_DAYS:?}");
                let days = days.to_string();
                return Err(violation("InvalidParameterException", &days, "retentionInDays", &constraint));
            }
            group.retention_days = Some(days);
            Ok(())
        })
    }

    async fn delete_log_group(&self, name: &str) -> AwsResult<()> {
        self.reach("DeleteLogGroup").await.write("DeleteLogGroup", name, |state| {
            state.log_group(name)?;
            state.region.log_groups.remove(name);
            Ok(())
        })
    }

    async fn fetch_ledger_page(
        &self,
        group: &str,
        since: MicroTime,
        page: Option<&str>,
    ) -> AwsResult<LedgerPage> {
        let mut takes = Duration::ZERO;
        let found = self.reach("FilterLogEvents").await.read("FilterLogEvents", group, |state| {
            let (now, length);
            (now, (length, takes)) = (state.now, state.settings.ledger_page);
            // The newest lines first: the reader must not rely on any order.
            let lines = state.log_group(group)?.lines.iter().rev();
            let mut handed_out: BTreeMap<&TaskId, usize> = BTreeMap::new();
            let mut recent = Vec::new();
            for line in lines.filter(|line| line.at >= since && line.visible_at <= now) {
                let count = handed_out.entry(&line.task).or_default();
                *count += 1;
                if *count <= LINES_PER_TASK {
                    recent.push(line);
                }
            }
            let from: usize = page
                .map_or(Ok(0), str::parse)
                .map_err(|_| api_error("InvalidParameterException", "The specified nextToken is invalid."))?;
            let until = recent.len().min(from.saturating_add(length));
            Ok(LedgerPage {
                lines: recent.iter().take(until).skip(from).map(|line| line.ledger_line()).collect(),
                next: (until < recent.len()).then(|| until.to_string()),
            })
        });
        self.fake.clock.advance(takes);
        found
    }

    async fn fetch_last_lines(&self, group: &str, task: &str, count: u32) -> AwsResult<Option<Vec<String>>> {
        self.reach("GetLogEvents").await.read("GetLogEvents", group, |state| {
            let (now, id) = (state.now, TaskId::from_arn(task));
            if !state.region.tasks.iter().any(|task| task.id == id && task.has_started()) {
                return Ok(None);
            }
            let last_line = state.settings.last_line.clone();
            // A group that was deleted has no streams either.
            let Ok(group) = state.log_group(group) else { return Ok(None) };
            let lines = group.lines.iter();
            let lines = lines.filter(|line| line.task == id && line.visible_at <= now);
            let mut texts: Vec<String> = lines.filter_map(|line| line.ledger_line().to_text().ok()).collect();
            texts.extend(last_line);
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            Ok(Some(texts.split_off(texts.len().saturating_sub(count))))
        })
    }
}
