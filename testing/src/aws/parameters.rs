//! Parameters of the fake. In: calls. Out: what Systems Manager would store.

use std::sync::Arc;

use async_trait::async_trait;
use kinesis_demo_api::control::{ControlDocument, MAX_BYTES};

use super::world::RegionState;
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
    fn put_parameter(&mut self, name: &str, text: &str, tags: Tags) -> Result<(), ApiError> {
        if text.is_empty() || text.len() > MAX_BYTES {
            let text = format!(
                "Standard tier parameters support a maximum parameter value of {MAX_BYTES} characters."
            );
            return Err(api_error("ValidationException", text));
        }
        let document = ControlDocument::parse(text).ok().map(Arc::new);
        self.region.parameters.insert(name.to_owned(), Parameter { text: text.to_owned(), tags, document });
        self.region.parameter_writes.entry(name.to_owned()).or_default().push((self.now, text.to_owned()));
        Ok(())
    }
}

#[async_trait]
impl Parameters for Handle {
    async fn fetch_parameter(&self, name: &str) -> AwsResult<Option<String>> {
        let response = self.reach("GetParameter").await.read("GetParameter", name, |state| {
            let parameter = state.region.parameters.get(name);
            parameter
                .map(|parameter| parameter.text.clone())
                .ok_or_else(|| api_error("ParameterNotFound", ""))
        });
        match response {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            response => response.map(Some),
        }
    }

    async fn fetch_parameter_tags(&self, name: &str) -> AwsResult<Tags> {
        self.reach("ListTagsForResource").await.read("ListTagsForResource", name, |state| {
            let parameter = state.region.parameters.get(name);
            parameter
                .map(|parameter| parameter.tags.clone())
                .ok_or_else(|| api_error("InvalidResourceId", ""))
        })
    }

    async fn create_parameter(&self, name: &str, text: &str, tags: &Tags) -> AwsResult<()> {
        self.reach("PutParameter").await.write("PutParameter", name, |state| {
            if state.region.parameters.contains_key(name) {
                return Err(api_error("ParameterAlreadyExists", "The parameter already exists."));
            }
            state.put_parameter(name, text, tags.clone())
        })
    }

    async fn overwrite_parameter(&self, name: &str, text: &str) -> AwsResult<OverwriteResult> {
        self.reach("PutParameter").await.write("PutParameter", name, |state| {
            // With Overwrite=true, AWS creates a missing parameter, without tags.
            let tags = state.region.parameters.get(name).map(|parameter| parameter.tags.clone());
            let found = if tags.is_some() { OverwriteResult::Replaced } else { OverwriteResult::Created };
            state.put_parameter(name, text, tags.unwrap_or_default()).map(|()| found)
        })
    }

    async fn tag_parameter(&self, name: &str, tags: &Tags) -> AwsResult<()> {
        self.reach("AddTagsToResource").await.write("AddTagsToResource", name, |state| {
            let parameter =
                state.region.parameters.get_mut(name).ok_or_else(|| api_error("InvalidResourceId", ""))?;
            parameter.tags.extend(tags.clone());
            Ok(())
        })
    }

    async fn delete_parameter(&self, name: &str) -> AwsResult<()> {
        self.reach("DeleteParameter").await.write("DeleteParameter", name, |state| {
            let removed = state.region.parameters.remove(name);
            removed.map(drop).ok_or_else(|| api_error("ParameterNotFound", ""))
        })
    }
}
