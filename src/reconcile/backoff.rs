//! When a refused operation may be retried. In: refusals and successes. Out: whether to call now,
//! or the last error. Bounds the number of calls however often an object is reconciled.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::backoff::{Backoff, Jitter};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::aws::{AwsError, AwsErrorClass, AwsResult};

/// The pause after the first refusal; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a call that was throttled, failed or got no response.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause after an error that lasts until someone acts. A minute is short enough for
/// them.
const LONGEST_PAUSE_UNTIL_FIXED: Duration = Duration::from_secs(60);

/// The pause of the object `uid` after `failures` failures in a row: it doubles up to `longest`.
/// The jitter follows from the uid, so that objects do not retry at once, and a scenario takes the
/// same course each time.
pub fn pause(failures: u32, longest: Duration, uid: &str) -> Duration {
    let backoff =
        Backoff { first: FIRST_PAUSE, factor: 2.0, longest, jitter: Jitter { from: 0.75, to: 1.0 } };
    let mut hasher = DefaultHasher::new();
    (uid, failures).hash(&mut hasher);
    backoff.pause(failures, &mut StdRng::seed_from_u64(hasher.finish()))
}

/// The longest pause after an error of this class.
fn longest_pause(class: AwsErrorClass) -> Duration {
    match class {
        AwsErrorClass::Denied | AwsErrorClass::Quota | AwsErrorClass::Invalid => LONGEST_PAUSE_UNTIL_FIXED,
        AwsErrorClass::NotFound
        | AwsErrorClass::AlreadyExists
        | AwsErrorClass::Throttled
        | AwsErrorClass::Transient => LONGEST_PAUSE,
    }
}

/// The refused operations of all objects, by uid and key.
#[derive(Debug, Default)]
pub struct Backoffs(Mutex<HashMap<String, HashMap<String, Refusal>>>);

#[derive(Clone, Debug)]
struct Refusal {
    failures: u32,
    first_at: MicroTime,
    retry_at: MicroTime,
    error: AwsError,
}

impl Backoffs {
    /// The last error, while `key` must not be retried.
    pub fn refusal(&self, uid: &str, key: &str, now: MicroTime) -> Option<AwsError> {
        let all = self.lock();
        let refusal = all.get(uid)?.get(key)?;
        (now < refusal.retry_at).then(|| refusal.error.clone())
    }

    /// Records the result of `key`. A refusal pauses it for the time that suits its class, but at
    /// most for `at_most`: the time that the active run can wait.
    pub fn note<T>(&self, uid: &str, key: &str, result: &AwsResult<T>, at_most: Duration, now: MicroTime) {
        let mut all = self.lock();
        let error = match result {
            Ok(_) => {
                if let Some(refusals) = all.get_mut(uid)
                    && refusals.remove(key).is_some()
                {
                    tracing::info!(uid, operation = key, "AWS accepts the call again");
                }
                return;
            }
            Err(error) => error,
        };
        let refusals = all.entry(uid.to_owned()).or_default();
        let earlier = refusals.get(key);
        if earlier.is_none_or(|earlier| earlier.error != *error) {
            let class = error.class.name();
            match error.is_not_seen_yet() {
                true => {
                    tracing::info!(uid, error = %error, class, "AWS does not see a new resource yet")
                }
                false => tracing::warn!(uid, error = %error, class, "AWS refused a call"),
            }
        }
        let first_at = earlier.map_or(now, |earlier| earlier.first_at);
        let failures = earlier.map_or(0, |earlier| earlier.failures).saturating_add(1);
        let pause = pause(failures, longest_pause(error.class).min(at_most), uid);
        let refusal = Refusal { failures, first_at, retry_at: now + pause, error: error.clone() };
        refusals.insert(key.to_owned(), refusal);
    }

    /// How long `key` has been refused; zero if it is not.
    pub fn refused_for(&self, uid: &str, key: &str, now: MicroTime) -> Duration {
        let all = self.lock();
        let refusal = all.get(uid).and_then(|refusals| refusals.get(key));
        refusal.map_or(Duration::ZERO, |refusal| now.since(refusal.first_at))
    }

    /// When `key` may be retried, if it was refused.
    pub fn retry_at(&self, uid: &str, key: &str) -> Option<MicroTime> {
        self.lock().get(uid)?.get(key).map(|refusal| refusal.retry_at)
    }

    /// Drops the state of all objects except these uids.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, HashMap<String, Refusal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn refused(code: &str) -> AwsResult<()> {
        Err(AwsError::refused("DescribeServices", "kd", code, ""))
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_differ_by_object() {
        let spans: Vec<_> = (1..12).map(|failures| pause(failures, s(30), "uid-a")).collect();
        for (failures, span) in (1..).zip(&spans) {
            let full = s(1 << (failures - 1).min(10)).min(s(30));
            assert!(*span <= full && *span >= full * 3 / 4, "{failures}: {span:?}");
        }
        assert_ne!(pause(3, s(30), "uid-a"), pause(3, s(30), "uid-b"));
    }

    #[test]
    fn a_refused_operation_is_retried_less_often_until_it_succeeds() {
        let backoffs = Backoffs::default();
        let (mut now, mut calls) = (T0, 0);
        while now < T0 + s(600) {
            if backoffs.refusal("uid", "service", now).is_none() {
                calls += 1;
                backoffs.note("uid", "service", &refused("AccessDeniedException"), s(600), now);
            }
            now = now + s(1);
        }
        assert!((12..25).contains(&calls), "{calls} calls in ten minutes");
        assert_eq!(backoffs.refusal("uid", "stream", now), None, "other operations are not affected");
        assert_eq!(backoffs.refused_for("uid", "service", now), s(600), "since the first refusal");
        assert_eq!(backoffs.refused_for("uid", "stream", now), s(0));
        backoffs.note("uid", "service", &Ok(()), s(600), now);
        assert_eq!(backoffs.refusal("uid", "service", now), None);
        assert_eq!(backoffs.refused_for("uid", "service", now), s(0));
    }

    #[test]
    fn a_pause_is_never_longer_than_the_run_can_wait() {
        let backoffs = Backoffs::default();
        for _ in 0..10 {
            backoffs.note("uid", "PutParameter", &refused("AccessDeniedException"), s(5), T0);
        }
        assert!(backoffs.refusal("uid", "PutParameter", T0 + s(5)).is_none());
        assert_eq!(backoffs.retry_at("uid", "PutParameter").map(|at| at <= T0 + s(5)), Some(true));
    }
}
