use serde_json::json;

use super::*;

fn text() -> Rule {
    Rule { kind: RuleKind::Text, ..Rule::default() }
}

fn patterned(pattern: &str) -> Rule {
    Rule { pattern: Some(Pattern::new(pattern).unwrap()), ..text() }
}

fn long(least: f64, most: f64) -> Rule {
    Rule { least: Some(least), most: Some(most), ..text() }
}

fn list(item: Rule) -> Rule {
    Rule { kind: RuleKind::List(Box::new(item)), ..Rule::default() }
}

/// The error message of a request with only this member.
fn message_for(name: &'static str, rule: &Rule, value: Value) -> Option<String> {
    let input = json!({ name: value });
    let found = violations(&input, [(name, rule)]);
    (!found.is_empty()).then(|| validation_message(&found))
}

#[test]
fn patterns_match_whole_texts_and_are_ascii_by_default() {
    let name = patterned("[a-zA-Z0-9_.-]+");
    assert!(admits(&name, "a.b-c_D9") && !admits(&name, "a b") && !admits(&name, "é"));
    let digits = patterned(r"^(0|([1-9]\d{0,38}))$");
    for good in ["0", "7", "10", &"9".repeat(39)] {
        assert!(admits(&digits, good), "{good}");
    }
    for bad in ["", "00", "007", "+1", "-1", " 1", "1 ", "1\n", "0x1", "1٣", &"9".repeat(40)] {
        assert!(!admits(&digits, bad), "{bad:?}");
    }
    let arn = patterned(r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+");
    assert!(admits(&arn, "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a"));
    assert!(!admits(&arn, "see arn:aws:kinesis:us-east-1:123456789012:stream/a"));
    let tag = patterned(r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$");
    assert!(admits(&tag, "über 字/1@x") && !admits(&tag, "a,b") && !admits(&tag, "a\tb"));
    let [printable, name] = MEANINGS.map(|(pattern, _)| patterned(pattern));
    assert!(admits(&printable, "service/a/b 字🎉\r\n\t") && admits(&printable, ""));
    assert!(!admits(&printable, "a\u{0}") && !admits(&printable, "\u{ffff}"));
    for good in ["a", "a b", "字🎉-1"] {
        assert!(admits(&name, good), "{good}");
    }
    for bad in ["", " ", " a", "a ", "a:b", "a/b", "a|b", "a\nb", "a\u{9f}"] {
        assert!(!admits(&name, bad), "{bad:?}");
    }
    assert!(Pattern::new("(").is_none());
}

#[test]
fn lengths_count_characters_not_bytes() {
    let key = long(1.0, 256.0);
    for character in ["k", "é", "字", "🎉"] {
        assert!(admits(&key, &character.repeat(256)), "{character}");
        assert!(!admits(&key, &character.repeat(257)), "{character}");
    }
    assert!(!admits(&key, ""));
}

#[test]
fn violations_of_items_are_reported_for_the_collection() {
    let keys = list(long(1.0, 3.0));
    let tags = Rule {
        kind: RuleKind::Map(
            Box::new(long(1.0, 3.0)),
            Box::new(Rule { most: Some(2.0), ..patterned("[a-z]*") }),
        ),
        ..Rule::default()
    };
    assert_eq!(message_for("TagKeys", &keys, json!(["字字字", "a"])), None);
    assert_eq!(
        message_for("TagKeys", &keys, json!(["字字字字"])).unwrap(),
        "1 validation error detected: Value '[字字字字]' at 'tagKeys' failed to satisfy constraint: Member must satisfy \
         constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 1]"
    );
    assert_eq!(message_for("Tags", &tags, json!({"éé": "u", "字字字": ""})), None);
    assert!(message_for("Tags", &tags, json!({"字字字字": ""})).unwrap().contains("Map keys must satisfy"));
    assert_eq!(
        message_for("Tags", &tags, json!({"a": "B"})).unwrap(),
        "1 validation error detected: Value '{a=B}' at 'tags' failed to satisfy constraint: Map value must satisfy \
         constraint: [Member must have length less than or equal to 2, Member must satisfy regular expression pattern: [a-z]*]"
    );
}

#[test]
fn blob_lengths_are_decoded_and_nested_members_are_named() {
    let data = Rule { kind: RuleKind::Blob, required: true, most: Some(2.0), ..Rule::default() };
    let key = Rule { least: Some(1.0), ..text() };
    let entry = Rule {
        kind: RuleKind::Structure(vec![("PartitionKey".to_owned(), key), ("Data".to_owned(), data)]),
        ..Rule::default()
    };
    let rule = Rule { most: Some(2.0), ..list(entry) };
    let message = |records: Value| message_for("Records", &rule, records);
    assert_eq!(message(json!([{"Data": "YWI="}, {"Data": ""}])), None);
    assert_eq!(
        message(json!([{"Data": "YWJj", "PartitionKey": ""}, {}])).unwrap(),
        "3 validation errors detected: Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: Member \
         must have length greater than or equal to 1; Value 'java.nio.HeapByteBuffer[pos=0 lim=3 cap=3]' at \
         'records.1.member.data' failed to satisfy constraint: Member must have length less than or equal to 2; Value null \
         at 'records.2.member.data' failed to satisfy constraint: Member must not be null"
    );
    let long = message(json!(["", "x".repeat(1 << 20), "y"])).unwrap();
    assert_eq!(
        long,
        "1 validation error detected: Value '[, ...]' at 'records' failed to satisfy constraint: Member must have length \
         less than or equal to 2"
    );
    let many = message(json!(vec![json!({}); 50])).unwrap();
    assert!(many.starts_with("10 validation errors detected: "), "{many}");
}

#[test]
fn messages_name_the_allowed_numbers_and_values() {
    let number = Rule { kind: RuleKind::Number, least: Some(1.0), most: Some(50.0), ..Rule::default() };
    assert_eq!(message_for("MaxResults", &number, json!(50)), None);
    assert_eq!(
        message_for("MaxResults", &number, json!(51)).unwrap(),
        "1 validation error detected: Value '51' at 'maxResults' failed to satisfy constraint: Member must have value less \
         than or equal to 50"
    );
    let tier = Rule { values: Some(vec!["A".to_owned(), "B".to_owned()]), ..text() };
    assert_eq!(
        message_for("Tier", &tier, json!("C")).unwrap(),
        "1 validation error detected: Value 'C' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: \
         [A, B]"
    );
    // A value of another type passes this check; the code that reads the member rejects it.
    assert_eq!(message_for("Tier", &tier, json!(1)), None);
}
