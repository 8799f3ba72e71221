//! Systems Manager Parameter Store. In: parameter operations. Out: AWS's responses. Keeps the
//! parameters by region in memory.

mod errors;
mod ops;
mod request;
mod state;
mod view;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use crate::call::{AwsError, Call};
use crate::clock::ModelClock;
use crate::operations::Operation;
use crate::services::Service;
use ops::{delete_parameters, describe_parameters, get_parameters, put_parameter, tags};
use request::Request;
use state::ParameterStore;

/// The modelled Parameter Store.
#[derive(Debug)]
pub struct Ssm {
    clock: ModelClock,
    regions: Mutex<BTreeMap<String, ParameterStore>>,
}

impl Ssm {
    /// An empty store in every region.
    pub fn new(clock: ModelClock) -> Self {
        Self { clock, regions: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ParameterStore>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Service for Ssm {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(ops::OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        let request = Request::new(&call, &self.clock);
        let mut regions = self.lock();
        let store = regions.entry(call.caller.region.clone()).or_default();
        match call.operation {
            "PutParameter" => put_parameter::put_parameter(store, request),
            "GetParameter" => get_parameters::get_parameter(store, request),
            "GetParameters" => get_parameters::get_parameters(store, request),
            "GetParametersByPath" => get_parameters::get_parameters_by_path(store, request),
            "DescribeParameters" => describe_parameters::describe_parameters(store, request),
            "DeleteParameter" => delete_parameters::delete_parameter(store, request),
            "DeleteParameters" => delete_parameters::delete_parameters(store, request),
            "AddTagsToResource" => tags::add_tags(store, request),
            "RemoveTagsFromResource" => tags::remove_tags(store, request),
            "ListTagsForResource" => tags::list_tags(store, request),
            other => Err(crate::operations::unknown("ssm", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        view::all(&self.lock())
    }
}

#[cfg(test)]
mod tests;
