//! `PutRecords` bodies in both encodings, and that both parsers treat the same record alike.

use ciborium::Value as Cbor;
use serde_json::{Value, json};

use super::*;
use crate::protocol::cbor::{KINESIS, to_bytes};
use crate::services::kinesis::model::shard::RecordId as Stored;
use crate::services::kinesis::ops;

const BOTH: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

/// A body as the SDKs write it: in CBOR, data are byte strings.
fn body(encoding: Encoding, members: &Value) -> Vec<u8> {
    match encoding {
        Encoding::Json => members.to_string().into_bytes(),
        Encoding::Cbor => KINESIS.encode(members),
    }
}

fn error_for(encoding: Encoding, members: &Value) -> AwsError {
    batch(encoding, &body(encoding, members)).err().unwrap()
}

#[test]
fn records_are_decoded_and_hashed() {
    let members = json!({"StreamName": "posts", "Records": [
        {"Data": "YWJj", "PartitionKey": "a"},
        {"PartitionKey": "quo\"te", "Data": "", "ExplicitHashKey": "340282366920938463463374607431768211455"},
        {"PartitionKey": null, "Data": "eA==", "Unknown": {"a": [], "b": {"c": null, "d": 0}}},
    ]});
    for encoding in BOTH {
        let bytes = body(encoding, &members);
        let batch = batch(encoding, &bytes).unwrap();
        assert_eq!(
            (batch.name.as_deref(), batch.arn.as_deref(), batch.dry_run),
            (Some("posts"), None, false)
        );
        let records = batch.records();
        assert_eq!((records[0].key, records[0].data), ("a", &b"abc"[..]));
        // MD5 of "a"
        assert_eq!(records[0].hash, 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661);
        assert_eq!((records[1].key, records[1].data, records[1].hash), ("quo\"te", &b""[..], u128::MAX));
        assert_eq!((records[2].key, records[2].data), ("", &b"x"[..]));
    }
}

#[test]
fn unknown_members_are_rejected_by_name_unless_empty() {
    let record = json!({"Data": "YQ==", "PartitionKey": "k"});
    let typo = json!({"Data": "YQ==", "PartitionKey": "k", "Partitionkey": "k"});
    let set_values = [json!(1), json!(true), json!("x"), json!([null]), json!({"a": {"b": -0.5}})];
    let idle =
        [json!(0), json!(false), json!(""), json!([]), json!({"a": {"b": 0.0}}), json!(null), json!({})];
    for encoding in BOTH {
        let named = |path: &str| {
            errors::invalid(format!(
                "PutRecords: the parameter {path} is not supported by this sandbox; docs/sandbox.md lists what is supported"
            ))
        };
        for value in &set_values {
            let members = json!({"StreamName": "a", "Foo": value, "Records": [record]});
            assert_eq!(error_for(encoding, &members), named("Foo"), "{encoding:?} {value}");
        }
        let members = json!({"StreamName": "a", "Records": [record, typo]});
        assert_eq!(error_for(encoding, &members), named("Records.Partitionkey"), "{encoding:?}");
        for value in &idle {
            let members = json!({"StreamName": "a", "Foo": value, "Records": [record]});
            assert!(batch(encoding, &body(encoding, &members)).is_ok(), "{encoding:?} {value}");
        }
    }
}

#[test]
fn cbor_may_have_chunks_and_indefinite_lengths() {
    // {_ "StreamName": (_ "po", "sts"), "DryRun": true,
    //  "Records": [_ {_ "Data": (_ 'a', 'b'), "PartitionKey": "k"}]}
    let text = |text: &str| [&[0x60 + text.len() as u8], text.as_bytes()].concat();
    let pieces = [
        vec![0xbf],
        text("StreamName"),
        [vec![0x7f], text("po"), text("sts"), vec![0xff]].concat(),
        text("DryRun"),
        vec![0xf5],
        text("Records"),
        vec![0x9f, 0xbf],
        text("Data"),
        vec![0x5f, 0x41, b'a', 0x41, b'b', 0xff],
        text("PartitionKey"),
        text("k"),
        vec![0xff, 0xff, 0xff],
    ];
    let bytes = pieces.concat();
    let batch = batch(Encoding::Cbor, &bytes).unwrap();
    assert_eq!((batch.name.as_deref(), batch.dry_run), (Some("posts"), true));
    let records = batch.records();
    assert_eq!((records.len(), records[0].key, records[0].data), (1, "k", &b"ab"[..]));
}

