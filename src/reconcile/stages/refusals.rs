//! Errors of AWS in the messages of a run. In: the stored status and the observed state. Out:
//! texts. Pure.

use kinesis_demo_api::KinesisDemoStatus;
use kinesis_demo_api::conditions::{self, ConditionType};

use super::context::RunContext;
use crate::reconcile::observed::ObservedState;

/// The message if the credentials now belong to another account. Then nothing may be created, and a
/// missing resource does not count as deleted.
pub fn foreign_account(pinned: &str, state: &ObservedState) -> Option<String> {
    let found = state.account_id.present()?;
    (pinned != found).then(|| {
        format!(
            "this run started in AWS account {pinned}, but the operator's credentials now belong to {found}; the operator changes nothing until they belong to {pinned} again"
        )
    })
}

/// The last AWS error, if the conditions report one.
pub fn stored_refusal(status: &KinesisDemoStatus) -> Option<&str> {
    let summary = [ConditionType::Reconciling, ConditionType::Ready];
    summary.into_iter().find_map(|type_| {
        let condition = conditions::find(&status.conditions, type_)?;
        condition.reason.is_refusal().then_some(condition.message.as_str())
    })
}

/// The current AWS error, or else the stored one, as a clause for the end of a message.
pub fn refusal_clause(ctx: &RunContext<'_>, state: &ObservedState) -> String {
    let seen = state.refusals().first().map(ToString::to_string);
    let refused = seen.or_else(|| stored_refusal(ctx.object.status).map(str::to_owned));
    refused.map(|error| format!("; {error}")).unwrap_or_default()
}
