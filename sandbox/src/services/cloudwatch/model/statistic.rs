//! Statistics by name. In: a name and a bucket. Out: a number. Pure.

use super::series::MetricBucket;

/// What to compute over a period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    Sum,
    Average,
    Minimum,
    Maximum,
    SampleCount,
    Percentile(f64),
}

impl Statistic {
    /// Parses `Sum` and the other named statistics, and percentiles such as `p99` or `p99.9`.
    /// Trimmed means and related statistics are not modelled.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Sum" => Self::Sum,
            "Average" => Self::Average,
            "Minimum" => Self::Minimum,
            "Maximum" => Self::Maximum,
            "SampleCount" => Self::SampleCount,
            _ => {
                let digits = name.strip_prefix('p')?;
                // "A value between 0.0 and 100, up to ten decimals"; signs and exponents are not
                // allowed.
                if !digits.starts_with(|c: char| c.is_ascii_digit())
                    || !digits.chars().all(|c| c.is_ascii_digit() || c == '.')
                {
                    return None;
                }
                Self::Percentile(digits.parse().ok().filter(|percent| *percent <= 100.0)?)
            }
        })
    }

    pub fn of(self, bucket: &MetricBucket) -> Option<f64> {
        match self {
            Self::Sum => Some(bucket.sum),
            Self::Average => (bucket.count > 0.0).then(|| bucket.sum / bucket.count),
            Self::Minimum => Some(bucket.minimum),
            Self::Maximum => Some(bucket.maximum),
            Self::SampleCount => Some(bucket.count),
            Self::Percentile(percent) => bucket.percentile(percent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::series::Measured;
    use super::*;

    fn bucket() -> MetricBucket {
        let mut bucket = MetricBucket::default();
        bucket.add(&Measured::Values((1..=100).map(|value| (f64::from(value), 1.0)).collect()));
        bucket
    }

    #[test]
    fn named_statistics_and_percentiles_are_computed() {
        for (name, expected) in [
            ("Sum", 5050.0),
            ("Average", 50.5),
            ("Minimum", 1.0),
            ("Maximum", 100.0),
            ("SampleCount", 100.0),
            ("p50", 50.0),
            ("p99", 99.0),
            ("p99.9", 100.0),
            ("p0", 1.0),
            ("p100", 100.0),
        ] {
            assert_eq!(Statistic::parse(name).unwrap().of(&bucket()), Some(expected), "{name}");
        }
    }

    #[test]
    fn unknown_statistics_are_rejected() {
        for name in ["sum", "tm99", "p", "p101", "p-1", "p1e1", "IQM", ""] {
            assert_eq!(Statistic::parse(name), None, "{name}");
        }
    }

    #[test]
    fn a_statistic_set_has_percentiles_only_for_equal_samples() {
        let mut bucket = bucket();
        bucket.add(&Measured::Set([3.0, 9.0, 3.0, 3.0]));
        assert!(Statistic::Percentile(50.0).of(&bucket).is_some());
        bucket.add(&Measured::Set([2.0, 9.0, 3.0, 6.0]));
        assert_eq!(Statistic::Percentile(50.0).of(&bucket), None);
        assert_eq!(Statistic::Sum.of(&bucket), Some(5068.0));
    }
}
