//! Security Token Service. In: `GetCallerIdentity`. Out: the account the sandbox claims to be. Holds nothing.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::service::{AwsError, Call, Service};

/// The modelled STS.
#[derive(Debug, Default)]
pub struct Sts;

#[async_trait]
impl Service for Sts {
    async fn call(&self, call: Call<'_>) -> Result<Value, AwsError> {
        match call.operation {
            "GetCallerIdentity" => {
                let account = &call.caller.account;
                // The user id is of the form IAM gives to users ("IAM identifiers": AIDA and 16 more).
                Ok(json!({
                    "Account": account,
                    "Arn": format!("arn:aws:iam::{account}:user/sandbox"),
                    "UserId": "AIDASANDBOXSANDBOX00",
                }))
            }
            other => Err(AwsError::client(
                "InvalidAction",
                format!("Could not find operation {other} for version 2011-06-15"),
            )),
        }
    }

    fn state(&self, _now: Timestamp) -> Value {
        json!({})
    }
}
