//! Violates each constraint of the models.

use serde_json::json;

use super::super::constraints::{check, not_enforced};
use super::*;

/// A request with `value` at a path, which may lead through lists and maps.
fn breaking(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |inner, part| {
        if let Some(name) = part.strip_suffix("[]") {
            json!({ name: [inner] })
        } else if let Some(name) = part.strip_suffix("{key}") {
            json!({ name: { inner.as_str().unwrap(): "v" } })
        } else if let Some(name) = part.strip_suffix("{value}") {
            json!({ name: { "k": inner } })
        } else {
            json!({ part: inner })
        }
    })
}

fn long(members: &BTreeMap<String, Member>, path: &str, length: usize) -> Value {
    match members[path].r#type.as_str() {
        "string" => json!("a".repeat(length)),
        "list" => json!(vec![sample(members, &format!("{path}[]")); length]),
        "map" => {
            (0..length).map(|index| (index.to_string(), json!("v"))).collect::<serde_json::Map<_, _>>().into()
        }
        other => panic!("{path} is a {other}"),
    }
}

/// Invalid values for a member, each with the text of the common error message.
fn broken(members: &BTreeMap<String, Member>, path: &str) -> Vec<(Value, String)> {
    let member = &members[path];
    let is_number = matches!(member.r#type.as_str(), "integer" | "long" | "double");
    let what = if is_number { "value" } else { "length" };
    let mut values = Vec::new();
    if let Some(least) = member.min {
        let expected = format!("Member must have {what} greater than or equal to {least}");
        if is_number {
            values.push((json!(least as i64 - 1), expected));
        } else if least > 0.0 {
            values.push((long(members, path, least as usize - 1), expected));
        }
    }
    if let Some(most) = member.max {
        let expected = format!("Member must have {what} less than or equal to {most}");
        let value = if is_number { json!(most as i64 + 1) } else { long(members, path, most as usize + 1) };
        values.push((value, expected));
    }
    if let Some(pattern) = &member.pattern {
        values.push((json!(":*\u{0}"), format!("Member must satisfy regular expression pattern: {pattern}")));
    }
    if let Some(allowed) = &member.r#enum {
        let expected = format!("Member must satisfy enum value set: [{}]", allowed.join(", "));
        values.push((json!("NOPE"), expected));
    }
    values
}

