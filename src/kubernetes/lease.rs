//! Leadership by a Kubernetes Lease. In: the Lease as read, and when we saw it change. Out: whether
//! to take it, and the epoch (its transition count) of this operator's writes.
//!
//! A Lease is not a lock: an operator that lost it may not know yet. Therefore every control
//! document has the epoch, the [`WriteFence`] expires before another operator could take the Lease,
//! and the process ends when its Lease does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kinesis_demo_api::error_chain::error_chain;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

use super::within;
use crate::write_fence::WriteFence;

/// The name of the Lease.
pub const NAME: &str = "kinesis-demo-operator";

/// How long a Lease lasts without renewal.
const DURATION: Duration = Duration::from_secs(15);
/// How often the Lease is renewed.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// When a leader that cannot renew stops working: before another operator may take the Lease. This
/// value, the duration and the renewal interval are those of Kubernetes' own components
/// (kube-scheduler's `--leader-elect-*` flags: 15 s, 10 s, 2 s).
const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// How often a Lease of another holder is read.
const READ_EVERY: Duration = Duration::from_secs(1);
/// The API server responds within milliseconds or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Why leadership was not gained or was lost.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("read or write lease {NAME} in namespace {namespace}")]
    Kube {
        namespace: String,
        #[source]
        source: kube::Error,
    },
    #[error("lease {NAME} was not renewed for {} s", GIVE_UP_AFTER.as_secs())]
    Expired,
    #[error("lease {NAME} was taken by {0}")]
    Taken(String),
}

/// What to do about the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// Take it with this epoch: it is ours or free, or its holder did not renew it for its whole
    /// duration.
    Take { epoch: u64 },
    /// Another operator holds it.
    Wait { holder: String },
}

/// Evaluates a Lease that has not changed for `unchanged_for` on our own monotonic clock. The
/// timestamps in the Lease come from the holder's clock, which may differ from ours.
pub fn lease_state(spec: Option<&LeaseSpec>, identity: &str, unchanged_for: Duration) -> LeaseState {
    let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let epoch = u64::try_from(transitions).unwrap_or(0) + 1;
    let holder = spec.and_then(|spec| spec.holder_identity.clone()).filter(|holder| !holder.is_empty());
    let duration = spec
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DURATION, Duration::from_secs);
    match holder {
        Some(holder) if holder != identity && unchanged_for < duration => LeaseState::Wait { holder },
        _ => LeaseState::Take { epoch },
    }
}

/// A Lease that this operator holds.
pub struct Leadership {
    api: Api<Lease>,
    namespace: String,
    identity: String,
    lease: Lease,
    /// Limits this operator's writes to the time in which it leads.
    pub write_fence: WriteFence,
    /// The epoch of this operator's writes.
    pub epoch: u64,
}

/// Waits until the Lease is ours. `stands_by` is set once the Lease was read: from then on this
/// process can take over. `highest_epoch` returns the highest epoch that any object was written
/// with. A recreated Lease counts from the beginning, but a run must never see an epoch lower than
/// its own.
pub async fn acquire(
    client: Client,
    namespace: &str,
    identity: &str,
    stands_by: &AtomicBool,
    highest_epoch: impl AsyncFn() -> Result<u64, kube::Error>,
) -> Result<Leadership, LeaseError> {
    let api: Api<Lease> = Api::namespaced(client, namespace);
    let failed = |source| LeaseError::Kube { namespace: namespace.to_owned(), source };
    let mut seen: Option<(Option<String>, Instant)> = None;
    let mut denials = DenialTimer::default();
    loop {
        let found = match within(TIMEOUT, api.get_opt(NAME)).await {
            Ok(found) => found,
            Err(error) if denials.must_give_up(&error, seen.is_some()) => return Err(failed(error)),
            Err(error) => {
                stands_by.store(false, Ordering::Relaxed);
                wait_for_api_server(&error).await;
                continue;
            }
        };
        stands_by.store(true, Ordering::Relaxed);
        let version = found.as_ref().and_then(|lease| lease.metadata.resource_version.clone());
        let since = match &seen {
            Some((known, since)) if *known == version => *since,
            _ => Instant::now(),
        };
        seen = Some((version, since));
        match lease_state(found.as_ref().and_then(|lease| lease.spec.as_ref()), identity, since.elapsed()) {
            LeaseState::Take { epoch } => {
                let highest = match within(TIMEOUT, highest_epoch()).await {
                    Ok(highest) => highest,
                    Err(error) if denials.must_give_up(&error, true) => return Err(failed(error)),
                    Err(error) => {
                        stands_by.store(false, Ordering::Relaxed);
                        wait_for_api_server(&error).await;
                        continue;
                    }
                };
                let epoch = epoch.max(highest + 1);
                // Taken before the write, because the Lease counts from the moment at which the API
                // server receives it.
                let write_fence = WriteFence::until(Instant::now() + GIVE_UP_AFTER);
                let taken = write(&api, found, namespace, identity, epoch).await;
                match taken {
                    Ok(lease) => {
                        tracing::info!(identity, epoch, "leadership gained");
                        return Ok(Leadership {
                            api,
                            namespace: namespace.to_owned(),
                            identity: identity.to_owned(),
                            lease,
                            write_fence,
                            epoch,
                        });
                    }
                    // Another operator was faster: read the Lease again.
                    Err(kube::Error::Api(status)) if status.code == 409 => {}
                    Err(error) if denials.must_give_up(&error, true) => return Err(failed(error)),
                    // The write may have succeeded; the next read shows it.
                    Err(error) => {
                        stands_by.store(false, Ordering::Relaxed);
                        wait_for_api_server(&error).await;
                    }
                }
            }
            LeaseState::Wait { holder } => {
                denials = DenialTimer::default();
                tracing::debug!(holder, "waiting for the lease");
                tokio::time::sleep(READ_EVERY).await;
            }
        }
    }
}

