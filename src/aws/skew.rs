//! How far our clock is from AWS's. In: the `Date` of every answer, and when we asked and were
//! answered. Out: bounds of the difference. A `Date` has whole seconds, so one answer bounds the
//! difference to about a second; answers at different instants within a second narrow it down.

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

/// Bounds older than this say nothing of now.
const LASTS: Duration = Duration::from_secs(60);

/// The bounds that recent answers agree on.
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
        let held = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.map(|bounds| ClockSkew { at_least: bounds.lowest, at_most: bounds.highest })
    }
}

impl SkewMeter {
    /// Takes in an answer dated `dated` (whole seconds) that was asked for and received at these
    /// instants of our clock. An answer that contradicts the bounds begins anew: a clock was set.
    fn note(&self, asked_at: MicroTime, received_at: MicroTime, dated: MicroTime) {
        const SECOND: i64 = 1_000_000;
        let new = Bounds {
            lowest: asked_at.as_micros() - dated.as_micros() - SECOND,
            highest: received_at.as_micros() - dated.as_micros(),
            since: received_at,
        };
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(match *held {
            Some(old)
                if received_at.since(old.since) < LASTS
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

/// When an attempt was sent.
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
            self.note(*sent_at, Timestamp::now().into(), dated);
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

    /// Answers every 310 ms from an AWS that is `behind` our clock, as its whole seconds tell it.
    fn meter_with(answers: u64, behind: Duration) -> SkewMeter {
        let meter = SkewMeter::default();
        for n in 0..answers {
            let asked_at = T0 + ms(310 * n);
            let theirs = MicroTime::from((asked_at + ms(5) - behind).whole_second());
            meter.note(asked_at, asked_at + ms(10), theirs);
        }
        meter
    }

    #[test]
    fn one_answer_bounds_the_difference_to_a_second_and_more_narrow_it() {
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
    fn a_clock_that_was_set_is_noticed_with_the_next_answer() {
        let meter = meter_with(40, ms(0));
        let stepped = T0 + Duration::from_secs(612);
        meter.note(stepped, stepped + ms(10), MicroTime::from((T0 + Duration::from_secs(12)).whole_second()));
        let skew = meter.skew().unwrap();
        assert!(skew.at_least > 598_000_000 && skew.at_most < 602_000_000, "{skew:?}");
        assert_eq!(skew.differs(), Some("about 600 s ahead of".to_owned()));
    }
}
