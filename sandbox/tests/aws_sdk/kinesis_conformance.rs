//! Compares the sandbox with ferrokinesis (a careful copy of the service) where both model an
//! operation: which shard gets a key, how the hash key space is divided, and how invalid requests
//! are rejected.

use ferrokinesis::create_app;
use ferrokinesis::store::StoreOptions;
use serde_json::{Value, json};

use crate::test_sandbox::TestSandbox;

/// ferrokinesis on its own socket, and our sandbox.
struct Pair {
    sandbox: TestSandbox,
    other: String,
    server: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Pair {
    async fn start() -> Self {
        let options = StoreOptions { create_stream_ms: 0, shard_limit: 100, ..StoreOptions::default() };
        let (app, _store) = create_app(options);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let other = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, app).await });
        Self { sandbox: TestSandbox::start().await, other, server }
    }

    /// Status and body of both responses to the same request.
    async fn both(&self, operation: &str, body: &str) -> [(u16, Value); 2] {
        let ours = self.sandbox.running.endpoint_url();
        let key = self.sandbox.running.access_key_id();
        [send(&ours, key, operation, body).await, send(&self.other, key, operation, body).await]
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn send(endpoint: &str, key: &str, operation: &str, body: &str) -> (u16, Value) {
    let request = reqwest::Client::new()
        .post(endpoint)
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("x-amz-date", "20261122T000000Z")
        .header(
            "authorization",
            format!(
                "AWS4-HMAC-SHA256 Credential={key}/20261122/us-east-1/kinesis/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=abc"
            ),
        )
        .body(body.to_owned());
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn keys_go_to_the_same_shards_as_in_ferrokinesis() {
    let pair = Pair::start().await;
    for shards in [1, 2, 3, 5, 7] {
        let name = format!("posts-{shards}");
        let create = json!({"StreamName": name, "ShardCount": shards}).to_string();
        let [ours, theirs] = pair.both("CreateStream", &create).await;
        assert_eq!((ours.0, theirs.0), (200, 200));
        pair.sandbox.advance(20);
        let described = json!({"StreamName": name}).to_string();
        // ferrokinesis ends the creation by its own timer.
        let [ours, theirs] = loop {
            let [ours, theirs] = pair.both("ListShards", &described).await;
            pair.sandbox.advance(1);
            if theirs.1["Shards"].as_array().is_some_and(|shards| !shards.is_empty()) {
                break [ours, theirs];
            }
        };
        let ranges = |response: &Value| -> Vec<Value> {
            let shards = response["Shards"].as_array().unwrap();
            shards.iter().map(|shard| json!([shard["ShardId"], shard["HashKeyRange"]])).collect()
        };
        assert_eq!(ranges(&ours.1), ranges(&theirs.1), "{shards} shards");
        let records: Vec<Value> =
            (0..200).map(|key| json!({"Data": "YQ==", "PartitionKey": format!("key {key} ü")})).collect();
        let put = json!({"StreamName": name, "Records": records}).to_string();
        let [ours, theirs] = pair.both("PutRecords", &put).await;
        let shard_ids = |response: &Value| -> Vec<Value> {
            response["Records"].as_array().unwrap().iter().map(|record| record["ShardId"].clone()).collect()
        };
        assert_eq!(shard_ids(&ours.1), shard_ids(&theirs.1), "{shards} shards");
    }
}

#[tokio::test]
async fn invalid_requests_get_the_same_errors_as_in_ferrokinesis() {
    let pair = Pair::start().await;
    let create = json!({"StreamName": "posts", "ShardCount": 1}).to_string();
    pair.both("CreateStream", &create).await;
    pair.sandbox.advance(20);
    let long = "a".repeat(257);
    for (operation, body) in [
        ("CreateStream", json!({"StreamName": "posts", "ShardCount": 1})),
        ("CreateStream", json!({"StreamName": 5, "ShardCount": 1})),
        ("CreateStream", json!({"StreamName": "posts", "ShardCount": "1"})),
        ("DescribeStreamSummary", json!({"StreamName": "other"})),
        ("DescribeStreamSummary", json!({"StreamName": "no blanks"})),
        ("DeleteStream", json!({"StreamName": "other"})),
        ("PutRecords", json!({"StreamName": "posts", "Records": "none"})),
        ("PutRecords", json!({"StreamName": "posts", "Records": [{"Data": "Y", "PartitionKey": "k"}]})),
        ("PutRecords", json!({"StreamName": "posts", "Records": [{"Data": "", "PartitionKey": long}]})),
        ("PutRecords", json!({"StreamName": "other", "Records": [{"Data": "", "PartitionKey": "k"}]})),
        ("GetRecords", json!({"ShardIterator": "nonsense"})),
        (
            "GetShardIterator",
            json!({"StreamName": "posts", "ShardId": "shardId-9", "ShardIteratorType": "LATEST"}),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "posts", "ShardId": "shardId-0", "ShardIteratorType": "FIRST"}),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "posts", "ShardId": "shardId-0", "ShardIteratorType": "AT_SEQUENCE_NUMBER"}),
        ),
        ("Nonsense", json!({})),
    ] {
        let [ours, theirs] = pair.both(operation, &body.to_string()).await;
        assert_eq!(ours, theirs, "{operation} {body}");
    }
    // Our pattern is from a newer service model than that of ferrokinesis, and AWS quotes the
    // pattern.
    let record = json!({"StreamName": "posts", "Data": "", "PartitionKey": "k", "ExplicitHashKey": "x"});
    let [ours, theirs] = pair.both("PutRecord", &record.to_string()).await;
    let newer = |text: &str| text.replace(r"0|([1-9]\d{0,38})", r"^(0|([1-9]\d{0,38}))$");
    assert_eq!(ours.1["message"], newer(theirs.1["message"].as_str().unwrap()));
    assert_eq!((ours.0, &ours.1["__type"]), (theirs.0, &theirs.1["__type"]));
}
