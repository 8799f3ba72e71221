//! Requests against the rules, and the rules against AWS's model.
use serde_json::json;

use super::*;
use crate::parameters::model::{Member as Modelled, Model};

fn error_of(operation: &str, input: Value) -> (String, String) {
    let error = checked(operation, &input).unwrap_err();
    (error.code, error.message)
}

#[test]
fn violations_have_awss_texts() {
    let (code, message) = error_of("CreateStream", json!({"StreamName": "no blanks", "ShardCount": 0}));
    assert_eq!(code, "ValidationException");
    assert_eq!(
        message,
        "2 validation errors detected: Value '0' at 'shardCount' failed to satisfy constraint: Member must have \
         value greater than or equal to 1; Value 'no blanks' at 'streamName' failed to satisfy constraint: Member \
         must satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
    );
    let (code, message) = error_of("CreateStream", json!({"StreamName": 5}));
    assert_eq!(code, "SerializationException");
    assert!(message.ends_with("can not be converted to an String"), "{message}");
}

#[test]
fn bounds_are_inclusive() {
    let name = |length: usize| json!({"StreamName": "a".repeat(length)});
    assert!(checked("DescribeStreamSummary", &name(128)).is_ok());
    assert_eq!(error_of("DescribeStreamSummary", name(129)).0, "ValidationException");
    let records = |count: usize| {
        let record = json!({"Data": "YQ==", "PartitionKey": "k"});
        json!({"StreamName": "a", "Records": vec![record; count]})
    };
    assert!(checked("PutRecords", &records(500)).is_ok());
    assert_eq!(error_of("PutRecords", records(501)).0, "ValidationException");
    assert_eq!(error_of("PutRecords", records(0)).0, "ValidationException");
    for (kib, fits) in [(1023, false), (1024, true), (10_240, true), (10_241, false)] {
        let input = json!({"StreamName": "a", "MaxRecordSizeInKiB": kib});
        assert_eq!(checked("CreateStream", &input).is_ok(), fits, "{kib}");
    }
}

#[test]
fn unsupported_and_unknown_operations_are_rejected() {
    for operation in UNSUPPORTED {
        let (code, message) = error_of(operation, json!({}));
        assert_eq!(code, "UnknownOperationException");
        assert_eq!(
            message,
            format!(
                "The operation {operation} of Kinesis is not supported by this sandbox; docs/sandbox.md lists what is supported"
            )
        );
    }
    assert_eq!(error_of("Nonsense", json!({})), ("UnknownOperationException".to_owned(), String::new()));
}

#[test]
fn explicit_hash_keys_and_partition_keys_are_as_in_the_model() {
    let put = |key: &str, hash: &str| {
        let mut record = json!({"Data": "", "PartitionKey": key, "ExplicitHashKey": hash});
        let batch = json!({"StreamName": "a", "Records": [record]});
        record["StreamName"] = json!("a");
        let alone = checked("PutRecord", &record);
        assert_eq!(alone.is_ok(), checked("PutRecords", &batch).is_ok(), "{key} {hash}");
        alone
    };
    for hash in ["0", "1", "340282366920938463463374607431768211455"] {
        assert!(put("k", hash).is_ok(), "{hash}");
    }
    for hash in ["", "007", "+1", "-0", " 1", "1\n", "0x1"] {
        let error = put("k", hash).unwrap_err();
        assert_eq!(
            (error.code, error.message),
            (
                "ValidationException".to_owned(),
                format!(
                    "1 validation error detected: Value '{hash}' at 'explicitHashKey' failed to satisfy constraint: Member must \
                     satisfy regular expression pattern: ^(0|([1-9]\\d{{0,38}}))$"
                )
            )
        );
    }
    assert!(put(&"ü".repeat(256), "0").is_ok());
    assert_eq!(put(&"ü".repeat(257), "0").unwrap_err().code, "ValidationException");
    assert_eq!(put("", "0").unwrap_err().code, "ValidationException");
}

#[test]
fn unknown_parameters_are_rejected_at_every_depth() {
    let cases = [
        (
            "CreateStream",
            json!({"StreamName": "a", "ShardCount": 1, "WarmThroughput": 100}),
            "WarmThroughput",
        ),
        ("CreateStream", json!({"StreamName": "a", "EncryptionType": "KMS"}), "EncryptionType"),
        (
            "CreateStream",
            json!({"StreamName": "a", "StreamModeDetails": {"StreamMode": "ON_DEMAND", "Mode": "x"}}),
            "StreamModeDetails.Mode",
        ),
        ("DescribeStreamSummary", json!({"StreamNmae": "x", "StreamName": "a"}), "StreamNmae"),
        (
            "PutRecords",
            json!({"StreamName": "a", "Records": [{"Data": ""}, {"Data": "", "data": "YQ=="}]}),
            "Records.data",
        ),
    ];
    for (operation, input, path) in cases {
        let message = format!(
            "{operation}: the parameter {path} is not supported by this sandbox; docs/sandbox.md lists what is supported"
        );
        assert_eq!(error_of(operation, input), ("InvalidArgumentException".to_owned(), message));
    }
    // A map's keys are not members, and empty values are accepted.
    let tags = json!({"StreamName": "a", "Tags": {"any": "x"}, "Foo": {"a": [], "b": 0}, "Bar": null});
    assert!(checked("CreateStream", &tags).is_ok());
}

