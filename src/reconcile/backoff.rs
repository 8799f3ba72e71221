//! When an operation that AWS refused may be tried again. In: refusals and successes. Out: whether
//! to ask now, or what was answered last. Keeps calls bounded however often an object is reconciled.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_demo_api::MicroTime;

use crate::aws::{AwsError, AwsErrorClass, AwsResult};

/// The pause after the first refusal; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause after a throttled, failed or unanswered call.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause after a refusal that lasts until somebody acts: a minute costs them little.
const LONGEST_PAUSE_UNTIL_SOMEBODY_ACTS: Duration = Duration::from_secs(60);

/// Doubles with every failure, up to `longest`. Up to a quarter is taken off, differently for every
/// `salt`, so that many objects do not come back at once.
pub fn pause(failures: u32, longest: Duration, salt: &str) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(longest);
    let spread =
        salt.bytes().fold(failures, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 256;
    doubled - doubled / 4 * spread / 256
}

/// The longest pause after a refusal of this class.
fn longest_pause(class: AwsErrorClass) -> Duration {
    match class {
        AwsErrorClass::Denied | AwsErrorClass::Quota | AwsErrorClass::Invalid => {
            LONGEST_PAUSE_UNTIL_SOMEBODY_ACTS
        }
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
    retry_at: MicroTime,
    error: AwsError,
}

impl Backoffs {
    /// What was answered last, while `key` must not be tried again.
    pub fn refusal(&self, uid: &str, key: &str, now: MicroTime) -> Option<AwsError> {
        let held = self.lock();
        let refusal = held.get(uid)?.get(key)?;
        (now < refusal.retry_at).then(|| refusal.error.clone())
    }

    /// Notes how `key` went. A refusal pauses it for the time that its class asks for, and never for
    /// longer than `at_most`: what the run in flight can wait.
    pub fn note<T>(&self, uid: &str, key: &str, result: &AwsResult<T>, at_most: Duration, now: MicroTime) {
        let mut held = self.lock();
        let error = match result {
            Ok(_) => {
                if let Some(refusals) = held.get_mut(uid)
                    && refusals.remove(key).is_some()
                {
                    tracing::info!(uid, operation = key, "AWS answers again");
                }
                return;
            }
            Err(error) => error,
        };
        let refusals = held.entry(uid.to_owned()).or_default();
        let earlier = refusals.get(key);
        if earlier.is_none_or(|earlier| earlier.error != *error) {
            tracing::warn!(uid, error = %error, class = error.class.name(), "AWS refused a call");
        }
        let failures = earlier.map_or(0, |earlier| earlier.failures).saturating_add(1);
        let pause = pause(failures, longest_pause(error.class).min(at_most), uid);
        refusals.insert(key.to_owned(), Refusal { failures, retry_at: now + pause, error: error.clone() });
    }

    /// When `key` may be tried again, if it was refused.
    pub fn retry_at(&self, uid: &str, key: &str) -> Option<MicroTime> {
        self.lock().get(uid)?.get(key).map(|refusal| refusal.retry_at)
    }

    /// Forgets all objects but those with these uids.
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
    fn pauses_double_up_to_their_bound_and_differ_by_object() {
        let spans: Vec<_> = (1..12).map(|failures| pause(failures, s(30), "uid-a")).collect();
        for (failures, span) in (1..).zip(&spans) {
            let full = s(1 << (failures - 1).min(10)).min(s(30));
            assert!(*span <= full && *span >= full * 3 / 4, "{failures}: {span:?}");
        }
        assert_ne!(pause(3, s(30), "uid-a"), pause(3, s(30), "uid-b"));
    }

    #[test]
    fn a_refused_operation_is_asked_less_and_less_often_until_it_is_answered() {
        let backoffs = Backoffs::default();
        let (mut now, mut asked) = (T0, 0);
        while now < T0 + s(600) {
            if backoffs.refusal("uid", "service", now).is_none() {
                asked += 1;
                backoffs.note("uid", "service", &refused("AccessDeniedException"), s(600), now);
            }
            now = now + s(1);
        }
        assert!((12..25).contains(&asked), "{asked} calls in ten minutes");
        assert_eq!(backoffs.refusal("uid", "stream", now), None, "other operations go on");
        backoffs.note("uid", "service", &Ok(()), s(600), now);
        assert_eq!(backoffs.refusal("uid", "service", now), None);
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
