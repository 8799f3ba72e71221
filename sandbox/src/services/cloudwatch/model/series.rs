//! The stored metrics: series of buckets, each one second or one minute wide. In: data points. Out:
//! buckets. Limited in memory; no I/O.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

/// The time after its arrival until a data point appears in reads, in model time. "Can take up to
/// two minutes for a new metric, up to fifteen to appear in ListMetrics" (PutMetricData reference).
/// Data of an existing metric appears within seconds.
const DATA_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// The time until a new metric appears in ListMetrics, in model time.
const LIST_DELAY: SignedDuration = SignedDuration::from_mins(1);
/// The maximum number of buckets per series: five and a half hours of seconds or 13 days of
/// minutes. AWS keeps seconds for 3 hours and minutes for 15 days. Aggregation of seconds into
/// minutes is not modelled.
const BUCKETS_KEPT: usize = 20_000;
/// The maximum number of distinct values per bucket. A bucket with more has no percentiles. Our
/// choice.
const VALUES_KEPT: usize = 5_000;
/// The maximum number of series per region; data of further series is dropped. Our choice.
const SERIES_KEPT: usize = 50_000;

/// A metric's identity: namespace, name, dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

/// The values of one datum.
#[derive(Clone, Debug, PartialEq)]
pub enum Measured {
    /// Values with their counts.
    Values(Vec<(f64, f64)>),
    /// Sample count, sum, minimum, maximum.
    Set([f64; 4]),
}

#[derive(Clone, Debug)]
pub struct Datum {
    pub key: Key,
    pub unit: String,
    /// Epoch seconds, rounded down to the storage resolution.
    pub second: i64,
    pub measured: Measured,
}

/// All data of one second or minute.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricBucket {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// The count of each value, by the value's bits; `None` if the individual values are not known.
    values: Option<HashMap<u64, f64>>,
}

impl Default for MetricBucket {
    fn default() -> Self {
        Self {
            count: 0.0,
            sum: 0.0,
            minimum: f64::INFINITY,
            maximum: f64::NEG_INFINITY,
            values: Some(HashMap::new()),
        }
    }
}

impl MetricBucket {
    pub fn add(&mut self, measured: &Measured) {
        match measured {
            Measured::Values(values) => {
                for (value, count) in values {
                    self.count += count;
                    self.sum += value * count;
                    self.minimum = self.minimum.min(*value);
                    self.maximum = self.maximum.max(*value);
                    if let Some(counts) = &mut self.values {
                        *counts.entry(value.to_bits()).or_default() += count;
                    }
                }
            }
            Measured::Set([count, sum, minimum, maximum]) => {
                self.count += count;
                self.sum += sum;
                self.minimum = self.minimum.min(*minimum);
                self.maximum = self.maximum.max(*maximum);
                // If there is one sample, or all are equal, their values are known ("Percentiles",
                // statistics definitions).
                match &mut self.values {
                    Some(counts) if *count == 1.0 || minimum == maximum => {
                        *counts.entry(minimum.to_bits()).or_default() += count;
                    }
                    values => *values = None,
                }
            }
        }
        self.limit_values();
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        match (&mut self.values, &other.values) {
            (Some(counts), Some(other_counts)) => {
                for (value, count) in other_counts {
                    *counts.entry(*value).or_default() += count;
                }
            }
            _ => self.values = None,
        }
    }

    fn limit_values(&mut self) {
        if self.values.as_ref().is_some_and(|values| values.len() > VALUES_KEPT) {
            self.values = None;
        }
    }

    /// The percentile: the smallest value that at least `percent` of the samples do not exceed.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let mut values: Vec<(f64, f64)> =
            self.values.as_ref()?.iter().map(|(bits, count)| (f64::from_bits(*bits), *count)).collect();
        values.sort_by(|left, right| left.0.total_cmp(&right.0));
        let rank = self.count * percent / 100.0;
        let mut seen = 0.0;
        for (value, count) in &values {
            seen += count;
            if seen >= rank {
                return Some(*value);
            }
        }
        values.last().map(|(value, _)| *value)
    }
}

#[derive(Debug)]
struct Metric {
    listed_at: Timestamp,
    /// By unit, then by second.
    units: BTreeMap<String, BTreeMap<i64, MetricBucket>>,
}

/// One region's metrics.
#[derive(Debug, Default)]
pub struct Metrics {
    arriving: VecDeque<(Timestamp, Datum)>,
    metrics: BTreeMap<Key, Metric>,
}

impl Metrics {
    pub fn enqueue(&mut self, data: impl IntoIterator<Item = Datum>, now: Timestamp) {
        let visible_at = now.saturating_add(DATA_DELAY).unwrap_or(now);
        self.arriving.extend(data.into_iter().map(|datum| (visible_at, datum)));
    }

    /// Stores the data points that are visible by `now`.
    pub fn ingest_due(&mut self, now: Timestamp) {
        while self.arriving.front().is_some_and(|(at, _)| *at <= now) {
            let Some((visible_at, datum)) = self.arriving.pop_front() else { break };
            let full = self.metrics.len() >= SERIES_KEPT;
            if full && !self.metrics.contains_key(&datum.key) {
                continue;
            }
            let metric = self.metrics.entry(datum.key).or_insert_with(|| Metric {
                listed_at: visible_at.saturating_add(LIST_DELAY - DATA_DELAY).unwrap_or(visible_at),
                units: BTreeMap::new(),
            });
            let buckets = metric.units.entry(datum.unit).or_default();
            buckets.entry(datum.second).or_default().add(&datum.measured);
            while buckets.len() > BUCKETS_KEPT {
                buckets.pop_first();
            }
        }
    }

    /// The buckets of a metric from `start` (inclusive) to `end` (exclusive), merged into periods.
    /// Without a unit, data of all units is merged.
    pub fn buckets_by_period(
        &self,
        key: &Key,
        unit: Option<&str>,
        (start, end): (i64, i64),
        period: i64,
    ) -> BTreeMap<i64, MetricBucket> {
        let mut periods: BTreeMap<i64, MetricBucket> = BTreeMap::new();
        let Some(metric) = self.metrics.get(key) else { return periods };
        for (_, buckets) in metric.units.iter().filter(|(name, _)| unit.is_none_or(|unit| unit == *name)) {
            for (second, bucket) in buckets.range(start..end.max(start)) {
                periods.entry(second.div_euclid(period) * period).or_default().merge(bucket);
            }
        }
        periods
    }

    /// The unit of a metric, if all its data has the same.
    pub fn unit(&self, key: &Key) -> Option<&str> {
        let mut units = self.metrics.get(key)?.units.keys();
        let first = units.next()?;
        units.next().is_none().then_some(first.as_str())
    }

    /// The metrics that ListMetrics shows at `now`.
    pub fn listed(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.metrics.iter().filter(move |(_, metric)| metric.listed_at <= now).map(|(key, _)| key)
    }

    /// All metrics, including those that ListMetrics does not show yet.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.metrics.keys()
    }

    /// The number of data points that are not visible yet.
    pub fn arriving_count(&self) -> usize {
        self.arriving.len()
    }
}
