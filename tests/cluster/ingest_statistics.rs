//! How far arrivals deviate from the plan. In: records per 100 ms, as counted by the sandbox, and a
//! constant rate. Out: the window of two seconds with the largest deviation. Pure.

use jiff::{SignedDuration, Timestamp};
use kinesis_demo_local_cluster::sandbox::boundaries::Bucket;

const WINDOW: SignedDuration = SignedDuration::from_secs(2);
const BUCKET: SignedDuration = SignedDuration::from_millis(100);

/// The records that arrived in two seconds, and the deviation from the plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    pub at: Timestamp,
    pub records: u64,
    /// In percent of the plan. 0 means exactly as planned.
    pub percent_off: f64,
}

/// All windows between the two instants, one starting at each bucket. A bucket that is not listed
/// is empty.
pub fn windows(buckets: &[Bucket], from: Timestamp, until: Timestamp, per_second: u32) -> Vec<Window> {
    let width = BUCKET.as_millis() as i64;
    let first = from.as_millisecond().div_euclid(width) + 1;
    let last = (until - WINDOW).as_millisecond().div_euclid(width);
    let planned = f64::from(per_second) * WINDOW.as_secs_f64();
    let window = |index: i64| {
        let at = Timestamp::from_millisecond(index * width).unwrap();
        let begin = buckets.partition_point(|bucket| bucket.at < at);
        let end = buckets.partition_point(|bucket| bucket.at < at + WINDOW);
        let records = buckets[begin..end].iter().map(|bucket| bucket.records).sum();
        Window { at, records, percent_off: (records as f64 - planned).abs() * 100.0 / planned }
    };
    (first..=last).map(window).collect()
}

/// The window with the largest deviation from the plan.
pub fn worst(windows: &[Window]) -> Window {
    *windows
        .iter()
        .max_by(|one, other| one.percent_off.total_cmp(&other.percent_off))
        .expect("the traffic lasted less than two seconds")
}

#[test]
fn a_second_without_records_is_half_a_window() {
    let start = Timestamp::from_second(1_000).unwrap();
    let at = |tenth: i64| start + BUCKET * i32::try_from(tenth).unwrap();
    let buckets: Vec<_> = (0..100)
        .filter(|tenth| !(40..50).contains(tenth))
        .map(|tenth| Bucket { at: at(tenth), records: 10 })
        .collect();
    let found = windows(&buckets, start, at(100), 100);
    assert_eq!(found.len(), 80);
    assert_eq!(found[0], Window { at: at(1), records: 200, percent_off: 0.0 });
    assert_eq!((worst(&found).records, worst(&found).percent_off), (100, 50.0));
}
