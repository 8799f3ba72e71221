//! Systems Manager: parameters and their tags.

use kinesis_demo_operator::aws::{AwsError, AwsErrorClass, OverwriteResult, Tags};

use super::Arm;
use super::fixtures::{assert_refused, aws, refusal, tags};
use super::waiting::seconds;

const NAME: &str = "/kd/control";

fn invalid(message: impl Into<String>) -> AwsError {
    refusal(AwsErrorClass::Invalid, "PutParameter", NAME, "ValidationException", message)
}

/// Three parameters can be put per second.
async fn after_a_second(arm: &dyn Arm) {
    arm.let_time_pass(seconds(1)).await;
}

pub(super) async fn a_parameter_is_created_read_and_deleted(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap(), None);
    parameters.create_parameter(NAME, "{\"a\": 1}", &tags("ns/demo")).await.unwrap();
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap().as_deref(), Some("{\"a\": 1}"));
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), tags("ns/demo"));
    parameters.delete_parameter(NAME).await.unwrap();
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap(), None);
    parameters.create_parameter(NAME, "two", &Tags::new()).await.unwrap();
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), Tags::new());
}

pub(super) async fn an_existing_parameter_is_not_created_again(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    parameters.create_parameter(NAME, "one", &tags("ns/demo")).await.unwrap();
    let message = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
    let (class, code) = (AwsErrorClass::AlreadyExists, "ParameterAlreadyExists");
    let expected = refusal(class, "PutParameter", NAME, code, message);
    assert_refused(parameters.create_parameter(NAME, "two", &tags("ns/other")).await, expected);
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap().as_deref(), Some("one"));
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), tags("ns/demo"));
}

pub(super) async fn an_overwrite_keeps_the_tags(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    let created = parameters.overwrite_parameter(NAME, "one").await.unwrap();
    assert_eq!(created, OverwriteResult::Created);
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), Tags::new());
    parameters.tag_parameter(NAME, &tags("ns/demo")).await.unwrap();
    let replaced = parameters.overwrite_parameter(NAME, "two").await.unwrap();
    assert_eq!(replaced, OverwriteResult::Replaced);
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap().as_deref(), Some("two"));
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), tags("ns/demo"));
    parameters.delete_parameter(NAME).await.unwrap();
    let again = parameters.overwrite_parameter(NAME, "three").await.unwrap();
    assert_eq!(again, OverwriteResult::Created);
}

pub(super) async fn tags_are_added_and_replaced(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    parameters.create_parameter(NAME, "one", &tags("ns/demo")).await.unwrap();
    let more = Tags::from([("team".to_owned(), "a".to_owned())]);
    parameters.tag_parameter(NAME, &more).await.unwrap();
    parameters.tag_parameter(NAME, &tags("ns/other")).await.unwrap();
    let expected: Tags = tags("ns/other").into_iter().chain(more).collect();
    assert_eq!(parameters.fetch_parameter_tags(NAME).await.unwrap(), expected);
}

pub(super) async fn a_missing_parameter_is_not_found(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    let (class, code) = (AwsErrorClass::NotFound, "ParameterNotFound");
    // AWS's error has no text; the adapter shows its code.
    let expected = refusal(class, "DeleteParameter", NAME, code, code);
    assert_refused(parameters.delete_parameter(NAME).await, expected);
    let message = "The resource ID isn't valid. Verify that you entered the correct ID and try again.";
    let expected = |operation| refusal(class, operation, NAME, "InvalidResourceId", message);
    assert_refused(parameters.fetch_parameter_tags(NAME).await, expected("ListTagsForResource"));
    assert_refused(parameters.tag_parameter(NAME, &tags("ns/demo")).await, expected("AddTagsToResource"));
}

pub(super) async fn values_have_between_1_and_4096_bytes(arm: &dyn Arm) {
    let parameters = aws(arm).parameters;
    // Bytes, not characters.
    let (longest, above) = ("é".repeat(2_048), format!("{}x", "é".repeat(2_048)));
    let too_long = "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html";
    let empty = "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1";
    parameters.create_parameter(NAME, &longest, &tags("ns/demo")).await.unwrap();
    for (value, message) in [(above.as_str(), too_long), ("", empty)] {
        after_a_second(arm).await;
        assert_refused(parameters.overwrite_parameter(NAME, value).await, invalid(message));
        // The value is checked first, so this is not the error of an existing parameter.
        let created = parameters.create_parameter(NAME, value, &tags("ns/demo")).await;
        assert_refused(created, invalid(message));
    }
    assert_eq!(parameters.fetch_parameter(NAME).await.unwrap(), Some(longest));
}
