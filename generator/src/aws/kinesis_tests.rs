use std::time::Duration;

use aws_sdk_kinesis::config::Credentials;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::operation::put_records::PutRecordsInput;
use aws_sdk_kinesis::types::PutRecordsResultEntry;
use aws_sdk_kinesis::types::error::{ProvisionedThroughputExceededException, ResourceNotFoundException};
use aws_smithy_mocks::{Rule, mock, mock_client};
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use kinesis_demo_api::MicroTime;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::aws::session::Session;
use crate::recorder::Totals;

fn batch_of(posts: &[&str]) -> Batch {
    let phase = Totals::default().phase("peak");
    let mut batch = Batch::default();
    for (nth, post) in posts.iter().enumerate() {
        batch.push(phase, MicroTime::from_micros(0), |buffer| {
            let start = buffer.len();
            buffer.extend_from_slice(post.as_bytes());
            ([b'a' + nth as u8; 8], start..buffer.len())
        });
    }
    batch
}

fn output(codes: &[Option<&str>]) -> PutRecordsOutput {
    let entry =
        |code: &Option<&str>| PutRecordsResultEntry::builder().set_error_code(code.map(Into::into)).build();
    PutRecordsOutput::builder().set_records(Some(codes.iter().map(entry).collect())).build().unwrap()
}

async fn outcome_of(rule: &Rule) -> SendOutcome {
    KinesisSender::new(mock_client!(aws_sdk_kinesis, [rule]), "posts")
        .put(&batch_of(&["one", "two", "three"]))
        .await
}

#[tokio::test]
async fn records_are_sent_in_order_to_a_stream_by_name_or_arn() {
    let has_records = |request: &PutRecordsInput| {
        let seen: Vec<_> = request.records().iter().map(|r| (r.data().as_ref(), r.partition_key())).collect();
        seen == [(&b"one"[..], Some("aaaaaaaa")), (b"two", Some("bbbbbbbb"))]
    };
    let by_name = mock!(Client::put_records)
        .match_requests(move |r| {
            has_records(r) && r.stream_name() == Some("posts") && r.stream_arn().is_none()
        })
        .then_output(|| output(&[None, None]));
    let client = mock_client!(aws_sdk_kinesis, [&by_name]);
    let accepted = SendOutcome::PerRecord(vec![RecordOutcome::Accepted; 2]);
    assert_eq!(KinesisSender::new(client, "posts").put(&batch_of(&["one", "two"])).await, accepted);

    const ARN: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/posts";
    let by_arn = mock!(Client::put_records)
        .match_requests(move |r| has_records(r) && r.stream_arn() == Some(ARN) && r.stream_name().is_none())
        .then_output(|| output(&[None, None]));
    let client = mock_client!(aws_sdk_kinesis, [&by_arn]);
    assert_eq!(KinesisSender::new(client, ARN).put(&batch_of(&["one", "two"])).await, accepted);
}

#[tokio::test]
async fn a_partial_failure_has_one_outcome_per_record() {
    let partial = mock!(Client::put_records).then_output(|| {
        output(&[Some("ProvisionedThroughputExceededException"), None, Some("InternalFailure")])
    });
    let expected = SendOutcome::PerRecord(vec![
        RecordOutcome::Rejected(Rejection::Throughput),
        RecordOutcome::Accepted,
        RecordOutcome::Rejected(Rejection::Other),
    ]);
    assert_eq!(outcome_of(&partial).await, expected);
}

#[tokio::test]
async fn a_response_with_a_wrong_record_count_is_unknown() {
    let short = mock!(Client::put_records).then_output(|| output(&[None, None]));
    assert_eq!(outcome_of(&short).await, SendOutcome::Unknown);
}

#[tokio::test]
async fn client_errors_are_rejections_and_server_errors_are_unknown() {
    let throttled = mock!(Client::put_records).then_error(|| {
        let cause = ProvisionedThroughputExceededException::builder()
            .meta(code("ProvisionedThroughputExceededException"));
        PutRecordsError::ProvisionedThroughputExceededException(cause.build())
    });
    assert_eq!(outcome_of(&throttled).await, SendOutcome::Rejected(Rejection::Throughput));
    let missing = mock!(Client::put_records).then_error(|| {
        let cause = ResourceNotFoundException::builder().meta(code("ResourceNotFoundException"));
        PutRecordsError::ResourceNotFoundException(cause.build())
    });
    assert_eq!(outcome_of(&missing).await, SendOutcome::Rejected(Rejection::Other));
    for (status, body, expected) in [
        (400, r#"{"__type":"ThrottlingException"}"#, SendOutcome::Rejected(Rejection::Throughput)),
        (400, r#"{"__type":"KMSThrottlingException"}"#, SendOutcome::Rejected(Rejection::Other)),
        (500, r#"{"__type":"InternalFailure"}"#, SendOutcome::Unknown),
        (503, "", SendOutcome::Unknown),
        (200, "not json", SendOutcome::Unknown),
    ] {
        let rule = mock!(Client::put_records).then_http_response(move || {
            HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
        });
        assert_eq!(outcome_of(&rule).await, expected, "{status} {body}");
    }
}

fn code(code: &str) -> aws_sdk_kinesis::error::ErrorMetadata {
    aws_sdk_kinesis::error::ErrorMetadata::builder().code(code).build()
}

/// A sender that uses the session's HTTP client, to `address`, with or without credentials.
async fn sender_to(address: std::net::SocketAddr, credentials: Option<Credentials>) -> KinesisSender {
    let shared = Session::open("eu-west-1", 1).await.kinesis();
    let config = shared.config().to_builder().endpoint_url(format!("http://{address}")).timeout_config(
        TimeoutConfig::builder().operation_attempt_timeout(Duration::from_millis(300)).build(),
    );
    let config = match credentials {
        Some(credentials) => config.credentials_provider(credentials).build(),
        None => config.credentials_provider(NoCredentials).build(),
    };
    KinesisSender::new(Client::from_conf(config), "posts")
}

#[derive(Debug)]
struct NoCredentials;

impl aws_credential_types::provider::ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let none = Err(CredentialsError::not_loaded_no_source());
        aws_credential_types::provider::future::ProvideCredentials::ready(none)
    }
}

fn test_credentials() -> Option<Credentials> {
    Some(Credentials::new("id", "secret", None, None, "test"))
}

async fn read_some(stream: &mut TcpStream) {
    let mut some = [0; 256];
    let _ = stream.read(&mut some).await.unwrap();
}

#[tokio::test]
async fn without_a_connection_or_credentials_nothing_is_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let batch = batch_of(&["one"]);
    assert_eq!(sender_to(address, None).await.put(&batch).await, SendOutcome::Rejected(Rejection::Other));
    drop(listener);
    assert_eq!(
        sender_to(address, test_credentials()).await.put(&batch).await,
        SendOutcome::Rejected(Rejection::Other)
    );
}

#[tokio::test]
async fn a_connection_lost_after_the_request_is_unknown() {
    for (closes, response) in
        [(true, ""), (true, "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"), (false, "")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let sender = sender_to(listener.local_addr().unwrap(), test_credentials()).await;
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_some(&mut stream).await;
            stream.write_all(response.as_bytes()).await.unwrap();
            if !closes {
                std::future::pending::<()>().await;
            }
        });
        assert_eq!(sender.put(&batch_of(&["one"])).await, SendOutcome::Unknown, "{closes} {response}");
        server.abort();
    }
}