/// How long to tolerate errors about permissions and missing objects after an earlier success. A
/// starting API server knows no roles yet, and a Lease may be deleted between a read and a write.
const DENIED_FOR: Duration = Duration::from_secs(20);

/// Since when the API server has denied requests, in contrast to being unavailable.
#[derive(Default)]
struct DenialTimer {
    denied_since: Option<Instant>,
}

impl DenialTimer {
    /// Whether to give up: a permission or the namespace is missing, from the beginning or for a
    /// long time.
    fn must_give_up(&mut self, error: &kube::Error, was_allowed: bool) -> bool {
        if !matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403 | 404)) {
            self.denied_since = None;
            return false;
        }
        let since = *self.denied_since.get_or_insert_with(Instant::now);
        !was_allowed || since.elapsed() >= DENIED_FOR
    }
}

/// Waits for an API server that is unavailable. A standby that exited instead would delay a
/// takeover by the pauses between its restarts.
async fn wait_for_api_server(error: &kube::Error) {
    let pause = READ_EVERY.as_secs();
    tracing::warn!(
        error = error_chain(error),
        "the lease could not be read or taken; trying again in {pause} s"
    );
    tokio::time::sleep(READ_EVERY).await;
}

impl Leadership {
    /// Renews the Lease until it is lost. Returns only then.
    pub async fn hold(&mut self) -> LeaseError {
        let mut renewed_at = Instant::now();
        loop {
            tokio::time::sleep(RENEW_EVERY.min(GIVE_UP_AFTER.saturating_sub(renewed_at.elapsed()))).await;
            let sent_at = Instant::now();
            match write(&self.api, Some(self.lease.clone()), &self.namespace, &self.identity, self.epoch)
                .await
            {
                Ok(lease) => {
                    self.lease = lease;
                    renewed_at = sent_at;
                    self.write_fence.renew(renewed_at + GIVE_UP_AFTER);
                }
                Err(kube::Error::Api(status)) if status.code == 409 => {
                    match within(TIMEOUT, self.api.get_opt(NAME)).await {
                        Ok(Some(lease)) => {
                            let spec = lease.spec.clone().unwrap_or_default();
                            let holder = spec.holder_identity.unwrap_or_default();
                            // The same name with another epoch is another process on the same host.
                            if holder != self.identity
                                || spec.lease_transitions != i32::try_from(self.epoch).ok()
                            {
                                return LeaseError::Taken(holder);
                            }
                            self.lease = lease;
                        }
                        Ok(None) => self.lease = Lease::default(),
                        Err(error) => tracing::warn!(error = %error, "the lease could not be read"),
                    }
                }
                Err(error) => tracing::warn!(error = %error, "the lease could not be renewed"),
            }
            if renewed_at.elapsed() >= GIVE_UP_AFTER {
                return LeaseError::Expired;
            }
        }
    }

    /// Releases the Lease, so that a successor does not have to wait.
    pub async fn release(self) {
        let mut lease = self.lease;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        match within(TIMEOUT, self.api.replace(NAME, &PostParams::default(), &lease)).await {
            Ok(_) => tracing::info!("leadership released"),
            Err(error) => {
                tracing::warn!(error = %error, "the lease could not be released; a successor has to wait until it expires")
            }
        }
    }
}

