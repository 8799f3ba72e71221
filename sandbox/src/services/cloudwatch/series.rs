//! Metrics as they are kept: series of buckets, one second or one minute wide. In: data points. Out: buckets. Bounded in memory;
//! touches nothing outside.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How long after its arrival a data point shows up in reads, in model time. "Can take up to two minutes for a new metric,
/// up to fifteen to appear in ListMetrics" (PutMetricData reference); data of a known metric is there within seconds.
const DATA_DELAY: SignedDuration = SignedDuration::from_secs(2);
/// And a new metric in ListMetrics, in model time.
const LIST_DELAY: SignedDuration = SignedDuration::from_mins(1);
/// Buckets kept per series: five and a half hours of seconds or 13 days of minutes. AWS keeps seconds for 3 hours and minutes
/// for 15 days; rolling seconds up into minutes is not modelled.
const BUCKETS_KEPT: usize = 20_000;
/// Different values kept per bucket; with more, the bucket gives no percentiles. Ours.
const VALUES_KEPT: usize = 5_000;
/// Series kept per region; what comes beyond is dropped. Ours.
const SERIES_KEPT: usize = 50_000;

/// A metric's identity: namespace, name, dimensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub namespace: String,
    pub name: String,
    pub dimensions: BTreeMap<String, String>,
}

/// What one datum contributes.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Measured {
    /// Values and how often each occurred.
    Values(Vec<(f64, f64)>),
    /// Sample count, sum, minimum, maximum.
    Set([f64; 4]),
}

#[derive(Clone, Debug)]
pub(super) struct Datum {
    pub key: Key,
    pub unit: String,
    /// Epoch seconds, cut to the storage resolution.
    pub second: i64,
    pub measured: Measured,
}

/// Everything measured within a second or a minute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bucket {
    pub count: f64,
    pub sum: f64,
    pub minimum: f64,
    pub maximum: f64,
    /// Occurrences by the value's bits; `None` once the single values are unknown.
    values: Option<HashMap<u64, f64>>,
}

impl Default for Bucket {
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

impl Bucket {
    pub fn add(&mut self, measured: &Measured) {
        match measured {
            Measured::Values(values) => {
                for (value, count) in values {
                    self.count += count;
                    self.sum += value * count;
                    self.minimum = self.minimum.min(*value);
                    self.maximum = self.maximum.max(*value);
                    if let Some(held) = &mut self.values {
                        *held.entry(value.to_bits()).or_default() += count;
                    }
                }
            }
            Measured::Set([count, sum, minimum, maximum]) => {
                self.count += count;
                self.sum += sum;
                self.minimum = self.minimum.min(*minimum);
                self.maximum = self.maximum.max(*maximum);
                // One sample, or equal ones, are known all the same ("Percentiles", statistics definitions).
                match &mut self.values {
                    Some(held) if *count == 1.0 || minimum == maximum => {
                        *held.entry(minimum.to_bits()).or_default() += count;
                    }
                    values => *values = None,
                }
            }
        }
        self.forget_too_many();
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.minimum = self.minimum.min(other.minimum);
        self.maximum = self.maximum.max(other.maximum);
        match (&mut self.values, &other.values) {
            (Some(held), Some(more)) => {
                for (value, count) in more {
                    *held.entry(*value).or_default() += count;
                }
            }
            _ => self.values = None,
        }
    }

    fn forget_too_many(&mut self) {
        if self.values.as_ref().is_some_and(|values| values.len() > VALUES_KEPT) {
            self.values = None;
        }
    }

    /// The smallest value that at least `percent` of the samples do not exceed.
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
struct RegionMetrics {
    listed_at: Timestamp,
    /// By unit, then by second.
    units: BTreeMap<String, BTreeMap<i64, Bucket>>,
}

/// One region's metrics.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    arriving: VecDeque<(Timestamp, Datum)>,
    held: BTreeMap<Key, RegionMetrics>,
}

impl Metrics {
    pub fn arrive(&mut self, data: impl IntoIterator<Item = Datum>, now: Timestamp) {
        let visible_at = now.saturating_add(DATA_DELAY).unwrap_or(now);
        self.arriving.extend(data.into_iter().map(|datum| (visible_at, datum)));
    }

    /// Files what has become visible by `now`.
    pub fn settle(&mut self, now: Timestamp) {
        while self.arriving.front().is_some_and(|(at, _)| *at <= now) {
            let Some((visible_at, datum)) = self.arriving.pop_front() else { break };
            let full = self.held.len() >= SERIES_KEPT;
            if full && !self.held.contains_key(&datum.key) {
                continue;
            }
            let held = self.held.entry(datum.key).or_insert_with(|| RegionMetrics {
                listed_at: visible_at.saturating_add(LIST_DELAY - DATA_DELAY).unwrap_or(visible_at),
                units: BTreeMap::new(),
            });
            let buckets = held.units.entry(datum.unit).or_default();
            buckets.entry(datum.second).or_default().add(&datum.measured);
            while buckets.len() > BUCKETS_KEPT {
                buckets.pop_first();
            }
        }
    }

    /// The buckets of a metric from `start` to before `end`, gathered into periods. Without a unit, all units together.
    pub fn gathered(
        &self,
        key: &Key,
        unit: Option<&str>,
        (start, end): (i64, i64),
        period: i64,
    ) -> BTreeMap<i64, Bucket> {
        let mut periods: BTreeMap<i64, Bucket> = BTreeMap::new();
        let Some(held) = self.held.get(key) else { return periods };
        for (_, buckets) in held.units.iter().filter(|(name, _)| unit.is_none_or(|unit| unit == *name)) {
            for (second, bucket) in buckets.range(start..end.max(start)) {
                periods.entry(second.div_euclid(period) * period).or_default().merge(bucket);
            }
        }
        periods
    }

    /// The unit of a metric, where all its data has the same.
    pub fn unit(&self, key: &Key) -> Option<&str> {
        let mut units = self.held.get(key)?.units.keys();
        let first = units.next()?;
        units.next().is_none().then_some(first.as_str())
    }

    /// The metrics that ListMetrics shows at `now`.
    pub fn listed(&self, now: Timestamp) -> impl Iterator<Item = &Key> {
        self.held.iter().filter(move |(_, held)| held.listed_at <= now).map(|(key, _)| key)
    }

    pub fn state(&self) -> Value {
        let mut namespaces: BTreeMap<&str, usize> = BTreeMap::new();
        for key in self.held.keys() {
            *namespaces.entry(&key.namespace).or_default() += 1;
        }
        json!({"metricsByNamespace": namespaces, "arriving": self.arriving.len()})
    }
}
