//! The verdict on a call. In: a call and the world. Out: nothing, or what its caller is not allowed. Pure but for the policy files.

use std::collections::{BTreeMap, BTreeSet};

use iam_rs::{
    Arn, Context, ContextValue, Decision, IAMPolicy, IAMRequest, Principal as IamPrincipal, PrincipalId,
    evaluate_policies,
};

use crate::call::{Call, Principal};
use crate::needs::{Need, Resource, needs};
use crate::policies::{Deployment, text_of};
use crate::reference::{Reference, offers};
use crate::world::ResourceTags;

/// A permission that a caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{principal:?} may not {action} on {resource} (for {call})")]
pub struct Refusal {
    pub principal: Principal,
    pub call: String,
    pub action: String,
    pub resource: String,
}

/// Judges calls in one deployment.
pub struct PolicyEvaluator {
    deployment: Deployment,
    reference: Reference,
    policies: BTreeMap<Principal, Vec<IAMPolicy>>,
}

impl PolicyEvaluator {
    /// A judge by the shipped policies.
    pub fn new(deployment: Deployment) -> Result<Self, String> {
        Self::by(deployment, &text_of)
    }

    /// A judge by other documents, given by name.
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

    /// What our own programs lack for these calls, which together made a world; one line each.
    pub fn complaints(&self, calls: &[Call]) -> Vec<String> {
        let world = ResourceTags::made_by(calls, &self.deployment.account);
        let ours = calls.iter().filter(|call| call.principal != Principal::Other);
        let complaints = ours.flat_map(|call| match self.refusals(call, &world) {
            Ok(refusals) => refusals.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error],
        });
        complaints.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Which permissions the caller lacks for `call`. An error: the call, or what it needs, is not known here.
    pub fn refusals(&self, call: &Call, world: &ResourceTags) -> Result<Vec<Refusal>, String> {
        let mut refusals = Vec::new();
        for need in needs(call, &self.deployment.account)? {
            let resource = self.resource(&need)?;
            if !self.allows(call, &need, &resource, world)? {
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

    fn allows(&self, call: &Call, need: &Need, resource: &str, world: &ResourceTags) -> Result<bool, String> {
        let kind = self.reference.type_of(&need.action, resource)?;
        let keys = self.reference.keys(&need.action, kind.as_deref())?;
        let tags = call.resource_tags.clone().unwrap_or_else(|| world.tags(resource));
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

    /// The resource as AWS would look for it in a policy. An action without resource types is checked against `*`, which only `*` matches: an
    /// ARN that is no resource's stands for it.
    fn resource(&self, need: &Need) -> Result<String, String> {
        let action = self.reference.action(&need.action)?;
        match &need.resource {
            Resource::Any => Ok("arn:aws:any:::any".to_owned()),
            Resource::Arn(_) if action.resources.is_empty() => Ok("arn:aws:any:::any".to_owned()),
            Resource::Arn(arn) if self.reference.type_of(&need.action, arn)?.is_some() => Ok(arn.clone()),
            Resource::Arn(arn) => Err(format!("{}: {arn} is of no type that the action knows", need.action)),
        }
    }
}
