//! Parameters of the fake. In: calls. Out: what Systems Manager would store.

use std::sync::Arc;

use async_trait::async_trait;
use kinesis_demo_api::control::{ControlDocument, MAX_BYTES};

use super::state::RegionState;
use super::validation::violation;
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{AwsErrorClass, AwsResult, OverwriteResult, Parameters, Tags};

pub(super) struct Parameter {
    text: String,
    pub(super) tags: Tags,
    /// Parsed once, because every task reads it repeatedly.
    document: Option<Arc<ControlDocument>>,
}

impl Parameter {
    /// The value as a control document, if it is one.
    pub(super) fn document(&self) -> Option<&Arc<ControlDocument>> {
        self.document.as_ref()
    }
}

impl RegionState<'_> {
    fn put_parameter(&mut self, name: &str, text: &str, tags: Tags) {
        let document = ControlDocument::parse(text).ok().map(Arc::new);
        self.region.parameters.insert(name.to_owned(), Parameter { text: text.to_owned(), tags, document });
        self.region.parameter_writes.entry(name.to_owned()).or_default().push((self.now, text.to_owned()));
    }

    fn parameter(&mut self, name: &str) -> Result<&mut Parameter, ApiError> {
        // AWS returns this error without a text.
        self.region.parameters.get_mut(name).ok_or_else(|| api_error("ParameterNotFound", ""))
    }

    /// The tags of a parameter. The operations on tags have an error of their own.
    fn parameter_tags(&mut self, name: &str) -> Result<&mut Tags, ApiError> {
        let missing = || {
            let text = "The resource ID isn't valid. Verify that you entered the correct ID and try again.";
            api_error("InvalidResourceId", text)
        };
        self.region.parameters.get_mut(name).map(|parameter| &mut parameter.tags).ok_or_else(missing)
    }
}

/// Rejects a value that a parameter of the standard tier cannot have.
fn check_value(text: &str) -> Result<(), ApiError> {
    if text.is_empty() {
        let constraint = "Member must have length greater than or equal to 1";
        return Err(violation("ValidationException", text, "value", constraint));
    }
    if text.len() > MAX_BYTES {
        let text = format!(
            "Standard tier parameters support a maximum parameter value of {MAX_BYTES} characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
        );
        return Err(api_error("ValidationException", text));
    }
    Ok(())
}

#[async_trait]
impl Parameters for Handle {
    async fn fetch_parameter(&self, name: &str) -> AwsResult<Option<String>> {
        let response = self
            .reach("GetParameter")
            .await
            .read("GetParameter", name, |state| Ok(state.parameter(name)?.text.clone()));
        match response {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            response => response.map(Some),
        }
    }

    async fn fetch_parameter_tags(&self, name: &str) -> AwsResult<Tags> {
        self.reach("ListTagsForResource")
            .await
            .read("ListTagsForResource", name, |state| Ok(state.parameter_tags(name)?.clone()))
    }

    async fn create_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<()> {
        self.reach("PutParameter").await.write("PutParameter", name, |state| {
            check_value(text)?;
            if state.region.parameters.contains_key(name) {
                let text = "The parameter already exists. To overwrite this value, set the overwrite option in the request to true.";
                return Err(api_error("ParameterAlreadyExists", text));
            }
            state.put_parameter(name, text, tags.clone());
            Ok(())
        })
    }

    async fn overwrite_parameter(&self, name: &str, text: &str) -> AwsResult<OverwriteResult> {
        self.reach("PutParameter").await.write("PutParameter", name, |state| {
            check_value(text)?;
            // With Overwrite=true, AWS creates a missing parameter, without tags.
            let tags = state.region.parameters.get(name).map(|parameter| parameter.tags.clone());
            let found = if tags.is_some() { OverwriteResult::Replaced } else { OverwriteResult::Created };
            state.put_parameter(name, text, tags.unwrap_or_default());
            Ok(found)
        })
    }

    async fn tag_parameter(&self, name: &str, tags: &Tags) -> AwsResult<()> {
        self.reach("AddTagsToResource").await.write("AddTagsToResource", name, |state| {
            state.parameter_tags(name)?.extend(tags.clone());
            Ok(())
        })
    }

    async fn delete_parameter(&self, name: &str) -> AwsResult<()> {
        self.reach("DeleteParameter").await.write("DeleteParameter", name, |state| {
            state.parameter(name)?;
            state.region.parameters.remove(name);
            Ok(())
        })
    }
}
