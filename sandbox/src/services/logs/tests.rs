//! Tests of CloudWatch Logs through `Service::call`.

use jiff::SignedDuration;
use serde_json::json;

use super::errors::INVALID_REQUEST;
use super::state::INGESTION_DELAY;
use super::*;
use crate::call::Caller;

struct Harness {
    logs: Logs,
    start: Timestamp,
}

impl Harness {
    async fn with_stream() -> Self {
        let clock = ModelClock::start(1);
        let start = clock.now();
        let harness = Self { logs: Logs::new(clock), start };
        harness.at(0, "CreateLogGroup", json!({"logGroupName": "/g", "tags": {"owner": "a"}})).await.unwrap();
        harness.stream("s").await;
        harness
    }

    async fn stream(&self, name: &str) {
        self.at(0, "CreateLogStream", json!({"logGroupName": "/g", "logStreamName": name})).await.unwrap();
    }

    /// Calls at `seconds` of model time after the start.
    async fn at(&self, seconds: i64, operation: &str, input: Value) -> Result<Value, AwsError> {
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let now = self.start + SignedDuration::from_secs(seconds);
        self.logs.call(Call { operation, input: &input, caller: &caller, now }).await
    }

    async fn put(&self, seconds: i64, stream: &str, messages: &[&str]) -> Value {
        let timestamp = self.start.as_millisecond() + seconds * 1000;
        let events: Vec<Value> =
            messages.iter().map(|message| json!({"timestamp": timestamp, "message": message})).collect();
        let input = json!({"logGroupName": "/g", "logStreamName": stream, "logEvents": events});
        self.at(seconds, "PutLogEvents", input).await.unwrap()
    }
}