async fn write(
    api: &Api<Lease>,
    found: Option<Lease>,
    namespace: &str,
    identity: &str,
    epoch: u64,
) -> Result<Lease, kube::Error> {
    let now = MicroTime(Timestamp::now());
    let spec = found.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
    let acquired = spec.holder_identity.as_deref() == Some(identity)
        && spec.lease_transitions == i32::try_from(epoch).ok();
    // Preserves labels and annotations set by others, such as Helm.
    let metadata = found.as_ref().map(|lease| lease.metadata.clone()).unwrap_or_default();
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(NAME.into()),
            namespace: Some(namespace.into()),
            managed_fields: None,
            ..metadata
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(identity.into()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: i32::try_from(epoch).ok(),
            acquire_time: if acquired { spec.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            ..LeaseSpec::default()
        }),
    };
    match found {
        Some(_) if lease.metadata.resource_version.is_some() => {
            within(TIMEOUT, api.replace(NAME, &PostParams::default(), &lease)).await
        }
        _ => within(TIMEOUT, api.create(&PostParams::default(), &lease)).await,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use axum::Router;
    use axum::http::{Method, StatusCode};
    use serde_json::json;

    use super::*;

    fn held_by(holder: &str, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.into()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_missing_or_released_lease_is_taken_at_once() {
        assert_eq!(lease_state(None, "a", Duration::ZERO), LeaseState::Take { epoch: 1 });
        assert_eq!(lease_state(Some(&held_by("", 4)), "a", Duration::ZERO), LeaseState::Take { epoch: 5 });
    }

    #[test]
    fn another_holders_lease_is_taken_after_its_full_duration() {
        let spec = held_by("b", 4);
        assert_eq!(
            lease_state(Some(&spec), "a", Duration::from_secs(14)),
            LeaseState::Wait { holder: "b".into() }
        );
        assert_eq!(lease_state(Some(&spec), "a", Duration::from_secs(15)), LeaseState::Take { epoch: 5 });
    }

    #[test]
    fn a_restarted_operator_takes_its_own_lease_with_a_new_epoch() {
        assert_eq!(lease_state(Some(&held_by("a", 4)), "a", Duration::ZERO), LeaseState::Take { epoch: 5 });
    }

    /// An API server that takes its responses from a script, and counts the requests. It accepts
    /// every write.
    async fn api_server(script: &'static [Response]) -> (Client, Arc<AtomicUsize>) {
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        let respond = move |method: Method, body: String| {
            let at = counter.fetch_add(1, Ordering::Relaxed);
            let response = script.get(at).or(script.last()).copied().unwrap_or(Response::Error(500));
            async move {
                let lease = |holder: &str| {
                    let spec = held_by(holder, 4);
                    let metadata = ObjectMeta {
                        resource_version: Some("7".into()),
                        name: Some(NAME.into()),
                        ..ObjectMeta::default()
                    };
                    serde_json::to_string(&Lease { metadata, spec: Some(spec) }).unwrap()
                };
                match response {
                    Response::Error(code) => {
                        let status = StatusCode::from_u16(code).unwrap();
                        (status, json!({"code": code, "message": "away", "reason": "Away"}).to_string())
                    }
                    _ if method != Method::GET => (StatusCode::OK, body),
                    Response::Held => (StatusCode::OK, lease("another")),
                    Response::Free => (StatusCode::OK, lease("")),
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(respond)).await });
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        (Client::try_from(config).unwrap(), requests)
    }

    #[derive(Clone, Copy)]
    enum Response {
        Error(u16),
        Held,
        Free,
    }

    #[tokio::test]
    async fn a_standby_survives_an_unavailable_api_server() {
        const SCRIPT: &[Response] = &[
            Response::Error(503),
            Response::Held,
            Response::Error(500),
            // A starting API server knows no roles yet.
            Response::Error(403),
            Response::Free,
        ];
        let (client, requests) = api_server(SCRIPT).await;
        let ready = AtomicBool::new(false);
        let leadership = acquire(client, "demos", "us", &ready, async || Ok(9)).await.unwrap();
        assert_eq!((leadership.epoch, ready.load(Ordering::Relaxed)), (10, true));
        assert_eq!(requests.load(Ordering::Relaxed), 6, "five reads and the write");
    }

    #[tokio::test]
    async fn an_operator_without_permission_for_the_lease_fails_at_once() {
        for code in [401, 403] {
            let script: &[Response] =
                if code == 401 { &[Response::Error(401)] } else { &[Response::Error(403)] };
            let (client, requests) = api_server(script).await;
            let ready = AtomicBool::new(false);
            let error = acquire(client, "demos", "us", &ready, async || Ok(0)).await.err().unwrap();
            assert!(error.to_string().contains("namespace demos"), "{error}");
            assert_eq!((requests.load(Ordering::Relaxed), ready.load(Ordering::Relaxed)), (1, false));
        }
    }
}
