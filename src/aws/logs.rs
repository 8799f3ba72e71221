//! CloudWatch Logs. In: names of log groups. Out: the groups, and the ledger lines in them.

use async_trait::async_trait;
use aws_sdk_cloudwatchlogs::Client;
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::ledger::{LedgerLine, MARKER};

use super::client::Api;
use super::task_definitions::log_stream;
use super::{AwsErrorClass, AwsResult, LedgerPage, LogGroupDescription, Logs, Tags};

/// CloudWatch Logs.
pub struct CloudWatchLogs(Api<Client>);

impl CloudWatchLogs {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Logs for CloudWatchLogs {
    async fn fetch_log_group(&self, name: &str) -> AwsResult<Option<LogGroupDescription>> {
        let Self(api) = self;
        let mut token = None;
        loop {
            let request = api
                .client
                .describe_log_groups()
                .log_group_name_prefix(name)
                .set_next_token(token.take())
                .send();
            let page = api.call("DescribeLogGroups", name, request).await?;
            let groups = page.log_groups.unwrap_or_default();
            if let Some(group) = groups.into_iter().find(|group| group.log_group_name() == Some(name)) {
                // `arn` ends with `:*`, `logGroupArn` does not. Tagging needs the latter form.
                let arn = group.log_group_arn.or(group.arn).unwrap_or_default();
                let arn = arn.trim_end_matches(":*").to_owned();
                return Ok(Some(LogGroupDescription {
                    arn,
                    has_retention: group.retention_in_days.is_some(),
                }));
            }
            match page.next_token {
                Some(next) => token = Some(next),
                None => return Ok(None),
            }
        }
    }

    async fn fetch_log_group_tags(&self, arn: &str) -> AwsResult<Tags> {
        let Self(api) = self;
        let request = api.client.list_tags_for_resource().resource_arn(arn).send();
        let response = api.call("ListTagsForResource", arn, request).await?;
        Ok(response.tags.unwrap_or_default().into_iter().collect())
    }

    async fn create_log_group(&self, name: &str, tags: &Tags) -> AwsResult<()> {
        let Self(api) = self;
        let request = api
            .client
            .create_log_group()
            .log_group_name(name)
            .set_tags(Some(tags.clone().into_iter().collect()))
            .send();
        api.call("CreateLogGroup", name, request).await.map(drop)
    }

    async fn put_log_retention(&self, name: &str, days: u32) -> AwsResult<()> {
        let Self(api) = self;
        let days = i32::try_from(days).unwrap_or(i32::MAX);
        let request = api.client.put_retention_policy().log_group_name(name).retention_in_days(days).send();
        api.call("PutRetentionPolicy", name, request).await.map(drop)
    }

    async fn delete_log_group(&self, name: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.delete_log_group().log_group_name(name).send();
        api.call("DeleteLogGroup", name, request).await.map(drop)
    }

    async fn fetch_ledger_page(
        &self,
        group: &str,
        since: MicroTime,
        page: Option<&str>,
    ) -> AwsResult<LedgerPage> {
        let Self(api) = self;
        let request = api
            .client
            .filter_log_events()
            .log_group_name(group)
            .start_time(since.as_micros().div_euclid(1_000).max(0))
            .filter_pattern(format!("\"{MARKER}\""))
            .set_next_token(page.map(str::to_owned))
            .send();
        let found = api.call("FilterLogEvents", group, request).await?;
        let events = found.events.unwrap_or_default();
        let lines = events.iter().filter_map(|event| LedgerLine::parse(event.message()?)).collect();
        Ok(LedgerPage { lines, next: found.next_token })
    }

