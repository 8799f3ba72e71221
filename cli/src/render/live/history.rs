//! What a watched run did so far, as seen on the screen. In: the status, each time it changes.
//! Out: accepted and throttled records per second in any interval. Pure.

use std::time::Duration;

use kinesis_demo_api::{KinesisDemo, MicroTime};

/// Beyond this many samples, pairs of neighbours are merged: no terminal has as many columns.
const MOST: usize = 4096;

/// Up to this length, a gap between two windows is filled by what was counted in it.
const LONGEST_GAP: Duration = Duration::from_secs(15);

/// Records per second in one interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    from: MicroTime,
    until: MicroTime,
    accepted: u64,
    throttled: u64,
}

/// Records in all, and up to when they were counted.
#[derive(Clone, Copy, Debug)]
struct Counted {
    until: MicroTime,
    accepted: u64,
    throttled: u64,
}

/// Mean rates in an interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub accepted: u64,
    pub throttled: u64,
}

/// The samples of one run. A run that is watched from its middle has none for the time before.
#[derive(Clone, Debug, Default)]
pub struct History {
    run: u32,
    samples: Vec<Sample>,
    counted: Option<Counted>,
}

impl History {
    /// Adds what is new in the status. A new run begins a new history.
    pub fn take(&mut self, demo: &KinesisDemo) {
        let Some(status) = &demo.status else { return };
        if self.run != status.run_number() {
            *self = Self { run: status.run_number(), ..Self::default() };
        }
        let Some(traffic) = &status.traffic else { return };
        let until = traffic.rate_until.unwrap_or(traffic.sampled_at);
        let totals = &traffic.totals;
        let now = Counted { until, accepted: totals.accepted, throttled: totals.throttled };
        let Some(last) = self.counted else {
            self.counted = Some(now);
            // What was throttled before this is not known by time.
            if let Some(from) = traffic.rate_from.filter(|from| *from < until) {
                self.samples.push(Sample { from, until, accepted: traffic.rate, throttled: 0 });
            }
            return;
        };
        if until <= last.until {
            return;
        }
        self.counted = Some(now);
        let new = now.throttled.saturating_sub(last.throttled);
        let throttled = per_second(new.into(), until.since(last.until).as_micros());
        // Windows may overlap: a new one counts from where the last one ended.
        let from = traffic.rate_from.unwrap_or(last.until).max(last.until).min(until);
        let gap = from.since(last.until);
        if !gap.is_zero() && gap <= LONGEST_GAP {
            let window = u128::from(traffic.rate) * until.since(from).as_micros() / 1_000_000;
            let accepted = u128::from(now.accepted.saturating_sub(last.accepted)).saturating_sub(window);
            // The counts go further than the windows, so they may be too high for the gap.
            let before = self.samples.last().map_or(traffic.rate, |sample| sample.accepted);
            let accepted = per_second(accepted, gap.as_micros())
                .clamp(before.min(traffic.rate), before.max(traffic.rate));
            self.samples.push(Sample { from: last.until, until: from, accepted, throttled });
        }
        self.samples.push(Sample { from, until, accepted: traffic.rate, throttled });
        if self.samples.len() > MOST {
            self.samples = self.samples.chunks(2).filter_map(merged).collect();
        }
    }

    /// Throttled records per second, as last measured.
    #[must_use]
    pub fn throttled_now(&self) -> u64 {
        self.samples.last().map_or(0, |sample| sample.throttled)
    }

    /// The highest rates of any sample.
    #[must_use]
    pub fn peak(&self) -> Rates {
        self.samples.iter().fold(Rates::default(), |peak, sample| Rates {
            accepted: peak.accepted.max(sample.accepted),
            throttled: peak.throttled.max(sample.throttled),
        })
    }

    /// The mean rates in an interval, as far as it was measured. None if none of it was.
    #[must_use]
    pub fn rates_in(&self, from: MicroTime, until: MicroTime) -> Option<Rates> {
        let begin = self.samples.partition_point(|sample| sample.until <= from);
        let measured = self.samples.get(begin..)?.iter().take_while(|sample| sample.from < until);
        let mut micros = 0_u128;
        let (mut accepted, mut throttled) = (0_u128, 0_u128);
        for sample in measured {
            let length = sample.until.min(until).since(sample.from.max(from)).as_micros();
            micros += length;
            accepted += length * u128::from(sample.accepted);
            throttled += length * u128::from(sample.throttled);
        }
        let mean = |sum: u128| u64::try_from(sum.checked_div(micros).unwrap_or(0)).unwrap_or(u64::MAX);
        (micros > 0).then(|| Rates { accepted: mean(accepted), throttled: mean(throttled) })
    }
}