#[test]
fn every_constraint_is_checked_or_listed_as_not_enforced() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for table in tables() {
        for (operation, members, _) in table.members() {
            for (path, member) in members {
                for (value, expected) in broken(members, path) {
                    let is_empty_list = value == json!([]);
                    let result = check(table.service, operation, &breaking(path, value));
                    let table_path = plain(path).replace("{key}", "").replace("{value}", "");
                    let is_not_enforced = not_enforced(table.service, operation.name, &table_path).is_some()
                        || (table.service == "ecs" && member.r#enum.is_none())
                        || (table.service == "monitoring" && is_empty_list);
                    let case_name = format!("{} {} {path}", table.service, operation.name);
                    match result {
                        Ok(()) => assert!(is_not_enforced, "{case_name}: {expected}"),
                        Err(error) if is_not_enforced => {
                            assert!(!error.message.contains(&expected), "{case_name}: {error}")
                        }
                        Err(error) => {
                            assert_eq!(error.code, operation.error_code, "{case_name}");
                            if !matches!(table.service, "ecs" | "monitoring") {
                                assert!(error.message.contains(&expected), "{case_name}: {error}");
                            }
                            *counts.entry(table.service).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    let least = [("application-autoscaling", 70), ("ecs", 8), ("logs", 90), ("monitoring", 50), ("ssm", 60)];
    for (service, least) in least {
        assert!(counts[service] >= least, "{service}: {counts:?}");
    }
}

#[test]
fn missing_required_parameters_are_named_by_path() {
    let mut count = 0;
    for table in tables().iter().filter(|table| !matches!(table.service, "ecs" | "monitoring")) {
        for (operation, members, _) in table.members() {
            for (path, _) in members.iter().filter(|(_, member)| member.required) {
                if not_enforced(table.service, operation.name, &plain(path)).is_some() {
                    continue;
                }
                let input =
                    path.rsplit_once('.').map_or(json!({}), |(parent, _)| breaking(parent, json!({})));
                let error = check(table.service, operation, &input).unwrap_err();
                let name = crate::constraints::lower_camel(path.rsplit('.').next().unwrap());
                let expected = format!("{name}' failed to satisfy constraint: Member must not be null");
                assert!(error.message.contains(&expected), "{} {path}: {error}", operation.name);
                count += 1;
            }
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn each_service_has_its_own_error_texts() {
    let long = |length: usize| "a".repeat(length);
    let cases = [
        (
            "ssm",
            "PutParameter",
            json!({"Name": "/a", "Value": "v", "Description": long(1025)}),
            "ValidationException",
            format!(
                "1 validation error detected: Value '{}' at 'description' failed to satisfy constraint: Member must have \
                 length less than or equal to 1024",
                long(1025)
            ),
        ),
        (
            "ssm",
            "GetParameters",
            json!({"Names": ["/a", ""]}),
            "ValidationException",
            "1 validation error detected: Value '[/a, ]' at 'names' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length less than or equal to 2048, Member must have length greater than or equal \
             to 1]"
                .to_owned(),
        ),
        (
            "logs",
            "DescribeLogGroups",
            json!({"logGroupClass": "NOPE"}),
            "InvalidParameterException",
            "1 validation error detected: Value 'NOPE' at 'logGroupClass' failed to satisfy constraint: Member must satisfy \
             enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY, ESSENTIALS]"
                .to_owned(),
        ),
        (
            "logs",
            "FilterLogEvents",
            json!({"logGroupName": "/g", "startTime": -1}),
            "InvalidParameterException",
            "1 validation error detected: Value '-1' at 'startTime' failed to satisfy constraint: Member must have value \
             greater than or equal to 0"
                .to_owned(),
        ),
        (
            "logs",
            "CreateLogGroup",
            json!({"logGroupName": "/g", "tags": {"k": "a,b"}}),
            "InvalidParameterException",
            "1 validation error detected: Value '{k=a,b}' at 'tags' failed to satisfy constraint: Map value must satisfy \
             constraint: [Member must have length less than or equal to 256, Member must satisfy regular expression pattern: \
             ^([\\p{L}\\p{Z}\\p{N}_.:/=+\\-@]*)$]"
                .to_owned(),
        ),
        (
            "application-autoscaling",
            "DescribeScheduledActions",
            json!({"ServiceNamespace": "ecs", "ResourceId": ""}),
            "ValidationException",
            "1 validation error detected: Value '' at 'resourceId' failed to satisfy constraint: Member must have length \
             greater than or equal to 1"
                .to_owned(),
        ),
        (
            "monitoring",
            "ListMetrics",
            json!({"Namespace": long(256)}),
            "InvalidParameterValueException",
            "The parameter Namespace must be shorter than 256 characters.".to_owned(),
        ),
        (
            "monitoring",
            "GetMetricStatistics",
            json!({"Namespace": "N", "MetricName": "m", "Unit": "NOPE"}),
            "InvalidParameterValueException",
            "The value NOPE for parameter Unit is invalid.".to_owned(),
        ),
        (
            "monitoring",
            "GetMetricData",
            json!({"MetricDataQueries": [{"Id": "a", "Period": 0}]}),
            "ValidationError",
            "The value 0 for parameter MetricDataQueries.member.1.Period is invalid.".to_owned(),
        ),
        (
            "ecs",
            "DescribeServices",
            json!({"services": ["a"], "include": ["FOO"]}),
            "InvalidParameterException",
            "include should be one of [TAGS]".to_owned(),
        ),
        (
            "ecs",
            "ListTasks",
            json!({"launchType": "FOO"}),
            "InvalidParameterException",
            "launchType should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]".to_owned(),
        ),
        (
            "ecs",
            "CreateCluster",
            json!({"settings": [{"name": "foo", "value": "x"}]}),
            "InvalidParameterException",
            "Invalid setting 'name'".to_owned(),
        ),
    ];
    let tables = tables();
    for (service, operation, input, code, message) in cases {
        let table = tables.iter().find(|table| table.service == service).unwrap();
        let error = check_request(table.operations, service, operation, &input).unwrap_err();
        assert_eq!(error, AwsError::client(code, message), "{service} {operation}");
    }
}
