//! Kinesis in CBOR, as the SDKs for Java speak it by default: raw requests, since no SDK for Rust does.

use ciborium::Value as Cbor;

use crate::test_sandbox::TestSandbox;

const CBOR: &str = "application/x-amz-cbor-1.1";

struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl Answer {
    fn members(&self) -> Cbor {
        ciborium::from_reader(self.body.as_slice()).unwrap()
    }
}

async fn send(sandbox: &TestSandbox, operation: &str, body: Vec<u8>) -> Answer {
    let key = sandbox.running.access_key_id();
    let request = reqwest::Client::new()
        .post(sandbox.running.endpoint_url())
        .header("content-type", CBOR)
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("x-amz-date", "20261122T000000Z")
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, \
                 Signature=abc"
            ),
        )
        .body(body);
    let answer = request.send().await.unwrap();
    let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
    Answer { status: answer.status().as_u16(), content_type, body: answer.bytes().await.unwrap().to_vec() }
}

async fn call(sandbox: &TestSandbox, operation: &str, members: Vec<(&str, Cbor)>) -> Answer {
    let mut body = Vec::new();
    ciborium::into_writer(&map(members), &mut body).unwrap();
    send(sandbox, operation, body).await
}

fn map(members: Vec<(&str, Cbor)>) -> Cbor {
    Cbor::Map(members.into_iter().map(|(name, value)| (Cbor::from(name), value)).collect())
}

/// A member of a map.
fn member<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let members = value.as_map().unwrap();
    let found = members.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no {name} in {value:?}")).1
}

fn millis(value: &Cbor) -> i64 {
    let Cbor::Tag(1, millis) = value else { panic!("{value:?} is not tagged as an instant") };
    i64::try_from(i128::from(millis.as_integer().unwrap())).unwrap()
}

#[tokio::test]
async fn a_stream_is_made_written_read_and_described() {
    let sandbox = TestSandbox::start().await;
    let create = vec![("StreamName", Cbor::from("posts")), ("ShardCount", Cbor::from(1))];
    let made = call(&sandbox, "CreateStream", create).await;
    assert_eq!((made.status, made.content_type.as_str(), made.body.len()), (200, CBOR, 0));
    sandbox.pass(20);
    let before = sandbox.clock.moment().wall.as_millisecond();

    let data: Vec<u8> = (0..=255).collect();
    let record = |key| map(vec![("Data", Cbor::Bytes(data.clone())), ("PartitionKey", Cbor::from(key))]);
    let records = Cbor::Array(vec![record("a"), record("b")]);
    let put =
        call(&sandbox, "PutRecords", vec![("StreamName", Cbor::from("posts")), ("Records", records)]).await;
    assert_eq!((put.status, put.content_type.as_str()), (200, CBOR));
    let put = put.members();
    assert_eq!(member(&put, "FailedRecordCount").as_integer(), Some(0.into()));
    assert_eq!(member(&put, "Records").as_array().unwrap().len(), 2);
    let single = vec![
        ("StreamName", Cbor::from("posts")),
        ("Data", Cbor::Bytes(b"YQ==".to_vec())),
        ("PartitionKey", Cbor::from("c")),
    ];
    assert_eq!(call(&sandbox, "PutRecord", single).await.status, 200);

    let since = |instant: Cbor| {
        vec![
            ("StreamName", Cbor::from("posts")),
            ("ShardId", Cbor::from("shardId-000000000000")),
            ("ShardIteratorType", Cbor::from("AT_TIMESTAMP")),
            ("Timestamp", instant),
        ]
    };
    sandbox.pass(1);
    let iterator =
        call(&sandbox, "GetShardIterator", since(Cbor::Tag(1, Box::new(Cbor::from(before))))).await;
    let iterator = member(&iterator.members(), "ShardIterator").clone();
    let read = call(&sandbox, "GetRecords", vec![("ShardIterator", iterator)]).await.members();
    let records = member(&read, "Records").as_array().unwrap();
    assert_eq!(records.len(), 3, "the instant was understood as milliseconds");
    assert_eq!(member(&records[0], "Data"), &Cbor::Bytes(data));
    assert_eq!(member(&records[2], "Data"), &Cbor::Bytes(b"YQ==".to_vec()), "bytes, not base64");
    assert_eq!(member(&records[1], "PartitionKey").as_text(), Some("b"));
    assert_eq!(millis(member(&records[0], "ApproximateArrivalTimestamp")), before);
    let later =
        call(&sandbox, "GetShardIterator", since(Cbor::Tag(1, Box::new(Cbor::from(before + 1))))).await;
    let later = member(&later.members(), "ShardIterator").clone();
    let read = call(&sandbox, "GetRecords", vec![("ShardIterator", later)]).await.members();
    assert!(member(&read, "Records").as_array().unwrap().is_empty());

    let stream = vec![("StreamName", Cbor::from("posts"))];
    let described = call(&sandbox, "DescribeStreamSummary", stream).await.members();
    let summary = member(&described, "StreamDescriptionSummary");
    assert_eq!(member(summary, "StreamStatus").as_text(), Some("ACTIVE"));
    assert!((before - 25_000..before).contains(&millis(member(summary, "StreamCreationTimestamp"))));
}

#[tokio::test]
async fn refusals_are_in_cbor_too_and_say_the_same() {
    let sandbox = TestSandbox::start().await;
    let refused = |answer: &Answer| {
        assert_eq!((answer.status, answer.content_type.as_str()), (400, CBOR));
        let members = answer.members();
        let text = |name| member(&members, name).as_text().unwrap().to_owned();
        (text("__type"), text("message"))
    };
    let stream = || vec![("StreamName", Cbor::from("none"))];
    let missing = call(&sandbox, "DescribeStreamSummary", stream()).await;
    let expected = "Stream none under account 000000000000 not found.".to_owned();
    assert_eq!(refused(&missing), ("ResourceNotFoundException".to_owned(), expected));
    let record = map(vec![("Data", Cbor::Bytes(vec![1])), ("PartitionKey", Cbor::from(""))]);
    let put =
        call(&sandbox, "PutRecords", [stream(), vec![("Records", Cbor::Array(vec![record]))]].concat()).await;
    let (code, message) = refused(&put);
    assert_eq!(code, "ValidationException");
    assert!(message.contains("'records.1.member.partitionKey'"), "{message}");
    let (code, message) = refused(&call(&sandbox, "SubscribeToShard", vec![]).await);
    assert_eq!(code, "UnknownOperationException");
    assert!(message.contains("SubscribeToShard"), "{message}");
    for operation in ["PutRecords", "ListStreams"] {
        let nonsense = send(&sandbox, operation, vec![0xff]).await;
        let code = member(&nonsense.members(), "__type").as_text().unwrap().to_owned();
        assert_eq!((nonsense.status, code.as_str()), (400, "SerializationException"));
    }
}