fn per_second(count: u128, micros: u128) -> u64 {
    u64::try_from(count.saturating_mul(1_000_000) / micros.max(1)).unwrap_or(u64::MAX)
}

/// One sample for one or two neighbours, with their mean rates.
fn merged(pair: &[Sample]) -> Option<Sample> {
    let [first, .., last] = pair else { return pair.first().copied() };
    let lengths = [first, last].map(|sample| sample.until.since(sample.from).as_micros());
    let mean = |rates: [u64; 2]| {
        let sum: u128 = lengths.iter().zip(rates).map(|(length, rate)| length * u128::from(rate)).sum();
        u64::try_from(sum / lengths.iter().sum::<u128>().max(1)).unwrap_or(u64::MAX)
    };
    Some(Sample {
        from: first.from,
        until: last.until,
        accepted: mean([first.accepted, last.accepted]),
        throttled: mean([first.throttled, last.throttled]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::fixture::sampled;

    fn at(millis: i64) -> MicroTime {
        MicroTime::from_micros(sampled_at(0).as_micros() + millis * 1000)
    }

    fn sampled_at(second: u32) -> MicroTime {
        let text = format!("2026-11-22T10:00:{second:02}Z");
        text.parse::<jiff::Timestamp>().unwrap().into()
    }

    fn rates(accepted: u64, throttled: u64) -> Option<Rates> {
        Some(Rates { accepted, throttled })
    }

    #[test]
    fn intervals_have_mean_rates_and_unwatched_time_has_none() {
        let mut history = History::default();
        history.take(&sampled(10, 12, [1000, 2_000, 50]));
        history.take(&sampled(12, 14, [3000, 8_000, 150]));
        // Nothing new.
        history.take(&sampled(12, 14, [3000, 8_000, 150]));
        // The window overlaps with the last one.
        history.take(&sampled(13, 15, [2000, 10_000, 150]));
        assert_eq!(history.rates_in(at(0), at(10_000)), None, "the time before the watch");
        assert_eq!(history.rates_in(at(10_000), at(11_000)), rates(1000, 0));
        assert_eq!(history.rates_in(at(11_000), at(13_000)), rates(2000, 25));
        assert_eq!(history.rates_in(at(14_000), at(20_000)), rates(2000, 0), "measured for a second of six");
        assert_eq!(history.rates_in(at(15_000), at(20_000)), None);
        assert_eq!(history.peak(), Rates { accepted: 3000, throttled: 50 });
        assert_eq!(history.throttled_now(), 0);
    }

    #[test]
    fn short_gaps_between_windows_are_filled_by_the_counts() {
        let mut history = History::default();
        history.take(&sampled(10, 12, [2000, 10_000, 0]));
        history.take(&sampled(15, 17, [3000, 23_500, 500]));
        assert_eq!(history.rates_in(at(12_000), at(15_000)), rates(2500, 100), "7,500 of 13,500 records");
        assert_eq!(history.rates_in(at(15_000), at(17_000)), rates(3000, 100));
        // More than the windows on both sides: not all of these are from the gap.
        history.take(&sampled(18, 20, [1000, 99_000, 500]));
        assert_eq!(history.rates_in(at(17_000), at(18_000)), rates(3000, 0));
        history.take(&sampled(50, 52, [1000, 199_000, 500]));
        assert_eq!(history.rates_in(at(20_000), at(50_000)), None, "nobody watched");
    }

    #[test]
    fn the_next_run_begins_a_new_history() {
        let mut history = History::default();
        history.take(&sampled(10, 12, [1000, 2_000, 50]));
        let mut next = sampled(12, 14, [3000, 500, 10]);
        next.status.as_mut().unwrap().run.as_mut().unwrap().number = 2;
        history.take(&next);
        assert_eq!(history.rates_in(at(0), at(60_000)), rates(3000, 0));
    }

    #[test]
    fn a_long_watch_keeps_its_mean_within_bounded_memory() {
        let mut history = History::default();
        for second in 0..20_000_i64 {
            let mut demo = sampled(0, 1, [if second % 2 == 0 { 100 } else { 300 }, 0, 0]);
            let traffic = demo.status.as_mut().unwrap().traffic.as_mut().unwrap();
            (traffic.rate_from, traffic.rate_until) =
                (Some(at(second * 1000)), Some(at((second + 1) * 1000)));
            history.take(&demo);
        }
        assert!(history.samples.len() <= MOST);
        assert_eq!(history.rates_in(at(0), at(20_000_000)), rates(200, 0));
    }
}