#[test]
fn a_stream_id_is_rejected_in_every_operation() {
    let model = model();
    assert!(model.operations["PutRecords"].contains_key("StreamId"));
    let with_id = model.operations.iter().filter(|(_, members)| members.contains_key("StreamId"));
    for (operation, members) in with_id {
        let mut input = json!({"StreamId": "abcdefghij0123456789-abc"});
        for (path, member) in members.iter().filter(|(path, member)| member.required && !path.contains('.')) {
            input[path] = sample(path, member);
        }
        let (code, message) = error_of(operation, input);
        assert_eq!(code, "InvalidArgumentException", "{operation}: {message}");
        assert!(message.starts_with("StreamId is not supported by this sandbox: "), "{message}");
    }
}

/// A possible value of a member.
fn sample(path: &str, member: &Modelled) -> Value {
    match (path, member.r#type.as_str()) {
        ("Records", _) => json!([{"Data": ""}]),
        ("StreamARN" | "ResourceARN", _) => json!("arn:aws:kinesis:us-east-1:000000000000:stream/a"),
        (_, "string") => {
            json!(member.r#enum.as_ref().and_then(|values| values.first()).map_or("a", String::as_str))
        }
        (_, "integer") => json!(member.min.unwrap_or(1.0) as i64),
        (_, "map") => json!({"a": "b"}),
        (_, "list") => json!(["a"]),
        (_, "blob") => json!(""),
        (_, other) => panic!("{path} is a {other}"),
    }
}

fn model() -> Model {
    Model::read(include_str!("../../../models/kinesis.json"))
}

#[test]
fn every_aws_operation_is_listed() {
    let model = model();
    let supported: Vec<&str> = model.operations.keys().map(String::as_str).collect();
    assert_eq!(supported, SUPPORTED);
    assert_eq!(model.others, UNSUPPORTED);
    assert_eq!(PARAMETERS.len(), SUPPORTED.len());
}

#[test]
fn every_parameter_has_a_usage_and_the_models_constraints() {
    let model = model();
    let usage = |operation: &str, path: &str| {
        let name = path.split(['.', '[', '{']).next()?;
        let member = PARAMETERS.get(operation)?.iter().find(|member| member.name == name)?;
        rule_in_model_form(&member.rule, &path[name.len()..])?;
        Some(member.usage)
    };
    assert_eq!(model.unclassified(usage), Vec::<String>::new());
    for (operation, modelled) in &model.operations {
        for (path, expected) in modelled {
            let name = path.split(['.', '[', '{']).next().unwrap();
            let member = PARAMETERS[operation.as_str()].iter().find(|member| member.name == name).unwrap();
            assert_eq!(
                &rule_in_model_form(&member.rule, &path[name.len()..]).unwrap(),
                expected,
                "{operation} {path}"
            );
        }
        let top = modelled.keys().filter(|path| !path.contains(['.', '[', '{'])).count();
        assert_eq!(PARAMETERS[operation.as_str()].len(), top, "{operation} must have only AWS's parameters");
    }
}

/// The rule of the member at a path below `rule`, in the form of the model.
fn rule_in_model_form(rule: &FieldDef, path: &str) -> Option<Modelled> {
    let bounds = |(least, most): (usize, usize)| Modelled {
        r#type: "string".to_owned(),
        min: Some(least as f64),
        max: Some(most as f64),
        ..Modelled::default()
    };
    match (path, &rule.field_type) {
        ("{key}", _) => return rule.child_key_lengths.map(bounds),
        ("{value}", _) => return rule.child_value_lengths.map(bounds),
        ("[]", FieldType::List { .. }) if rule.child_lengths.is_some() => {
            return rule.child_lengths.map(bounds);
        }
        (_, FieldType::List { children }) if !path.is_empty() => {
            return rule_in_model_form(children, path.strip_prefix("[]")?);
        }
        (_, FieldType::Structure { children }) if !path.is_empty() => {
            let path = path.strip_prefix('.')?;
            let name = path.split(['.', '[', '{']).next()?;
            let (_, child) = children.iter().find(|(child, _)| child == name)?;
            return rule_in_model_form(child, &path[name.len()..]);
        }
        ("", _) => {}
        _ => return None,
    }
    let (kind, least) = match rule.field_type {
        FieldType::Boolean => ("boolean", None),
        FieldType::Short | FieldType::Integer | FieldType::Long => ("integer", None),
        FieldType::Double => ("double", None),
        FieldType::String => ("string", None),
        // The model says 0, which every blob satisfies.
        FieldType::Blob => ("blob", Some(0)),
        FieldType::Timestamp => ("timestamp", None),
        FieldType::List { .. } => ("list", None),
        FieldType::Map { .. } => ("map", None),
        FieldType::Structure { .. } => ("structure", None),
    };
    let length = |length: usize| length as f64;
    Some(Modelled {
        r#type: kind.to_owned(),
        required: rule.not_null,
        min: rule.greater_than_or_equal.or(rule.length_greater_than_or_equal.or(least).map(length)),
        max: rule.less_than_or_equal.or(rule.length_less_than_or_equal.map(length)),
        pattern: rule.regex.clone(),
        r#enum: rule.enum_values.as_ref().map(|values| values.iter().cloned().collect()),
    })
}
