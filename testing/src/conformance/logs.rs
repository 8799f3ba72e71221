//! CloudWatch Logs: log groups, and the ledger lines of tasks.

use std::collections::BTreeMap;

use kinesis_demo_api::ledger::{LedgerLine, MARKER};
use kinesis_demo_operator::aws::{AwsError, AwsErrorClass, LedgerPage, LogGroupDescription, Tags, TaskState};

use super::Arm;
use super::fixtures::{
    LOG_GROUP, arn, assert_refused, aws, in_state, refusal, resize, run_service, tags, tasks,
};
use super::waiting::{seconds, wait_until};

fn group_arn() -> String {
    arn("logs", "log-group:/kd/log")
}

fn group(has_retention: bool) -> Option<LogGroupDescription> {
    Some(LogGroupDescription { arn: group_arn(), has_retention })
}

fn not_found(operation: &'static str, target: &str) -> AwsError {
    let message = "The specified log group does not exist.";
    refusal(AwsErrorClass::NotFound, operation, target, "ResourceNotFoundException", message)
}

fn invalid(operation: &'static str, target: &str, message: impl Into<String>) -> AwsError {
    refusal(AwsErrorClass::Invalid, operation, target, "InvalidParameterException", message)
}

pub(super) async fn a_log_group_is_created_described_and_deleted(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), None);
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), group(false));
    assert_eq!(logs.fetch_log_group_tags(&group_arn()).await.unwrap(), tags("ns/demo"));
    logs.put_log_retention(LOG_GROUP, 7).await.unwrap();
    logs.put_log_retention(LOG_GROUP, 3_653).await.unwrap();
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), group(true));
    logs.delete_log_group(LOG_GROUP).await.unwrap();
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), None);
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), group(false));
}

pub(super) async fn a_log_group_is_found_by_its_whole_name(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    for name in ["/kd/log-1", "/kd/log-2", "/kd/log/3"] {
        logs.create_log_group(name, &tags("ns/other")).await.unwrap();
    }
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), None);
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), group(false));
    assert_eq!(logs.fetch_log_group_tags(&group_arn()).await.unwrap(), tags("ns/demo"));
}

pub(super) async fn a_log_group_exists_once(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    let (class, code) = (AwsErrorClass::AlreadyExists, "ResourceAlreadyExistsException");
    let message = "The specified log group already exists";
    let expected = refusal(class, "CreateLogGroup", LOG_GROUP, code, message);
    assert_refused(logs.create_log_group(LOG_GROUP, &tags("ns/other")).await, expected);
    assert_eq!(logs.fetch_log_group_tags(&group_arn()).await.unwrap(), tags("ns/demo"));
}

pub(super) async fn a_missing_log_group_is_not_found(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    let tags = logs.fetch_log_group_tags(&group_arn()).await;
    assert_refused(tags, not_found("ListTagsForResource", &group_arn()));
    // Also with a retention that does not exist.
    for days in [7, 8] {
        let retained = logs.put_log_retention(LOG_GROUP, days).await;
        assert_refused(retained, not_found("PutRetentionPolicy", LOG_GROUP));
    }
    assert_refused(logs.delete_log_group(LOG_GROUP).await, not_found("DeleteLogGroup", LOG_GROUP));
    let page = logs.fetch_ledger_page(LOG_GROUP, arm.now(), None).await;
    assert_refused(page, not_found("FilterLogEvents", LOG_GROUP));
    assert_eq!(logs.fetch_last_lines(LOG_GROUP, &"0".repeat(32), 5).await.unwrap(), None);
}

pub(super) async fn retention_names_and_tags_follow_the_rules(arm: &dyn Arm) {
    let logs = aws(arm).logs;
    let violation = |value: &str, member: &str, constraint: &str| {
        format!(
            "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
        )
    };
    let pattern = r"Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+";
    let long = "a".repeat(513);
    for (name, tags, message) in [
        ("/kd log", tags("ns/demo"), violation("/kd log", "logGroupName", pattern)),
        (
            &long,
            tags("ns/demo"),
            violation(&long, "logGroupName", "Member must have length less than or equal to 512"),
        ),
        (
            LOG_GROUP,
            Tags::new(),
            violation("{}", "tags", "Member must have length greater than or equal to 1"),
        ),
    ] {
        let created = logs.create_log_group(name, &tags).await;
        assert_refused(created, invalid("CreateLogGroup", name, message));
    }
    logs.create_log_group(LOG_GROUP, &tags("ns/demo")).await.unwrap();
    let values = "Member must satisfy enum value set: [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]";
    for days in [0, 8] {
        let message = violation(&days.to_string(), "retentionInDays", values);
        let retained = logs.put_log_retention(LOG_GROUP, days).await;
        assert_refused(retained, invalid("PutRetentionPolicy", LOG_GROUP, message));
    }
    assert_eq!(logs.fetch_log_group(LOG_GROUP).await.unwrap(), group(false));
}

pub(super) async fn a_tasks_lines_can_be_read_after_a_delay(arm: &dyn Arm) {
    let (logs, began_at) = (aws(arm).logs, arm.now());
    let [task] = run_service(arm, 1).await.try_into().unwrap();
    let full_id = task.arn.rsplit('/').next().unwrap();
    // A task that never ran has no log stream.
    assert_eq!(logs.fetch_last_lines(LOG_GROUP, &"0".repeat(32), 5).await.unwrap(), None);
    assert_eq!(logs.fetch_last_lines(LOG_GROUP, full_id, 5).await.unwrap(), Some(Vec::new()));
    let page = async |since, page: Option<&str>| logs.fetch_ledger_page(LOG_GROUP, since, page).await;
    assert_eq!(page(began_at, None).await.unwrap(), LedgerPage::default());

    // It has no slot, so it writes only its final line.
    resize(arm, 0).await;
    let has_stopped = async || !in_state(arm, TaskState::Stopped).await.is_empty();
    wait_until(arm, "the task has stopped", has_stopped).await;
    let has_lines = async || !page(began_at, None).await.unwrap().lines.is_empty();
    wait_until(arm, "its lines can be read", has_lines).await;
    let read = page(began_at, None).await.unwrap();
    let line = LedgerLine {
        kinesisdemo: MARKER.to_owned(),
        run: 1,
        task: task.id,
        sequence: 1,
        at: read.lines[0].at,
        is_final: true,
        control: None,
        phases: BTreeMap::new(),
    };
    assert_eq!(read, LedgerPage { lines: vec![line.clone()], next: None });
    let later = arm.now() + seconds(1);
    assert_eq!(page(later, None).await.unwrap(), LedgerPage::default());
    let message = "The specified nextToken is invalid.";
    assert_refused(page(began_at, Some("x")).await, invalid("FilterLogEvents", LOG_GROUP, message));

    let texts = logs.fetch_last_lines(LOG_GROUP, full_id, 5).await.unwrap().unwrap();
    assert_eq!(texts.iter().map(|text| LedgerLine::parse(text)).collect::<Vec<_>>(), [Some(line)]);
    logs.delete_log_group(LOG_GROUP).await.unwrap();
    assert_eq!(logs.fetch_last_lines(LOG_GROUP, full_id, 5).await.unwrap(), None);
    assert_eq!(tasks(arm).await.len(), 1, "the task itself is still known");
}