    async fn fetch_last_lines(&self, group: &str, task: &str, count: u32) -> AwsResult<Option<Vec<String>>> {
        let Self(api) = self;
        let request = api
            .client
            .get_log_events()
            .log_group_name(group)
            .log_stream_name(log_stream(task))
            .start_from_head(false)
            .limit(i32::try_from(count).unwrap_or(i32::MAX))
            .send();
        match api.call("GetLogEvents", group, request).await {
            // A task whose container never ran has no log stream.
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            response => {
                let events = response?.events.unwrap_or_default();
                Ok(Some(events.into_iter().filter_map(|event| event.message).collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
    use aws_sdk_cloudwatchlogs::operation::create_log_group::CreateLogGroupOutput;
    use aws_sdk_cloudwatchlogs::operation::describe_log_groups::DescribeLogGroupsOutput;
    use aws_sdk_cloudwatchlogs::operation::filter_log_events::FilterLogEventsOutput;
    use aws_sdk_cloudwatchlogs::operation::get_log_events::GetLogEventsOutput;
    use aws_sdk_cloudwatchlogs::operation::list_tags_for_resource::ListTagsForResourceOutput;
    use aws_sdk_cloudwatchlogs::operation::put_retention_policy::PutRetentionPolicyOutput;
    use aws_sdk_cloudwatchlogs::types::{FilteredLogEvent, LogGroup, OutputLogEvent};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};
    use kinesis_demo_api::control::TaskId;

    use super::*;
    use crate::aws::client::tests::{refused, unobserved};

    const ARN: &str = "arn:aws:logs:eu-west-1:000000000000:log-group:/kd/log";

    fn logs(rules: &[&Rule]) -> CloudWatchLogs {
        CloudWatchLogs::new(unobserved(mock_client!(
            aws_sdk_cloudwatchlogs,
            RuleMode::Sequential,
            rules,
            |config| config.retry_config(RetryConfig::disabled())
        )))
    }

    fn group(name: &str) -> LogGroup {
        let arn = format!("arn:aws:logs:eu-west-1:000000000000:log-group:{name}:*");
        LogGroup::builder().log_group_name(name).arn(arn).build()
    }

    fn line(sequence: u64) -> LedgerLine {
        LedgerLine {
            kinesisdemo: MARKER.into(),
            run: 1,
            task: TaskId::from_arn("a1b2c3d4"),
            sequence,
            at: MicroTime::from_micros(1_800_000_000_000_000),
            is_final: false,
            control: None,
            phases: BTreeMap::new(),
        }
    }

    fn event(message: &str) -> FilteredLogEvent {
        FilteredLogEvent::builder().message(message).build()
    }

    #[tokio::test]
    async fn a_log_group_is_found_by_exact_name_on_any_page() {
        let first = mock!(Client::describe_log_groups).then_compute_output(|request| {
            assert_eq!((request.log_group_name_prefix(), request.next_token()), (Some("/kd/log"), None));
            DescribeLogGroupsOutput::builder().log_groups(group("/kd/log-2")).next_token("more").build()
        });
        let second = mock!(Client::describe_log_groups).then_compute_output(|request| {
            assert_eq!(request.next_token(), Some("more"));
            DescribeLogGroupsOutput::builder().log_groups(group("/kd/log")).build()
        });
        let found = logs(&[&first, &second]).fetch_log_group("/kd/log").await.unwrap();
        assert_eq!(found, Some(LogGroupDescription { arn: ARN.into(), has_retention: false }));
        let retained = mock!(Client::describe_log_groups).then_output(|| {
            let group = LogGroup::builder().log_group_name("/kd/log").retention_in_days(1).build();
            DescribeLogGroupsOutput::builder().log_groups(group).build()
        });
        assert!(logs(&[&retained]).fetch_log_group("/kd/log").await.unwrap().unwrap().has_retention);
        let others = mock!(Client::describe_log_groups)
            .then_output(|| DescribeLogGroupsOutput::builder().log_groups(group("/kd/log-2")).build());
        assert_eq!(logs(&[&others]).fetch_log_group("/kd/log").await.unwrap(), None);
    }

    #[tokio::test]
    async fn log_groups_are_created_with_tags_and_retention() {
        let created = mock!(Client::create_log_group).then_compute_output(|request| {
            assert_eq!(
                (request.log_group_name(), &request.tags().unwrap()["owner"]),
                (Some("/kd/log"), &"me".into())
            );
            CreateLogGroupOutput::builder().build()
        });
        let tags = Tags::from([("owner".into(), "me".into())]);
        logs(&[&created]).create_log_group("/kd/log", &tags).await.unwrap();
        let retained = mock!(Client::put_retention_policy).then_compute_output(|request| {
            assert_eq!((request.log_group_name(), request.retention_in_days()), (Some("/kd/log"), Some(7)));
            PutRetentionPolicyOutput::builder().build()
        });
        logs(&[&retained]).put_log_retention("/kd/log", 7).await.unwrap();
        let listed = mock!(Client::list_tags_for_resource).then_compute_output(|request| {
            assert_eq!(request.resource_arn(), Some(ARN));
            let tags = HashMap::from([("owner".to_owned(), "me".to_owned())]);
            ListTagsForResourceOutput::builder().set_tags(Some(tags)).build()
        });
        assert_eq!(logs(&[&listed]).fetch_log_group_tags(ARN).await.unwrap(), tags);
    }

    #[tokio::test]
    async fn errors_have_their_class() {
        let existing = mock!(Client::create_log_group)
            .then_http_response(|| refused(400, "ResourceAlreadyExistsException", ""));
        let error = logs(&[&existing]).create_log_group("/kd/log", &Tags::new()).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::AlreadyExists);
        let not_found = mock!(Client::delete_log_group)
            .then_http_response(|| refused(400, "ResourceNotFoundException", ""));
        let error = logs(&[&not_found]).delete_log_group("/kd/log").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
        let busy = mock!(Client::delete_log_group)
            .then_http_response(|| refused(400, "OperationAbortedException", ""));
        let error = logs(&[&busy]).delete_log_group("/kd/log").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Transient);
    }

    #[tokio::test]
    async fn ledger_lines_are_read_page_by_page_past_empty_pages() {
        let first = mock!(Client::filter_log_events).then_compute_output(|request| {
            assert_eq!(
                (request.log_group_name(), request.start_time()),
                (Some("/kd/log"), Some(1_800_000_000_000))
            );
            assert_eq!((request.filter_pattern(), request.next_token()), (Some("\"ledger/1\""), None));
            let events = [event(&line(1).to_text().unwrap()), event(r#"{"message":"about ledger/1"}"#)];
            FilterLogEventsOutput::builder().set_events(Some(events.into())).next_token("empty").build()
        });
        let second = mock!(Client::filter_log_events).then_compute_output(|request| {
            assert_eq!(request.next_token(), Some("empty"));
            FilterLogEventsOutput::builder().next_token("last").build()
        });
        let third = mock!(Client::filter_log_events).then_compute_output(|request| {
            assert_eq!((request.next_token(), request.start_time()), (Some("last"), Some(1_800_000_000_000)));
            FilterLogEventsOutput::builder().events(event(&line(2).to_text().unwrap())).build()
        });
        let since = MicroTime::from_micros(1_800_000_000_000_999);
        let logs = logs(&[&first, &second, &third]);
        let page = |page| logs.fetch_ledger_page("/kd/log", since, page);
        let next = |name: &str| Some(name.to_owned());
        assert_eq!(page(None).await.unwrap(), LedgerPage { lines: vec![line(1)], next: next("empty") });
        assert_eq!(page(Some("empty")).await.unwrap(), LedgerPage { lines: vec![], next: next("last") });
        assert_eq!(page(Some("last")).await.unwrap(), LedgerPage { lines: vec![line(2)], next: None });
    }

    #[tokio::test]
    async fn the_last_lines_are_read_from_the_end_of_a_log_stream() {
        let found = mock!(Client::get_log_events).then_compute_output(|request| {
            assert_eq!(
                (request.log_group_name(), request.log_stream_name()),
                (Some("/kd/log"), Some("generator/generator/0123456789abcdef0123456789abcdef"))
            );
            assert_eq!((request.start_from_head(), request.limit()), (Some(false), Some(20)));
            let event = |message: &str| OutputLogEvent::builder().message(message).build();
            GetLogEventsOutput::builder().events(event("one")).events(event("two")).build()
        });
        let task = "0123456789abcdef0123456789abcdef";
        let lines = logs(&[&found]).fetch_last_lines("/kd/log", task, 20).await.unwrap();
        assert_eq!(lines, Some(vec!["one".to_owned(), "two".to_owned()]));
        let none = mock!(Client::get_log_events)
            .then_http_response(|| refused(400, "ResourceNotFoundException", "no such stream"));
        assert_eq!(logs(&[&none]).fetch_last_lines("/kd/log", task, 20).await.unwrap(), None);
    }
}
