//! A call of Application Auto Scaling, and what its operations read from it alike. In: a call. Out:
//! resource ids, capacities, pages. No I/O.

use jiff::Timestamp;
use serde_json::Value;

use super::errors::{self, INVALID_REQUEST};
use super::state::DIMENSION;
use crate::call::{AwsError, Call, Caller};
use crate::clock::ModelClock;
use crate::operations::NOT_SUPPORTED;
use crate::paging::page_response;
use crate::parameters::Parameters;
use crate::services::integrations::ScalableServices;

/// A request and its real time.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    pub input: Parameters<'a>,
    pub caller: &'a Caller,
    pub wall: Timestamp,
    /// The services whose desired counts are set.
    pub services: &'a dyn ScalableServices,
}

impl<'a> Request<'a> {
    pub fn new(call: &Call<'a>, clock: &ModelClock, services: &'a dyn ScalableServices) -> Self {
        let input = Parameters::new(call.input, INVALID_REQUEST);
        Self { input, caller: call.caller, wall: clock.wall_at(call.now), services }
    }

    /// The request's resource id, after checking its namespace and dimension.
    pub fn resource_id(&self) -> Result<&'a str, AwsError> {
        self.check_namespace()?;
        self.check_dimension(self.input.required_text("ScalableDimension")?)?;
        self.input.required_text("ResourceId")
    }

    fn check_namespace(&self) -> Result<(), AwsError> {
        match self.input.required_text("ServiceNamespace")? {
            "ecs" => Ok(()),
            other => Err(self.input.invalid(format!("the service namespace {other} {NOT_SUPPORTED}"))),
        }
    }

    fn check_dimension(&self, dimension: &str) -> Result<(), AwsError> {
        if dimension == DIMENSION {
            return Ok(());
        }
        let message = "Unsupported service namespace, resource type or scalable dimension";
        Err(self.input.invalid(format!("{message}: {dimension}")))
    }

    /// Checks the filters of a describe operation. "If you specify a scalable dimension, you must
    /// also specify a resource ID" (DescribeScalableTargets and related operations).
    pub fn check_filters(&self, names_a_resource: bool) -> Result<(), AwsError> {
        self.check_namespace()?;
        match self.input.text("ScalableDimension")? {
            None => Ok(()),
            Some(_) if !names_a_resource => {
                Err(self.input.invalid("A resource ID must be specified with a scalable dimension"))
            }
            Some(dimension) => self.check_dimension(dimension),
        }
    }

    /// One page of items under `member`.
    pub fn paged(
        &self,
        member: &str,
        items: impl IntoIterator<Item = (String, Value)>,
    ) -> Result<Value, AwsError> {
        // "This value can be between 1 and 50. The default value is 50" (DescribeScalableTargets
        // and related operations).
        let size = self.input.bounded("MaxResults", 1..=50, 50)? as usize;
        page_response(member, items, "NextToken", self.input.text("NextToken")?, size)
            .map_err(|_| errors::invalid_next_token())
    }
}

/// A capacity that must not be negative.
pub fn capacity(input: Parameters<'_>, name: &str) -> Result<Option<u32>, AwsError> {
    input
        .integer(name)?
        .map(|value| u32::try_from(value).map_err(|_| input.invalid(format!("{name} must not be negative"))))
        .transpose()
}
