//! Tests of Parameter Store through `Service::call`.

use serde_json::json;

use super::*;
use crate::call::Caller;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

async fn call(ssm: &Ssm, region: &str, operation: &str, input: Value) -> Result<Value, AwsError> {
    let caller = Caller { account: "000000000000".into(), region: region.into() };
    ssm.call(Call { operation, input: &input, caller: &caller, now: NOW }).await
}

fn control(value: &str) -> Value {
    json!({"Name": "/demo/control", "Type": "String", "Value": value})
}

#[tokio::test]
async fn each_overwrite_adds_a_version_and_keeps_old_ones() {
    let ssm = Ssm::new(ModelClock::start(1));
    assert_eq!(call(&ssm, "us-east-1", "PutParameter", control("one")).await.unwrap()["Version"], 1);
    let mut second = control("two");
    second["Overwrite"] = json!(true);
    assert_eq!(call(&ssm, "us-east-1", "PutParameter", second).await.unwrap()["Version"], 2);

    let latest = call(&ssm, "us-east-1", "GetParameter", json!({"Name": "/demo/control"})).await.unwrap();
    assert_eq!(latest["Parameter"]["Value"], "two");
    assert_eq!(latest["Parameter"]["ARN"], "arn:aws:ssm:us-east-1:000000000000:parameter/demo/control");
    let by_arn = json!({"Name": "arn:aws:ssm:us-east-1:000000000000:parameter/demo/control:1"});
    let old = call(&ssm, "us-east-1", "GetParameter", by_arn).await.unwrap();
    assert_eq!((&old["Parameter"]["Value"], &old["Parameter"]["Selector"]), (&json!("one"), &json!(":1")));
    let missing = call(&ssm, "us-east-1", "GetParameter", json!({"Name": "/demo/control:9"})).await;
    assert_eq!(missing.unwrap_err().code, "ParameterVersionNotFound");
}

#[tokio::test]
async fn overwrite_must_be_explicit_and_regions_are_separate() {
    let ssm = Ssm::new(ModelClock::start(1));
    call(&ssm, "us-east-1", "PutParameter", control("one")).await.unwrap();
    let again = call(&ssm, "us-east-1", "PutParameter", control("two")).await.unwrap_err();
    assert_eq!(again.code, "ParameterAlreadyExists");
    let elsewhere = call(&ssm, "eu-west-1", "GetParameter", json!({"Name": "/demo/control"})).await;
    assert_eq!(elsewhere.unwrap_err().code, "ParameterNotFound");
}

#[tokio::test]
async fn a_standard_parameter_is_limited_to_4096_bytes() {
    let ssm = Ssm::new(ModelClock::start(1));
    call(&ssm, "us-east-1", "PutParameter", control(&"x".repeat(4096))).await.unwrap();
    let mut over = control(&"x".repeat(4097));
    over["Overwrite"] = json!(true);
    let error = call(&ssm, "us-east-1", "PutParameter", over.clone()).await.unwrap_err();
    assert_eq!(error.code, "ValidationException");
    assert!(error.message.contains("maximum parameter value of 4096 characters"), "{}", error.message);
    over["Tier"] = json!("Advanced");
    assert_eq!(call(&ssm, "us-east-1", "PutParameter", over).await.unwrap()["Tier"], "Advanced");
}

#[tokio::test]
async fn tags_cannot_be_combined_with_overwrite() {
    let ssm = Ssm::new(ModelClock::start(1));
    let mut tagged = control("one");
    tagged["Tags"] = json!([{"Key": "kinesisdemo.io/owner", "Value": "a/b"}]);
    call(&ssm, "us-east-1", "PutParameter", tagged.clone()).await.unwrap();
    tagged["Overwrite"] = json!(true);
    let error = call(&ssm, "us-east-1", "PutParameter", tagged).await.unwrap_err();
    assert!(error.message.starts_with("Invalid request: tags and overwrite can't be used together."));

    let resource = json!({"ResourceType": "Parameter", "ResourceId": "/demo/control"});
    let mut more = resource.clone();
    more["Tags"] = json!([{"Key": "run", "Value": "1"}]);
    call(&ssm, "us-east-1", "AddTagsToResource", more).await.unwrap();
    let listed = call(&ssm, "us-east-1", "ListTagsForResource", resource).await.unwrap();
    assert_eq!(
        listed["TagList"],
        json!([{"Key": "kinesisdemo.io/owner", "Value": "a/b"}, {"Key": "run", "Value": "1"}])
    );
}

