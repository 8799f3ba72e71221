//! Whether the API server responds, and what it lets this user do. In: a cluster. Out: entries of
//! the board. Sends small requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kinesis_demo_api::MicroTime;
use kinesis_demo_api::error_chain::error_chain;
use kube::Client;
use kube::api::{Api, PostParams};

use super::{Board, Shared};

/// How often the API server is asked whether it responds.
const PROBE_EVERY: Duration = Duration::from_secs(2);
/// How long a small request may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How often it is asked what the user may do: roles change seldom.
const REVIEW_EVERY: Duration = Duration::from_secs(10);
/// For how many objects it is asked separately, if the user may not do it for all.
const MOST_REVIEWED: usize = 20;

/// Whether this user may send requests to objects.
#[derive(Default)]
pub(super) struct Permissions {
    /// Why not, for all objects of the namespace; None inside if they may.
    all: Option<Option<String>>,
    /// The same for single objects.
    by_name: BTreeMap<String, Option<String>>,
}

impl Permissions {
    /// Why the user may not send requests to that object.
    pub(super) fn refusal(&self, name: &str) -> Option<&str> {
        match (self.by_name.get(name), &self.all) {
            (_, Some(None)) => None,
            (Some(refusal), _) | (None, Some(refusal)) => refusal.as_deref(),
            (None, None) => Some("your permissions are being checked"),
        }
    }
}

/// Notes since when the API server does not respond, and restarts the watches once it does.
pub(super) async fn probe(shared: Arc<Shared>) {
    let client = shared.cluster.client();
    loop {
        let asked_at = MicroTime::from(Timestamp::now());
        let answer = tokio::time::timeout(PROBE_TIMEOUT, client.apiserver_version()).await;
        let why = match answer {
            // A refusal is a response, too.
            Ok(Ok(_) | Err(kube::Error::Api(_))) => None,
            Ok(Err(error)) => Some(error_chain(&error)),
            Err(_) => Some(format!("no response within {} s", PROBE_TIMEOUT.as_secs())),
        };
        if shared.board().note(asked_at, why) {
            shared.restart.notify_waiters();
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

impl Board {
    /// Notes why the API server did not respond, or that it did. Whether it does so again.
    fn note(&mut self, asked_at: MicroTime, why: Option<String>) -> bool {
        let before = self.lost.take();
        let is_back = why.is_none() && before.is_some();
        let since = before.map_or(asked_at, |(since, _)| since);
        self.lost = why.map(|why| (since, why));
        is_back
    }
}

/// Asks what the user may do, for all objects and then, if need be, for each.
pub(super) async fn review(shared: Arc<Shared>) {
    let client = shared.cluster.client();
    let namespace = shared.cluster.namespace().to_owned();
    let mut known = BTreeSet::new();
    loop {
        let all = refusal(&client, &namespace, None).await;
        let names: Vec<String> = shared.board().demos.keys().cloned().collect();
        if let Some(all) = &all {
            shared.board().permissions.all = Some(all.clone());
        }
        if !matches!(all, Some(None)) {
            for name in names.iter().take(MOST_REVIEWED) {
                if let Some(refused) = refusal(&client, &namespace, Some(name)).await {
                    shared.board().permissions.by_name.insert(name.clone(), refused);
                }
            }
        }
        // The buttons of a new object should not have to wait.
        let names: BTreeSet<_> = names.into_iter().collect();
        tokio::time::sleep(if names == known { REVIEW_EVERY } else { PROBE_EVERY }).await;
        known = names;
    }
}

/// Why the user may not patch that object, or any; None inside if they may; None if the API server
/// did not say.
async fn refusal(client: &Client, namespace: &str, name: Option<&str>) -> Option<Option<String>> {
    let attributes = ResourceAttributes {
        group: Some("kinesisdemo.io".into()),
        resource: Some("kinesisdemos".into()),
        verb: Some("patch".into()),
        namespace: Some(namespace.into()),
        name: name.map(Into::into),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let params = PostParams::default();
    let asking = api.create(&params, &review);
    let answer = tokio::time::timeout(PROBE_TIMEOUT, asking).await.ok()?.ok()?.status?;
    Some((!answer.allowed).then(|| match answer.reason.as_deref().unwrap_or_default() {
        "" => format!("your role may not patch kinesisdemos in namespace {namespace}"),
        reason => format!("your role may not patch kinesisdemos in namespace {namespace}: {reason}"),
    }))
}