#[test]
fn invalid_requests_get_aws_errors() {
    let record = json!({"Data": "YQ==", "PartitionKey": "k"});
    let of = |record: Value| json!({"StreamName": "a", "Records": [record]});
    let cases = [
        (json!({"StreamName": "a", "Records": []}), "ValidationException"),
        (json!({"StreamName": "a", "Records": vec![record.clone(); 501]}), "ValidationException"),
        (json!({"StreamName": "a"}), "ValidationException"),
        (json!({"StreamName": "no blanks", "Records": [record]}), "ValidationException"),
        (json!({"StreamName": "ü", "Records": [record]}), "ValidationException"),
        (json!({"StreamName": "a".repeat(129), "Records": [record]}), "ValidationException"),
        (json!({"StreamARN": "arn", "Records": [record]}), "ValidationException"),
        (json!({"StreamId": "abcdefghij0123456789-abc", "Records": [record]}), "InvalidArgumentException"),
        (json!({"StreamName": "a", "DryRun": "yes", "Records": [record]}), "SerializationException"),
        (of(json!({"Data": "YQ==", "PartitionKey": ""})), "ValidationException"),
        (of(json!({"Data": "YQ==", "PartitionKey": "🎉".repeat(257)})), "ValidationException"),
        (of(json!({"PartitionKey": "k"})), "ValidationException"),
        (of(json!({"Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": ""})), "ValidationException"),
        (of(json!({"Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": "007"})), "ValidationException"),
        (of(json!({"Data": "YQ==", "PartitionKey": "k", "ExplicitHashKey": "+1"})), "ValidationException"),
        (
            of(
                json!({"Data": "", "PartitionKey": "k", "ExplicitHashKey": "340282366920938463463374607431768211456"}),
            ),
            "InvalidArgumentException",
        ),
    ];
    for (members, code) in cases {
        let [in_json, in_cbor] = BOTH.map(|encoding| error_for(encoding, &members));
        assert_eq!(in_json.code, code, "{members}: {in_json:?}");
        assert_eq!(in_json, in_cbor, "{members}");
    }
    let wrong = of(json!({"Data": "Y", "PartitionKey": "k"}));
    assert_eq!(error_for(Encoding::Json, &wrong).code, "SerializationException");
    for (encoding, bytes) in [(Encoding::Json, &b"{"[..]), (Encoding::Cbor, b"\xbf"), (Encoding::Cbor, b"{}")]
    {
        assert_eq!(batch(encoding, bytes).err().unwrap().code, "SerializationException");
    }
}

