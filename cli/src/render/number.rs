//! Formats numbers and durations. Pure.

use std::time::Duration;

pub use kinesis_demo_report::text::{grouped, per_second, span};

/// At most three digits and a unit: `999`, `12.3k`, `679k`, `2.40M`; below 100,000 in full. Rounded
/// down.
#[must_use]
pub fn compact(number: u64) -> String {
    match number {
        0..100_000 => grouped(number),
        _ => three_digits(number),
    }
}

/// The same for those who see it from afar: `9,999`, `12.3k`, `679k`, `2.40M`.
#[must_use]
pub fn brief(number: u64) -> String {
    match number {
        0..10_000 => grouped(number),
        _ => three_digits(number),
    }
}

fn three_digits(number: u64) -> String {
    let units = ["k", "M", "G", "T", "P", "E"];
    let mut thousandths = number;
    let mut unit = "";
    for next in units {
        if thousandths < 1_000_000 && !unit.is_empty() {
            break;
        }
        if !unit.is_empty() {
            thousandths /= 1000;
        }
        unit = next;
    }
    let (whole, rest) = (thousandths / 1000, thousandths % 1000);
    match whole {
        0..10 => format!("{whole}.{:02}{unit}", rest / 10),
        10..100 => format!("{whole}.{}{unit}", rest / 100),
        _ => format!("{whole}{unit}"),
    }
}

/// The time until an instant, rounded up to whole seconds, so that zero is shown only at the end.
#[must_use]
pub fn countdown(left: Duration) -> String {
    span(left + Duration::from_nanos(999_999_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_by_thousands() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1000, "1,000"), (50_000, "50,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn large_numbers_have_three_digits_and_a_unit() {
        for (number, text) in [
            (0, "0"),
            (99_999, "99,999"),
            (100_000, "100k"),
            (679_113, "679k"),
            (999_999, "999k"),
            (1_000_000, "1.00M"),
            (2_408_000, "2.40M"),
            (12_345_678, "12.3M"),
            (5_000_000_000, "5.00G"),
            (u64::MAX, "18.4E"),
        ] {
            assert_eq!(compact(number), text);
        }
        for (number, text) in [(9_999, "9,999"), (10_000, "10.0k"), (64_932, "64.9k"), (164_000, "164k")] {
            assert_eq!(brief(number), text);
        }
    }

    #[test]
    fn countdown_reaches_zero_only_at_the_end() {
        for (millis, text) in [(0, "0s"), (1, "1s"), (1000, "1s"), (1001, "2s"), (59_001, "1m00s")] {
            assert_eq!(countdown(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn rates_are_rounded_and_zero_durations_are_allowed() {
        assert_eq!(per_second(100, Duration::from_millis(2000)), 50);
        assert_eq!(per_second(2, Duration::from_millis(3000)), 1);
        assert_eq!(per_second(0, Duration::ZERO), 0);
    }
}