#[tokio::test]
async fn the_type_is_required_to_create_and_kept_on_overwrite() {
    let ssm = Ssm::new(ModelClock::start(1));
    let untyped = json!({"Name": "plain", "Value": "x"});
    let error = call(&ssm, "us-east-1", "PutParameter", untyped).await.unwrap_err();
    assert_eq!(error.message, "A parameter type is required when you create a parameter.");
    let secret = json!({"Name": "plain", "Type": "SecureString", "Value": "hush"});
    call(&ssm, "us-east-1", "PutParameter", secret).await.unwrap();
    let overwrite = json!({"Name": "plain", "Value": "hush 2", "Overwrite": true});
    call(&ssm, "us-east-1", "PutParameter", overwrite).await.unwrap();
    let sealed = call(&ssm, "us-east-1", "GetParameter", json!({"Name": "plain"})).await.unwrap();
    assert_eq!(sealed["Parameter"]["Type"], "SecureString");
    assert_ne!(sealed["Parameter"]["Value"], "hush 2");
    let open = json!({"Name": "plain", "WithDecryption": true});
    let open = call(&ssm, "us-east-1", "GetParameter", open).await.unwrap();
    assert_eq!(open["Parameter"]["Value"], "hush 2");
}

#[tokio::test]
async fn deletion_reports_missing_parameters() {
    let ssm = Ssm::new(ModelClock::start(1));
    call(&ssm, "us-east-1", "PutParameter", control("one")).await.unwrap();
    let both = json!({"Names": ["/demo/control", "/demo/other"]});
    let response = call(&ssm, "us-east-1", "DeleteParameters", both).await.unwrap();
    assert_eq!(
        response,
        json!({"DeletedParameters": ["/demo/control"], "InvalidParameters": ["/demo/other"]})
    );
    let again = call(&ssm, "us-east-1", "DeleteParameter", json!({"Name": "/demo/control"})).await;
    assert_eq!(again.unwrap_err().code, "ParameterNotFound");
}