fn messages(response: &Value) -> Vec<&str> {
    response["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_becomes_visible_after_its_ingestion_delay() {
    let harness = Harness::with_stream().await;
    harness.put(0, "s", &["hello"]).await;
    let read = json!({"logGroupName": "/g", "logStreamName": "s", "startFromHead": true});
    let delay = INGESTION_DELAY.as_secs();
    assert!(messages(&harness.at(delay - 1, "GetLogEvents", read.clone()).await.unwrap()).is_empty());
    assert_eq!(messages(&harness.at(delay, "GetLogEvents", read).await.unwrap()), ["hello"]);
}

#[tokio::test]
async fn forward_tokens_lead_to_the_end_and_then_stay() {
    let harness = Harness::with_stream().await;
    harness.put(0, "s", &["a", "b", "c"]).await;
    let mut read = json!({"logGroupName": "/g", "logStreamName": "s", "startFromHead": true, "limit": 2});
    let first = harness.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert_eq!(messages(&first), ["a", "b"]);
    read["nextToken"] = first["nextForwardToken"].clone();
    let second = harness.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert_eq!(messages(&second), ["c"]);
    read["nextToken"] = second["nextForwardToken"].clone();
    let end = harness.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert!(messages(&end).is_empty());
    assert_eq!(end["nextForwardToken"], read["nextToken"]);
    harness.put(10, "s", &["d"]).await;
    assert_eq!(messages(&harness.at(20, "GetLogEvents", read.clone()).await.unwrap()), ["d"]);
    read["nextToken"] = second["nextBackwardToken"].clone();
    assert_eq!(messages(&harness.at(20, "GetLogEvents", read).await.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn the_latest_events_are_returned_by_default() {
    let harness = Harness::with_stream().await;
    harness.put(0, "s", &["a", "b", "c"]).await;
    let read = json!({"logGroupName": "/g", "logStreamName": "s", "limit": 2});
    assert_eq!(messages(&harness.at(9, "GetLogEvents", read).await.unwrap()), ["b", "c"]);
}

#[tokio::test]
async fn a_search_returns_all_streams_events_in_time_order() {
    let harness = Harness::with_stream().await;
    harness.stream("t").await;
    harness.put(2, "s", &["ledger late"]).await;
    harness.put(1, "t", &["ledger early", "noise"]).await;
    let mut search = json!({"logGroupName": "/g", "filterPattern": "ledger", "limit": 1});
    let first = harness.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!(messages(&first), ["ledger early"]);
    assert_eq!(first["events"][0]["logStreamName"], "t");
    search["nextToken"] = first["nextToken"].clone();
    let second = harness.at(9, "FilterLogEvents", search).await.unwrap();
    assert_eq!((messages(&second), second.get("nextToken")), (vec!["ledger late"], None));

    let since = harness.start.as_millisecond() + 2000;
    let narrowed = json!({"logGroupName": "/g", "startTime": since, "logStreamNamePrefix": "s"});
    assert_eq!(messages(&harness.at(9, "FilterLogEvents", narrowed).await.unwrap()), ["ledger late"]);
    let unknown = json!({"logGroupName": "/g", "logStreamNames": ["nope"]});
    let error = harness.at(9, "FilterLogEvents", unknown).await.unwrap_err();
    assert_eq!(error.message, "The specified log stream does not exist.");
}

#[tokio::test]
async fn events_outside_the_window_are_rejected_by_position() {
    let harness = Harness::with_stream().await;
    let base = harness.start.as_millisecond();
    let put = |times: Vec<i64>| {
        let events: Vec<Value> = times.iter().map(|at| json!({"timestamp": at, "message": "m"})).collect();
        json!({"logGroupName": "/g", "logStreamName": "s", "logEvents": events})
    };
    let minute = 60_000;
    let future = put(vec![base, base + 121 * minute]);
    let response = harness.at(0, "PutLogEvents", future).await.unwrap();
    assert_eq!(response["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 1}));
    let old = put(vec![base - 14 * 24 * 60 * minute - 1, base - 14 * 24 * 60 * minute]);
    let response = harness.at(0, "PutLogEvents", old).await.unwrap();
    assert_eq!(response["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 1}));
    let backwards = put(vec![base, base - 1]);
    assert_eq!(harness.at(0, "PutLogEvents", backwards).await.unwrap_err().code, "InvalidParameterException");
    let read = json!({"logGroupName": "/g", "logStreamName": "s"});
    assert_eq!(messages(&harness.at(9, "GetLogEvents", read).await.unwrap()).len(), 2);
}

#[tokio::test]
async fn a_group_keeps_its_newest_events_within_its_limit() {
    let harness = Harness::with_stream().await;
    let big = "x".repeat(1_000_000);
    for second in 0..70 {
        harness.put(second, "s", &[&format!("{second} {big}")]).await;
    }
    let search = json!({"logGroupName": "/g", "limit": 1});
    let oldest = harness.at(99, "FilterLogEvents", search).await.unwrap();
    let oldest: i64 = messages(&oldest)[0].split(' ').next().unwrap().parse().unwrap();
    assert!((2..=6).contains(&oldest), "{oldest}");
}

#[tokio::test]
async fn groups_are_described_tagged_and_deleted() {
    let harness = Harness::with_stream().await;
    let again = harness.at(0, "CreateLogGroup", json!({"logGroupName": "/g"})).await.unwrap_err();
    assert_eq!(again.code, "ResourceAlreadyExistsException");
    for (days, accepted) in [(7, true), (8, false), (0, false)] {
        let policy = json!({"logGroupName": "/g", "retentionInDays": days});
        assert_eq!(harness.at(0, "PutRetentionPolicy", policy).await.is_ok(), accepted, "{days}");
    }
    let described = harness.at(0, "DescribeLogGroups", json!({"logGroupNamePrefix": "/g"})).await.unwrap();
    let group = &described["logGroups"][0];
    assert_eq!(group["retentionInDays"], 7);
    assert_eq!(group["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:/g:*");
    let arn = json!({"resourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:/g"});
    assert_eq!(harness.at(0, "ListTagsForResource", arn).await.unwrap(), json!({"tags": {"owner": "a"}}));
    harness.at(0, "DeleteLogGroup", json!({"logGroupName": "/g"})).await.unwrap();
    let missing = harness.at(0, "DeleteLogGroup", json!({"logGroupName": "/g"})).await.unwrap_err();
    assert_eq!(missing.message, "The specified log group does not exist.");
}

#[tokio::test]
async fn container_lines_require_a_group_and_get_a_timestamp() {
    let harness = Harness::with_stream().await;
    let stream =
        |group: &str| LogStream { region: "us-east-1".into(), group: group.into(), name: "p/c/1".into() };
    let missing = harness.logs.create_stream(&stream("/none")).unwrap_err();
    assert_eq!(missing.code, "ResourceNotFoundException");
    for _ in 0..2 {
        harness.logs.create_stream(&stream("/g")).unwrap();
    }
    harness.logs.append(&stream("/g"), "from the task".to_owned(), None);
    let read = json!({"logGroupName": "/g", "logStreamName": "p/c/1"});
    let response = harness.at(60, "GetLogEvents", read).await.unwrap();
    assert_eq!(messages(&response), ["from the task"]);
    assert_eq!(response["events"][0]["timestamp"], response["events"][0]["ingestionTime"]);
}

#[tokio::test]
async fn a_search_can_start_with_the_latest_events() {
    let harness = Harness::with_stream().await;
    harness.put(0, "s", &["a", "b", "c"]).await;
    let mut search =
        json!({"logGroupName": "/g", "startFromHead": false, "limit": 2, "startTime": 1_704_067_200_000_i64});
    let first = harness.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!(messages(&first), ["c", "b"]);
    // The token's direction takes precedence over the request's.
    search["nextToken"] = first["nextToken"].clone();
    search["startFromHead"] = json!(true);
    let rest = harness.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!((messages(&rest), rest.get("nextToken")), (vec!["a"], None));
    for start in [json!(null), json!(1_704_067_199_999_i64)] {
        let early = json!({"logGroupName": "/g", "startFromHead": false, "startTime": start});
        let rejected = harness.at(9, "FilterLogEvents", early).await.unwrap_err();
        assert_eq!(rejected.code, "InvalidParameterException");
    }
}

#[tokio::test]
async fn only_the_standard_class_is_offered_and_can_be_listed() {
    let harness = Harness::with_stream().await;
    let infrequent = json!({"logGroupName": "/i", "logGroupClass": "INFREQUENT_ACCESS"});
    let rejected = harness.at(0, "CreateLogGroup", infrequent).await.unwrap_err();
    assert_eq!(
        rejected.message,
        "the log group class INFREQUENT_ACCESS is not supported by this sandbox; docs/sandbox.md lists what is supported"
    );
    for (class, count) in [("STANDARD", 1), ("INFREQUENT_ACCESS", 0)] {
        let listed = harness.at(0, "DescribeLogGroups", json!({ "logGroupClass": class })).await.unwrap();
        assert_eq!(listed["logGroups"].as_array().unwrap().len(), count, "{class}");
    }
}

#[tokio::test]
async fn foreign_arns_find_no_group() {
    let harness = Harness::with_stream().await;
    let own = json!({"logGroupIdentifier": "arn:aws:logs:us-east-1:000000000000:log-group:/g"});
    assert!(harness.at(0, "DescribeLogStreams", own).await.is_ok());
    let not_found = AwsError::client("ResourceNotFoundException", "The specified log group does not exist.");
    for other in [
        "arn:aws:logs:eu-west-1:000000000000:log-group:/g",
        "arn:aws:logs:us-east-1:111111111111:log-group:/g",
        "arn:aws-cn:logs:us-east-1:000000000000:log-group:/g",
    ] {
        let named = json!({"logGroupIdentifier": other});
        assert_eq!(harness.at(0, "FilterLogEvents", named).await, Err(not_found.clone()), "{other}");
        let tags = json!({"resourceArn": other});
        assert_eq!(harness.at(0, "ListTagsForResource", tags).await, Err(not_found.clone()), "{other}");
    }
    let stream = json!({"resourceArn": "arn:aws:logs:us-east-1:000000000000:stream:/g"});
    let rejected = harness.at(0, "ListTagsForResource", stream).await.unwrap_err();
    assert_eq!(
        (rejected.code.as_str(), rejected.message.as_str()),
        (INVALID_REQUEST, "Invalid resource ARN.")
    );
}
