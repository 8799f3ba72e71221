//! Axes: from values to pixels, the ticks and their labels. In: finite numbers. Out: the same, and
//! at most a dozen ticks. Pure.

/// A straight line from an interval of values to an interval of pixels. A value outside is clamped.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    from: f64,
    until: f64,
    start: f64,
    end: f64,
}

impl Scale {
    /// `from` becomes `start`, `until` becomes `end`. An empty interval becomes one of length 1.
    #[must_use]
    pub fn new((from, until): (f64, f64), (start, end): (f64, f64)) -> Self {
        let until = if until > from { until } else { from + 1.0 };
        Self { from, until, start, end }
    }

    #[must_use]
    pub fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.until - self.from);
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        self.start + share * (self.end - self.start)
    }

    /// The value at the end of the axis.
    #[must_use]
    pub fn until(&self) -> f64 {
        self.until
    }

    #[must_use]
    pub fn contains(&self, value: f64) -> bool {
        value >= self.from && value <= self.until
    }
}

/// Rounded values from zero up to the first that is not below `highest`, in at most `most` steps.
#[must_use]
pub fn ticks(highest: f64, most: usize) -> Vec<f64> {
    let highest = if highest.is_finite() && highest > 0.0 { highest } else { 1.0 };
    let most = most.clamp(1, 12);
    let rough = highest / most as f64;
    let power = 10f64.powi(rough.log10().floor() as i32);
    let factors = [1.0, 2.0, 2.5, 5.0, 10.0, 20.0];
    // Counts and rates of people: no fraction of a record, shard or task.
    let mut steps = factors.map(|factor| factor * power).into_iter().filter(|step| step.fract() == 0.0);
    let step = steps.find(|step| step * most as f64 >= highest).unwrap_or(power * 20.0).max(1.0);
    let count = (highest / step).ceil().clamp(1.0, 12.0) as u32;
    (0..=count).map(|index| f64::from(index) * step).collect()
}

/// The greatest decade, as a power of ten, that an axis of latencies needs: 1 for 10 ms.
#[must_use]
pub fn decades(highest_millis: f64) -> u32 {
    (highest_millis.max(1.0).log10().ceil() as u32).clamp(1, 10)
}

const TIME_STEPS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0,
    21_600.0, 43_200.0, 86_400.0,
];

/// Rounded instants within an interval, in at most `most` steps, zero among them if it is within.
#[must_use]
pub fn time_ticks(from: f64, until: f64, most: usize) -> Vec<f64> {
    let most = most.clamp(1, 24) as f64;
    let long = until - from;
    let step = TIME_STEPS.iter().copied().find(|step| long / step <= most).unwrap_or_else(|| {
        let days = (long / 86_400.0 / most).max(1.0);
        let power = 10f64.powi(days.log10().ceil() as i32);
        86_400.0 * power
    });
    let first = (from / step).ceil();
    let count = ((until / step).floor() - first).clamp(0.0, 30.0) as u32;
    (0..=count).map(|index| (first + f64::from(index)) * step).filter(|at| *at <= until).collect()
}

/// A number for an axis: `0`, `500`, `2.5k`, `50k`, `1M`.
#[must_use]
pub fn short(value: f64) -> String {
    let units = [(1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    if value >= 1e21 {
        return format!("{value:.0e}");
    }
    match units.into_iter().find(|(unit, _)| value >= *unit) {
        Some((unit, letter)) => format!("{}{letter}", trimmed(value / unit)),
        None => trimmed(value),
    }
}

/// A latency for an axis: `10 ms`, `1 s`, `2m46s`.
#[must_use]
pub fn millis(value: f64) -> String {
    if value < 1e3 {
        return format!("{} ms", trimmed(value));
    }
    if value < 6e4 {
        return format!("{} s", trimmed(value / 1e3));
    }
    crate::text::span(std::time::Duration::from_secs((value / 1e3) as u64))
}

/// An instant for an axis: `0`, `10s`, `-5s`, `2m`, `1m30s`, `1h`.
#[must_use]
pub fn clock(seconds: f64) -> String {
    let total = seconds.abs().round() as u64;
    let sign = if seconds < 0.0 && total > 0 { "-" } else { "" };
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut rest = total;
    let mut text = String::from(sign);
    for (unit, letter) in units {
        if rest >= unit {
            text.push_str(&format!("{}{letter}", rest / unit));
            rest %= unit;
        }
    }
    if total == 0 { "0".to_owned() } else { text }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(50_000.0, 4), [0.0, 20_000.0, 40_000.0, 60_000.0]);
        assert_eq!(ticks(50_000.0, 5), [0.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0]);
        assert_eq!(ticks(3.0, 3), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(ticks(0.0, 4), [0.0, 1.0]);
        assert_eq!(ticks(f64::INFINITY, 4), [0.0, 1.0]);
        for highest in [1.0, 4.0, 7.3, 16.0, 99.0, 101.0, 1e9, 1.8e22, 1e300] {
            for most in 1..=12 {
                let ticks = ticks(highest, most);
                assert!(ticks.len() <= most + 1, "{highest} {most}: {ticks:?}");
                assert!(*ticks.last().unwrap() >= highest * 0.999_999, "{highest} {most}: {ticks:?}");
            }
        }
    }

    #[test]
    fn times_have_ticks_for_seconds_and_for_centuries() {
        assert_eq!(time_ticks(-5.0, 47.0, 6), [0.0, 10.0, 20.0, 30.0, 40.0]);
        assert_eq!(time_ticks(0.0, 28_800.0, 8).len(), 9);
        assert!(time_ticks(-9e12, 9e12, 8).len() < 30);
        assert!(time_ticks(0.0, 0.001, 8).len() == 1);
    }

    #[test]
    fn labels_are_short() {
        let shown = [0.0, 500.0, 2_500.0, 50_000.0, 1e6, 1.8e22].map(short);
        assert_eq!(shown, ["0", "500", "2.5k", "50k", "1M", "2e22"]);
        assert_eq!(
            [0.0, -5.0, 90.0, 120.0, 3_600.0, 90_000.0].map(clock),
            ["0", "-5s", "1m30s", "2m", "1h", "1d1h"]
        );
        assert_eq!([1.0, 100.0, 10_000.0, 100_000.0].map(millis), ["1 ms", "100 ms", "10 s", "1m40s"]);
    }

    #[test]
    fn values_outside_are_clamped() {
        let scale = Scale::new((0.0, 10.0), (100.0, 200.0));
        assert_eq!(
            [-5.0, 0.0, 5.0, 99.0, f64::NAN].map(|value| scale.at(value)),
            [100.0, 100.0, 150.0, 200.0, 100.0]
        );
    }
}
