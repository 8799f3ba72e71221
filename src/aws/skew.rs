//! The difference between our clock and AWS's. In: the `Date` of every response, and when the
//! request was sent and the response received. Out: bounds of the difference. A `Date` has whole
//! seconds, so one response bounds the difference to about a second. Responses at different
//! instants within a second narrow it down.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    AfterDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextRef,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use aws_smithy_types::date_time::{DateTime, Format};
use jiff::Timestamp;
use kinesis_demo_api::MicroTime;

use super::{AwsClock, ClockSkew};

/// Older bounds are discarded, because clocks drift.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The bounds that all recent responses agree on.
#[derive(Clone, Debug, Default)]
pub struct SkewMeter(Arc<Mutex<Option<Bounds>>>);

/// Our clock minus AWS's, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    lowest: i64,
    highest: i64,
    since: MicroTime,
}

impl AwsClock for SkewMeter {
    fn skew(&self) -> Option<ClockSkew> {
        let bounds = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bounds.map(|bounds| ClockSkew { at_least: bounds.lowest, at_most: bounds.highest })
    }
}

impl SkewMeter {
    /// Narrows the bounds by a response dated `dated` (whole seconds), whose request was sent and
    /// which was received at these instants of our clock. A response that contradicts the bounds
    /// replaces them, because one of the clocks was set.
    fn record(&self, sent_at: MicroTime, received_at: MicroTime, dated: MicroTime) {
        const SECOND: i64 = 1_000_000;
        let new = Bounds {
            lowest: sent_at.as_micros() - dated.as_micros() - SECOND,
            highest: received_at.as_micros() - dated.as_micros(),
            since: received_at,
        };
        let mut bounds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *bounds = Some(match *bounds {
            Some(old)
                if received_at.since(old.since) < MAX_AGE
                    && received_at >= old.since
                    && old.lowest.max(new.lowest) <= old.highest.min(new.highest) =>
            {
                Bounds {
                    lowest: old.lowest.max(new.lowest),
                    highest: old.highest.min(new.highest),
                    since: old.since,
                }
            }
            _ => new,
        });
    }
}

/// When the attempt was sent.
#[derive(Debug)]
struct SentAt(MicroTime);

impl Storable for SentAt {
    type Storer = StoreReplace<Self>;
}

impl Intercept for SkewMeter {
    fn name(&self) -> &'static str {
        "SkewMeter"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config.interceptor_state().store_put(SentAt(Timestamp::now().into()));
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let dated = context.response().headers().get("date");
        let dated = dated.and_then(|text| DateTime::from_str(text, Format::HttpDate).ok());
        if let (Some(dated), Some(SentAt(sent_at))) = (dated, config.load::<SentAt>()) {
            let dated = MicroTime::from_micros(dated.secs().saturating_mul(1_000_000));
            self.record(*sent_at, Timestamp::now().into(), dated);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: MicroTime = MicroTime::from_micros(1_800_000_000_000_000);

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// A meter after one response every 310 ms from an AWS whose clock is `behind` ours. The
    /// responses carry its whole seconds.
    fn meter_with(responses: u64, behind: Duration) -> SkewMeter {
        let meter = SkewMeter::default();
        for n in 0..responses {
            let sent_at = T0 + ms(310 * n);
            let theirs = MicroTime::from((sent_at + ms(5) - behind).whole_second());
            meter.record(sent_at, sent_at + ms(10), theirs);
        }
        meter
    }

    #[test]
    fn one_response_bounds_the_skew_to_a_second_and_more_narrow_it() {
        let one = meter_with(1, ms(0)).skew().unwrap();
        assert!(one.at_least <= 0 && one.at_most >= 0 && one.differs().is_none(), "{one:?}");
        for (behind, micros) in [(ms(0), 0), (ms(3_000), 3_000_000), (ms(700), 700_000)] {
            let many = meter_with(40, behind).skew().unwrap();
            assert!(many.at_least <= micros && micros <= many.at_most, "{many:?}");
            assert!(many.at_most - many.at_least < 100_000, "{many:?}");
            assert_eq!(many.differs().is_some(), micros > 500_000, "{many:?}");
        }
    }

    #[test]
    fn a_clock_change_is_noticed_with_the_next_response() {
        let meter = meter_with(40, ms(0));
        let stepped = T0 + Duration::from_secs(612);
        meter.record(
            stepped,
            stepped + ms(10),
            MicroTime::from((T0 + Duration::from_secs(12)).whole_second()),
        );
        let skew = meter.skew().unwrap();
        assert!(skew.at_least > 598_000_000 && skew.at_most < 602_000_000, "{skew:?}");
        assert_eq!(skew.differs(), Some("about 600 s ahead of".to_owned()));
    }
}