#[tokio::test]
async fn a_path_is_listed_in_pages_and_optionally_recursively() {
    let ssm = Ssm::new(ModelClock::start(1));
    for name in ["/demo/a", "/demo/b", "/demo/c/d", "/other/e"] {
        let parameter = json!({"Name": name, "Type": "String", "Value": "x"});
        call(&ssm, "us-east-1", "PutParameter", parameter).await.unwrap();
    }
    let names = |response: &Value| {
        response["Parameters"]
            .as_array()
            .unwrap()
            .iter()
            .map(|parameter| parameter["Name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let children = call(&ssm, "us-east-1", "GetParametersByPath", json!({"Path": "/demo"})).await.unwrap();
    assert_eq!(names(&children), ["/demo/a", "/demo/b"]);
    let mut input = json!({"Path": "/demo/", "Recursive": true, "MaxResults": 2});
    let first = call(&ssm, "us-east-1", "GetParametersByPath", input.clone()).await.unwrap();
    input["NextToken"] = first["NextToken"].clone();
    let second = call(&ssm, "us-east-1", "GetParametersByPath", input).await.unwrap();
    assert_eq!((names(&second), second.get("NextToken")), (vec!["/demo/c/d".to_owned()], None));
}

/// The names of the parameters that match a filter.
async fn described(ssm: &Ssm, key: &str, option: Option<&str>, values: &[&str]) -> Result<String, AwsError> {
    let filter = json!({"Key": key, "Option": option, "Values": values});
    let response =
        call(ssm, "us-east-1", "DescribeParameters", json!({"ParameterFilters": [filter]})).await?;
    let names = response["Parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|parameter| parameter["Name"].as_str().unwrap());
    Ok(names.collect::<Vec<_>>().join(" "))
}

#[tokio::test]
async fn parameters_are_filtered_by_key_option_and_values() {
    let ssm = Ssm::new(ModelClock::start(1));
    for (name, kind, tag) in
        [("/a/one", "String", "x"), ("/a/b/two", "SecureString", "y"), ("/ab", "StringList", "xy")]
    {
        let tags = json!([{"Key": "run", "Value": tag}]);
        let parameter = json!({"Name": name, "Type": kind, "Value": "v", "Tags": tags});
        call(&ssm, "us-east-1", "PutParameter", parameter).await.unwrap();
    }
    let cases: [(&str, Option<&str>, &[&str], &str); 12] = [
        ("Name", None, &["/a/one", "/ab"], "/a/one /ab"),
        ("Name", Some("BeginsWith"), &["/a/"], "/a/b/two /a/one"),
        ("Name", Some("Contains"), &["b"], "/a/b/two /ab"),
        ("Type", Some("Equals"), &["SecureString"], "/a/b/two"),
        ("Type", Some("BeginsWith"), &["String"], "/a/one /ab"),
        ("Tier", None, &["Standard"], "/a/b/two /a/one /ab"),
        ("Tier", None, &["Advanced"], ""),
        ("DataType", None, &["text"], "/a/b/two /a/one /ab"),
        ("Path", None, &["/a"], "/a/one"),
        ("Path", Some("Recursive"), &["/a/"], "/a/b/two /a/one"),
        ("tag:run", Some("BeginsWith"), &["x"], "/a/one /ab"),
        ("tag:other", None, &[], ""),
    ];
    for (key, option, values, names) in cases {
        assert_eq!(described(&ssm, key, option, values).await.unwrap(), names, "{key} {option:?} {values:?}");
    }
    assert_eq!(described(&ssm, "tag:run", None, &[]).await.unwrap(), "/a/b/two /a/one /ab");
    for (key, option, values, code) in [
        ("Label", None, &["x"][..], "InvalidFilterKey"),
        ("KeyId", None, &["x"], "InvalidFilterKey"),
        ("tag:", None, &["x"], "InvalidFilterKey"),
        ("Type", Some("Contains"), &["x"], "InvalidFilterOption"),
        ("Path", Some("Equals"), &["/a"], "InvalidFilterOption"),
        ("Name", None, &[], "InvalidFilterValue"),
    ] {
        assert_eq!(described(&ssm, key, option, values).await.unwrap_err().code, code, "{key}");
    }
    // `GetParametersByPath` supports fewer filters.
    let below = |filter: Value| json!({"Path": "/a", "Recursive": true, "ParameterFilters": [filter]});
    let secure = below(json!({"Key": "Type", "Values": ["SecureString"]}));
    let found = call(&ssm, "us-east-1", "GetParametersByPath", secure).await.unwrap();
    assert_eq!(found["Parameters"].as_array().unwrap().len(), 1);
    let named = below(json!({"Key": "Name", "Values": ["/a/one"]}));
    let rejected = call(&ssm, "us-east-1", "GetParametersByPath", named).await.unwrap_err();
    assert_eq!(rejected.code, "InvalidFilterKey");
}

#[tokio::test]
async fn only_the_text_data_type_is_offered() {
    let ssm = Ssm::new(ModelClock::start(1));
    let mut image = control("ami-1");
    image["DataType"] = json!("aws:ec2:image");
    let rejected = call(&ssm, "us-east-1", "PutParameter", image).await.unwrap_err();
    assert!(rejected.message.starts_with("the data type aws:ec2:image is not supported"), "{rejected}");
    let mut text = control("one");
    text["DataType"] = json!("text");
    call(&ssm, "us-east-1", "PutParameter", text).await.unwrap();
}

#[tokio::test]
async fn foreign_arns_find_nothing_and_deletion_takes_names_only() {
    let ssm = Ssm::new(ModelClock::start(1));
    call(&ssm, "us-east-1", "PutParameter", control("one")).await.unwrap();
    let own = "arn:aws:ssm:us-east-1:000000000000:parameter/demo/control";
    for other in [
        "arn:aws:ssm:eu-west-1:000000000000:parameter/demo/control",
        "arn:aws:ssm:us-east-1:111111111111:parameter/demo/control",
        "arn:aws-cn:ssm:us-east-1:000000000000:parameter/demo/control",
        "arn:aws:logs:us-east-1:000000000000:parameter/demo/control",
        "arn:aws:ssm:us-east-1:000000000000:document/demo/control",
    ] {
        let read = call(&ssm, "us-east-1", "GetParameter", json!({"Name": other})).await;
        assert_eq!(read, Err(errors::parameter_not_found()), "{other}");
        let both = json!({"Names": [own, other]});
        let read = call(&ssm, "us-east-1", "GetParameters", both).await.unwrap();
        assert_eq!(read["Parameters"].as_array().unwrap().len(), 1, "{other}");
        assert_eq!(read["InvalidParameters"], json!([other]));
        let tags = json!({"ResourceType": "Parameter", "ResourceId": other});
        let rejected = call(&ssm, "us-east-1", "ListTagsForResource", tags).await.unwrap_err();
        assert_eq!(rejected.code, "InvalidResourceId", "{other}");
    }
    let by_arn = call(&ssm, "us-east-1", "DeleteParameter", json!({"Name": own})).await;
    assert_eq!(by_arn, Err(errors::parameter_not_found()));
    call(&ssm, "us-east-1", "DeleteParameter", json!({"Name": "/demo/control"})).await.unwrap();
}
