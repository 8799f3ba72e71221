//! CloudWatch Logs through its one entrance.

use super::*;
use crate::services::Caller;

struct Harness {
    logs: Logs,
    start: Timestamp,
}

impl Harness {
    async fn with_stream() -> Self {
        let clock = ModelClock::start(1);
        let start = clock.now();
        let world = Self { logs: Logs::new(clock), start };
        world.at(0, "CreateLogGroup", json!({"logGroupName": "/g", "tags": {"owner": "a"}})).await.unwrap();
        world.stream("s").await;
        world
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

fn messages(answer: &Value) -> Vec<&str> {
    answer["events"].as_array().unwrap().iter().map(|event| event["message"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn an_event_shows_up_once_its_ingestion_delay_has_passed() {
    let world = Harness::with_stream().await;
    world.put(0, "s", &["hello"]).await;
    let read = json!({"logGroupName": "/g", "logStreamName": "s", "startFromHead": true});
    let delay = INGESTION_DELAY.as_secs();
    assert!(messages(&world.at(delay - 1, "GetLogEvents", read.clone()).await.unwrap()).is_empty());
    assert_eq!(messages(&world.at(delay, "GetLogEvents", read).await.unwrap()), ["hello"]);
}

#[tokio::test]
async fn forward_tokens_walk_a_stream_to_its_end_and_then_stay() {
    let world = Harness::with_stream().await;
    world.put(0, "s", &["a", "b", "c"]).await;
    let mut read = json!({"logGroupName": "/g", "logStreamName": "s", "startFromHead": true, "limit": 2});
    let first = world.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert_eq!(messages(&first), ["a", "b"]);
    read["nextToken"] = first["nextForwardToken"].clone();
    let second = world.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert_eq!(messages(&second), ["c"]);
    read["nextToken"] = second["nextForwardToken"].clone();
    let end = world.at(9, "GetLogEvents", read.clone()).await.unwrap();
    assert!(messages(&end).is_empty());
    assert_eq!(end["nextForwardToken"], read["nextToken"]);
    world.put(10, "s", &["d"]).await;
    assert_eq!(messages(&world.at(20, "GetLogEvents", read.clone()).await.unwrap()), ["d"]);
    read["nextToken"] = second["nextBackwardToken"].clone();
    assert_eq!(messages(&world.at(20, "GetLogEvents", read).await.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn without_start_from_head_the_latest_events_come() {
    let world = Harness::with_stream().await;
    world.put(0, "s", &["a", "b", "c"]).await;
    let read = json!({"logGroupName": "/g", "logStreamName": "s", "limit": 2});
    assert_eq!(messages(&world.at(9, "GetLogEvents", read).await.unwrap()), ["b", "c"]);
}

#[tokio::test]
async fn a_filter_searches_all_streams_in_time_order_page_by_page() {
    let world = Harness::with_stream().await;
    world.stream("t").await;
    world.put(2, "s", &["ledger late"]).await;
    world.put(1, "t", &["ledger early", "noise"]).await;
    let mut search = json!({"logGroupName": "/g", "filterPattern": "ledger", "limit": 1});
    let first = world.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!(messages(&first), ["ledger early"]);
    assert_eq!(first["events"][0]["logStreamName"], "t");
    search["nextToken"] = first["nextToken"].clone();
    let second = world.at(9, "FilterLogEvents", search).await.unwrap();
    assert_eq!((messages(&second), second.get("nextToken")), (vec!["ledger late"], None));

    let since = world.start.as_millisecond() + 2000;
    let narrowed = json!({"logGroupName": "/g", "startTime": since, "logStreamNamePrefix": "s"});
    assert_eq!(messages(&world.at(9, "FilterLogEvents", narrowed).await.unwrap()), ["ledger late"]);
    let unknown = json!({"logGroupName": "/g", "logStreamNames": ["nope"]});
    let error = world.at(9, "FilterLogEvents", unknown).await.unwrap_err();
    assert_eq!(error.message, "The specified log stream does not exist.");
}

#[tokio::test]
async fn events_outside_the_window_are_rejected_by_position_and_the_rest_is_taken() {
    let world = Harness::with_stream().await;
    let base = world.start.as_millisecond();
    let put = |times: Vec<i64>| {
        let events: Vec<Value> = times.iter().map(|at| json!({"timestamp": at, "message": "m"})).collect();
        json!({"logGroupName": "/g", "logStreamName": "s", "logEvents": events})
    };
    let minute = 60_000;
    let future = put(vec![base, base + 121 * minute]);
    let answer = world.at(0, "PutLogEvents", future).await.unwrap();
    assert_eq!(answer["rejectedLogEventsInfo"], json!({"tooNewLogEventStartIndex": 1}));
    let old = put(vec![base - 14 * 24 * 60 * minute - 1, base - 14 * 24 * 60 * minute]);
    let answer = world.at(0, "PutLogEvents", old).await.unwrap();
    assert_eq!(answer["rejectedLogEventsInfo"], json!({"tooOldLogEventEndIndex": 1}));
    let backwards = put(vec![base, base - 1]);
    assert_eq!(world.at(0, "PutLogEvents", backwards).await.unwrap_err().code, "InvalidParameterException");
    let read = json!({"logGroupName": "/g", "logStreamName": "s"});
    assert_eq!(messages(&world.at(9, "GetLogEvents", read).await.unwrap()).len(), 2);
}

#[tokio::test]
async fn a_group_keeps_its_newest_events_within_its_bound() {
    let world = Harness::with_stream().await;
    let big = "x".repeat(1_000_000);
    for second in 0..70 {
        world.put(second, "s", &[&format!("{second} {big}")]).await;
    }
    let search = json!({"logGroupName": "/g", "limit": 1});
    let oldest = world.at(99, "FilterLogEvents", search).await.unwrap();
    let oldest: i64 = messages(&oldest)[0].split(' ').next().unwrap().parse().unwrap();
    assert!((2..=6).contains(&oldest), "{oldest}");
}

#[tokio::test]
async fn groups_are_described_tagged_and_deleted_as_on_aws() {
    let world = Harness::with_stream().await;
    let again = world.at(0, "CreateLogGroup", json!({"logGroupName": "/g"})).await.unwrap_err();
    assert_eq!(again.code, "ResourceAlreadyExistsException");
    for (days, accepted) in [(7, true), (8, false), (0, false)] {
        let policy = json!({"logGroupName": "/g", "retentionInDays": days});
        assert_eq!(world.at(0, "PutRetentionPolicy", policy).await.is_ok(), accepted, "{days}");
    }
    let described = world.at(0, "DescribeLogGroups", json!({"logGroupNamePrefix": "/g"})).await.unwrap();
    let group = &described["logGroups"][0];
    assert_eq!(group["retentionInDays"], 7);
    assert_eq!(group["arn"], "arn:aws:logs:us-east-1:000000000000:log-group:/g:*");
    let arn = json!({"resourceArn": "arn:aws:logs:us-east-1:000000000000:log-group:/g"});
    assert_eq!(world.at(0, "ListTagsForResource", arn).await.unwrap(), json!({"tags": {"owner": "a"}}));
    world.at(0, "DeleteLogGroup", json!({"logGroupName": "/g"})).await.unwrap();
    let gone = world.at(0, "DeleteLogGroup", json!({"logGroupName": "/g"})).await.unwrap_err();
    assert_eq!(gone.message, "The specified log group does not exist.");
}

#[tokio::test]
async fn a_containers_lines_need_a_group_and_are_stamped_on_arrival() {
    let world = Harness::with_stream().await;
    let missing = world.logs.create_container_stream("us-east-1", "/none", "p/c/1").unwrap_err();
    assert_eq!(missing.code, "ResourceNotFoundException");
    world.logs.create_container_stream("us-east-1", "/g", "p/c/1").unwrap();
    world.logs.append_container_line("us-east-1", "/g", "p/c/1", "from the task".to_owned(), None);
    let read = json!({"logGroupName": "/g", "logStreamName": "p/c/1"});
    let answer = world.at(60, "GetLogEvents", read).await.unwrap();
    assert_eq!(messages(&answer), ["from the task"]);
    assert_eq!(answer["events"][0]["timestamp"], answer["events"][0]["ingestionTime"]);
}

#[tokio::test]
async fn a_search_can_begin_with_the_latest_events() {
    let world = Harness::with_stream().await;
    world.put(0, "s", &["a", "b", "c"]).await;
    let mut search =
        json!({"logGroupName": "/g", "startFromHead": false, "limit": 2, "startTime": 1_704_067_200_000_i64});
    let first = world.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!(messages(&first), ["c", "b"]);
    // The token's direction counts, whatever the request says.
    search["nextToken"] = first["nextToken"].clone();
    search["startFromHead"] = json!(true);
    let rest = world.at(9, "FilterLogEvents", search.clone()).await.unwrap();
    assert_eq!((messages(&rest), rest.get("nextToken")), (vec!["a"], None));
    for start in [json!(null), json!(1_704_067_199_999_i64)] {
        let early = json!({"logGroupName": "/g", "startFromHead": false, "startTime": start});
        let refused = world.at(9, "FilterLogEvents", early).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameterException");
    }
}

#[tokio::test]
async fn groups_are_of_the_standard_class_and_listed_by_it() {
    let world = Harness::with_stream().await;
    let infrequent = json!({"logGroupName": "/i", "logGroupClass": "INFREQUENT_ACCESS"});
    let refused = world.at(0, "CreateLogGroup", infrequent).await.unwrap_err();
    assert_eq!(
        refused.message,
        "the log group class INFREQUENT_ACCESS is not supported by this sandbox; docs/sandbox.md lists what is supported"
    );
    for (class, count) in [("STANDARD", 1), ("INFREQUENT_ACCESS", 0)] {
        let listed = world.at(0, "DescribeLogGroups", json!({ "logGroupClass": class })).await.unwrap();
        assert_eq!(listed["logGroups"].as_array().unwrap().len(), count, "{class}");
    }
}

#[tokio::test]
async fn arns_of_other_places_name_no_group() {
    let world = Harness::with_stream().await;
    let own = json!({"logGroupIdentifier": "arn:aws:logs:us-east-1:000000000000:log-group:/g"});
    assert!(world.at(0, "DescribeLogStreams", own).await.is_ok());
    let gone = AwsError::client("ResourceNotFoundException", "The specified log group does not exist.");
    for other in [
        "arn:aws:logs:eu-west-1:000000000000:log-group:/g",
        "arn:aws:logs:us-east-1:111111111111:log-group:/g",
        "arn:aws-cn:logs:us-east-1:000000000000:log-group:/g",
    ] {
        let named = json!({"logGroupIdentifier": other});
        assert_eq!(world.at(0, "FilterLogEvents", named).await, Err(gone.clone()), "{other}");
        let tags = json!({"resourceArn": other});
        assert_eq!(world.at(0, "ListTagsForResource", tags).await, Err(gone.clone()), "{other}");
    }
    let stream = json!({"resourceArn": "arn:aws:logs:us-east-1:000000000000:stream:/g"});
    let refused = world.at(0, "ListTagsForResource", stream).await.unwrap_err();
    assert_eq!((refused.code.as_str(), refused.message.as_str()), (REFUSAL, "Invalid resource ARN."));
}
