//! Security Token Service. In: `GetCallerIdentity`. Out: the configured account. Stateless.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::call::{AwsError, Call};
use crate::operations::Operation;
use crate::services::Service;

const OPERATIONS: &[Operation] = &[Operation::supporting("GetCallerIdentity", "ValidationError", "")];

/// The modelled STS.
#[derive(Debug, Default)]
pub struct Sts;

#[async_trait]
impl Service for Sts {
    fn operations(&self) -> Option<&'static [Operation]> {
        Some(OPERATIONS)
    }

    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        match call.operation {
            "GetCallerIdentity" => {
                let account = &call.caller.account;
                // The user id has the format that IAM gives to users ("IAM identifiers": AIDA and
                // 16 more).
                Ok(json!({
                    "Account": account,
                    "Arn": format!("arn:aws:iam::{account}:user/sandbox"),
                    "UserId": "AIDASANDBOXSANDBOX00",
                }))
            }
            other => Err(crate::operations::unknown("sts", other)),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        json!({})
    }
}