#[test]
fn a_million_tiny_records_are_rejected_quickly() {
    const MANY: usize = 1_000_000;
    let in_json = |record: &str| {
        let records = format!("{record},").repeat(MANY - 1);
        format!(r#"{{"StreamName": "a", "Records": [{records}{record}]}}"#).into_bytes()
    };
    let in_cbor = |record: &[u8]| {
        let length = u32::try_from(MANY).unwrap().to_be_bytes();
        let head = [&b"\xa2\x6aStreamName\x61a\x67Records\x9a"[..], &length].concat();
        [head, record.repeat(MANY)].concat()
    };
    let alone = "1 validation error detected: Value '[";
    let with_others = "10 validation errors detected: Value '[";
    for (encoding, body, begins) in [
        (Encoding::Json, in_json(r#"{"Data":""}"#), alone),
        (Encoding::Json, in_json("{}"), with_others),
        (Encoding::Cbor, in_cbor(b"\xa1\x64Data\x40"), alone),
        (Encoding::Cbor, in_cbor(b"\xa0"), with_others),
    ] {
        let began = std::time::Instant::now();
        let error = batch(encoding, &body).err().unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
        let AwsError { status, code, message } = error;
        assert_eq!((status, code.as_str()), (400, "ValidationException"));
        let constraint = ", ...]' at 'records' failed to satisfy constraint: Member must have length less than or equal to 500";
        assert!(message.starts_with(begins) && message.contains(constraint), "{message}");
        assert!(begins != alone || message.ends_with(constraint), "{message}");
        assert!(message.len() < 4096, "{message}");
        assert!(Request::read(encoding, &body).is_none(), "the parser must stop early");
    }
    // The maximum number of records, and one more.
    let record = json!({"Data": "YQ==", "PartitionKey": "k"});
    for encoding in BOTH {
        let members = |count| json!({"StreamName": "a", "Records": vec![record.clone(); count]});
        assert_eq!(batch(encoding, &body(encoding, &members(500))).unwrap().records().len(), 500);
        assert!(error_for(encoding, &members(501)).message.contains("less than or equal to 500"));
    }
}

#[test]
fn both_paths_admit_the_same_keys_and_hashes() {
    let long = ["k".repeat(256), "é".repeat(256), "字".repeat(256), "🎉".repeat(256)];
    let keys = long.iter().map(String::as_str).chain(["", " ", "\u{0}", "a\"b"]);
    let too_long = long.iter().map(|key| format!("{key}x"));
    let keys: Vec<String> = keys.map(str::to_owned).chain(too_long).collect();
    let hashes = ["0", "1", "00", "", "+1", "1 ", "٣", "99999999999999999999999999999999999999999"];
    for key in &keys {
        for hash in [None].into_iter().chain(hashes.map(Some)) {
            let record = json!({"Data": "YQ==", "PartitionKey": key, "ExplicitHashKey": hash});
            let mut alone = record.clone();
            alone["StreamName"] = json!("a");
            let generic = ops::checked("PutRecord", &alone).map(|_| ());
            for encoding in BOTH {
                let bytes = body(encoding, &json!({"StreamName": "a", "Records": [record]}));
                let fast = batch(encoding, &bytes).map(|_| ());
                // The same texts except for the path of the member.
                let words = |error: AwsError| (error.code, error.message.replace("records.1.member.", ""));
                assert_eq!(
                    fast.map_err(words),
                    generic.clone().map_err(words),
                    "{key:?} {hash:?} {encoding:?}"
                );
            }
        }
    }
}

#[test]
fn a_request_has_at_most_ten_mebibytes() {
    let members = |bytes: usize| {
        let half = BASE64.encode(vec![0u8; 5 << 20]);
        let rest = BASE64.encode(vec![0u8; bytes - (5 << 20)]);
        let record = |data| json!({"Data": data, "PartitionKey": "k"});
        json!({"StreamName": "a", "Records": [record(half), record(rest)]})
    };
    for encoding in BOTH {
        assert!(batch(encoding, &body(encoding, &members((10 << 20) - 2))).is_ok());
        assert_eq!(error_for(encoding, &members((10 << 20) - 1)).code, "InvalidArgumentException");
    }
}

#[test]
fn responses_keep_the_order_and_contain_record_errors() {
    let record_id =
        Stored { shard: 3, shard_millis: 1_600_000_000_000, seq: 42, at_millis: 1_600_000_001_000 };
    let outcomes = [Outcome::Throttled(1), Outcome::Stored(record_id)];
    let response = |encoding| response(encoding, &outcomes, "posts", "000000000000").unwrap();
    let expected = json!({"FailedRecordCount": 1, "Records": [
        {
            "ErrorCode": "ProvisionedThroughputExceededException",
            "ErrorMessage": "Rate exceeded for shard shardId-000000000001 in stream posts under account \
                             000000000000."
        },
        {"ShardId": "shardId-000000000003", "SequenceNumber": record_id.sequence_number()},
    ]});
    assert_eq!(serde_json::from_slice::<Value>(&response(Encoding::Json)).unwrap(), expected);
    assert_eq!(KINESIS.decode(&response(Encoding::Cbor)).unwrap(), expected);
}

#[test]
fn bytes_in_cbor_are_not_decoded_as_base64() {
    let record = Cbor::Map(vec![
        (Cbor::from("Data"), Cbor::Bytes(b"YQ==".to_vec())),
        (Cbor::from("PartitionKey"), Cbor::from("k")),
    ]);
    let bytes = to_bytes(&Cbor::Map(vec![
        (Cbor::from("StreamName"), Cbor::from("a")),
        (Cbor::from("Records"), Cbor::Array(vec![record])),
    ]));
    assert_eq!(batch(Encoding::Cbor, &bytes).unwrap().records()[0].data, b"YQ==");
}
