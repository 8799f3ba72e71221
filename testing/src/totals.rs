//! What must hold of every run's totals.

use kinesis_demo_api::status::TotalsStatus;

/// offered = accepted + failed + dropped + unknown,
/// scheduled + excess = offered + unoffered + unreported.
pub fn assert_balanced(totals: &TotalsStatus) {
    assert_eq!(
        totals.offered,
        totals.accepted + totals.failed + totals.dropped + totals.unknown,
        "{totals:?}"
    );
    assert_eq!(
        totals.scheduled + totals.excess,
        totals.offered + totals.unoffered + totals.unreported,
        "{totals:?}"
    );
}
