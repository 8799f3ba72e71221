//! Tests of Kinesis in CBOR, the default of the SDKs for Java. They send raw requests, because the
//! SDK for Rust does not use CBOR for Kinesis.

use ciborium::Value as Cbor;

use crate::test_sandbox::TestSandbox;

const CBOR: &str = "application/x-amz-cbor-1.1";

struct CborResponse {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl CborResponse {
    fn fields(&self) -> Cbor {
        ciborium::from_reader(self.body.as_slice()).unwrap()
    }
}

async fn send(sandbox: &TestSandbox, operation: &str, body: Vec<u8>) -> CborResponse {
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
    let response = request.send().await.unwrap();
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    CborResponse {
        status: response.status().as_u16(),
        content_type,
        body: response.bytes().await.unwrap().to_vec(),
    }
}

async fn call(sandbox: &TestSandbox, operation: &str, fields: Vec<(&str, Cbor)>) -> CborResponse {
    let mut body = Vec::new();
    ciborium::into_writer(&map(fields), &mut body).unwrap();
    send(sandbox, operation, body).await
}

fn map(fields: Vec<(&str, Cbor)>) -> Cbor {
    Cbor::Map(fields.into_iter().map(|(name, value)| (Cbor::from(name), value)).collect())
}

/// A field of a map.
fn field<'a>(value: &'a Cbor, name: &str) -> &'a Cbor {
    let fields = value.as_map().unwrap();
    let found = fields.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap_or_else(|| panic!("no field {name} in {value:?}")).1
}

fn millis(value: &Cbor) -> i64 {
    let Cbor::Tag(1, millis) = value else { panic!("{value:?} has no timestamp tag") };
    i64::try_from(i128::from(millis.as_integer().unwrap())).unwrap()
}

#[tokio::test]
async fn a_stream_is_created_written_read_and_described() {
    let sandbox = TestSandbox::start().await;
    let create = vec![("StreamName", Cbor::from("posts")), ("ShardCount", Cbor::from(1))];
    let created = call(&sandbox, "CreateStream", create).await;
    assert_eq!((created.status, created.content_type.as_str(), created.body.len()), (200, CBOR, 0));
    sandbox.advance(20);
    let before = sandbox.clock.moment().wall.as_millisecond();

    let data: Vec<u8> = (0..=255).collect();
    let record = |key| map(vec![("Data", Cbor::Bytes(data.clone())), ("PartitionKey", Cbor::from(key))]);
    let records = Cbor::Array(vec![record("a"), record("b")]);
    let put =
        call(&sandbox, "PutRecords", vec![("StreamName", Cbor::from("posts")), ("Records", records)]).await;
    assert_eq!((put.status, put.content_type.as_str()), (200, CBOR));
    let put = put.fields();
    assert_eq!(field(&put, "FailedRecordCount").as_integer(), Some(0.into()));
    assert_eq!(field(&put, "Records").as_array().unwrap().len(), 2);
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
    sandbox.advance(1);
    let iterator =
        call(&sandbox, "GetShardIterator", since(Cbor::Tag(1, Box::new(Cbor::from(before))))).await;
    let iterator = field(&iterator.fields(), "ShardIterator").clone();
    let read = call(&sandbox, "GetRecords", vec![("ShardIterator", iterator)]).await.fields();
    let records = field(&read, "Records").as_array().unwrap();
    assert_eq!(records.len(), 3, "the timestamp is read as milliseconds");
    assert_eq!(field(&records[0], "Data"), &Cbor::Bytes(data));
    assert_eq!(field(&records[2], "Data"), &Cbor::Bytes(b"YQ==".to_vec()), "bytes, not base64");
    assert_eq!(field(&records[1], "PartitionKey").as_text(), Some("b"));
    assert_eq!(millis(field(&records[0], "ApproximateArrivalTimestamp")), before);
    let later =
        call(&sandbox, "GetShardIterator", since(Cbor::Tag(1, Box::new(Cbor::from(before + 1))))).await;
    let later = field(&later.fields(), "ShardIterator").clone();
    let read = call(&sandbox, "GetRecords", vec![("ShardIterator", later)]).await.fields();
    assert!(field(&read, "Records").as_array().unwrap().is_empty());

    let stream = vec![("StreamName", Cbor::from("posts"))];
    let described = call(&sandbox, "DescribeStreamSummary", stream).await.fields();
    let summary = field(&described, "StreamDescriptionSummary");
    assert_eq!(field(summary, "StreamStatus").as_text(), Some("ACTIVE"));
    assert!((before - 25_000..before).contains(&millis(field(summary, "StreamCreationTimestamp"))));
}

#[tokio::test]
async fn errors_are_in_cbor_with_the_same_content() {
    let sandbox = TestSandbox::start().await;
    let error_of = |response: &CborResponse| {
        assert_eq!((response.status, response.content_type.as_str()), (400, CBOR));
        let fields = response.fields();
        let text = |name| field(&fields, name).as_text().unwrap().to_owned();
        (text("__type"), text("message"))
    };
    let stream = || vec![("StreamName", Cbor::from("none"))];
    let missing = call(&sandbox, "DescribeStreamSummary", stream()).await;
    let expected = "Stream none under account 000000000000 not found.".to_owned();
    assert_eq!(error_of(&missing), ("ResourceNotFoundException".to_owned(), expected));
    let record = map(vec![("Data", Cbor::Bytes(vec![1])), ("PartitionKey", Cbor::from(""))]);
    let put =
        call(&sandbox, "PutRecords", [stream(), vec![("Records", Cbor::Array(vec![record]))]].concat()).await;
    let (code, message) = error_of(&put);
    assert_eq!(code, "ValidationException");
    assert!(message.contains("'records.1.member.partitionKey'"), "{message}");
    let (code, message) = error_of(&call(&sandbox, "SubscribeToShard", vec![]).await);
    assert_eq!(code, "UnknownOperationException");
    assert!(message.contains("SubscribeToShard"), "{message}");
    for operation in ["PutRecords", "ListStreams"] {
        let nonsense = send(&sandbox, operation, vec![0xff]).await;
        let code = field(&nonsense.fields(), "__type").as_text().unwrap().to_owned();
        assert_eq!((nonsense.status, code.as_str()), (400, "SerializationException"));
    }
}
