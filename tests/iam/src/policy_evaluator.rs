//! Evaluates a call. In: a call and the tags of the existing resources. Out: the permissions that
//! the caller lacks. Pure, except that it reads the policy files.

use std::collections::{BTreeMap, BTreeSet};

use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, Principal as IamPrincipal, PrincipalId,
    evaluate_policies,
};

use crate::call::{Call, Principal};
use crate::needs::{Need, Resource, needs};
use crate::policies::{Deployment, text_of};
use crate::reference::{Reference, offers};
use crate::resource_tags::ResourceTags;

/// A permission that a caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{principal:?} lacks {action} on {resource} (needed for {call})")]
pub struct Refusal {
    pub principal: Principal,
    pub call: String,
    pub action: String,
    pub resource: String,
}

/// Evaluates calls in one deployment.
pub struct PolicyEvaluator {
    deployment: Deployment,
    reference: Reference,
    policies: BTreeMap<Principal, Vec<IAMPolicy>>,
}

impl PolicyEvaluator {
    /// An evaluator with the published policies.
    pub fn new(deployment: Deployment) -> Result<Self, String> {
        Self::by(deployment, &text_of)
    }

    /// An evaluator with other documents, given by name.
    pub fn by(
        deployment: Deployment,
        text_of: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Self, String> {
        let all = [
            Principal::Operator,
            Principal::OperatorWithAdvantage,
            Principal::Task,
            Principal::Execution,
            Principal::Other,
        ];
        let policies =
            all.iter().map(|principal| Ok((*principal, deployment.policies(*principal, text_of)?)));
        Ok(Self {
            policies: policies.collect::<Result<_, String>>()?,
            reference: Reference::load()?,
            deployment,
        })
    }

    /// The permissions that our own programs lack for these calls, one line each, and calls that
    /// cannot be evaluated. The calls also define the tags of the resources.
    pub fn violations(&self, calls: &[Call]) -> Vec<String> {
        let resource_tags = ResourceTags::from_calls(calls, &self.deployment.account);
        let ours = calls.iter().filter(|call| call.principal != Principal::Other);
        let violations = ours.flat_map(|call| match self.refusals(call, &resource_tags) {
            Ok(refusals) => refusals.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error],
        });
        violations.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The permissions that the caller lacks for `call`. Returns an error if the call or what it
    /// needs is unknown.
    pub fn refusals(&self, call: &Call, resource_tags: &ResourceTags) -> Result<Vec<Refusal>, String> {
        let mut refusals = Vec::new();
        for need in needs(call, &self.deployment.account)? {
            let resource = self.resource(&need)?;
            if !self.allows(call, &need, &resource, resource_tags)? {
                refusals.push(Refusal {
                    principal: call.principal,
                    call: format!("{}:{}", call.service, call.operation),
                    action: need.action,
                    resource,
                });
            }
        }
        Ok(refusals)
    }

    fn allows(
        &self,
        call: &Call,
        need: &Need,
        resource: &str,
        resource_tags: &ResourceTags,
    ) -> Result<bool, String> {
        let kind = self.reference.type_of(&need.action, resource)?;
        let keys = self.reference.keys(&need.action, kind.as_deref())?;
        let tags = call.resource_tags.clone().unwrap_or_else(|| resource_tags.tags(resource));
        let mut context: Vec<(String, String)> = need.context.clone();
        context.extend(tags.into_iter().map(|(key, value)| (format!("aws:ResourceTag/{key}"), value)));
        context.push(("aws:RequestedRegion".to_owned(), call.region.clone()));
        context.push(("aws:PrincipalAccount".to_owned(), self.deployment.account.clone()));
        let offered = context.into_iter().filter(|(key, _)| offers(&keys, key));
        let context =
            Context::with_data(offered.map(|(key, value)| (key, ContextValue::String(value))).collect());
        let caller = format!("arn:aws:iam::{}:role/caller", self.deployment.account);
        let request = IAMRequest::new_with_context(
            IamPrincipal::Aws(PrincipalId::String(caller)),
            need.action.clone(),
            Arn::parse(resource).map_err(|error| format!("{resource}: {error}"))?,
            context,
        );
        let policies = self.policies.get(&call.principal).map(Vec::as_slice).unwrap_or_default();
        let decision =
            evaluate_policies(policies, &request).map_err(|error| format!("{}: {error}", need.action))?;
        Ok(decision == Decision::Allow)
    }

    /// The resource as AWS matches it against a policy. An action without resource types is checked
    /// against `*`, which only `*` matches. The ARN of no resource stands for it.
    fn resource(&self, need: &Need) -> Result<String, String> {
        let action = self.reference.action(&need.action)?;
        match &need.resource {
            Resource::Any => Ok("arn:aws:any:::any".to_owned()),
            Resource::Arn(_) if action.resources.is_empty() => Ok("arn:aws:any:::any".to_owned()),
            Resource::Arn(arn) if self.reference.type_of(&need.action, arn)?.is_some() => Ok(arn.clone()),
            Resource::Arn(arn) => {
                Err(format!("{}: {arn} has none of the action's resource types", need.action))
            }
        }
    }
}
