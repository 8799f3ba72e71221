//! Whether a complete run was a success. In: its books. Out: why it was not. Pure.

use kinesis_demo_api::conditions::Reason;
use kinesis_demo_api::status::BooksStatus;

/// A complete run fails only if nothing of it arrived. Throttling is what the demo is there to show, not a failure.
pub fn failure(books: &BooksStatus) -> Option<(Reason, String)> {
    (books.scheduled > 0 && books.accepted == 0).then(|| {
        let message = format!(
            "none of {} scheduled records is known to be accepted: {} failed, {} were dropped, {} unknown, {} unoffered, {} unreported",
            books.scheduled, books.failed, books.dropped, books.unknown, books.unoffered, books.unreported
        );
        (Reason::NothingDelivered, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_fails_only_if_nothing_arrived() {
        let books =
            |scheduled, accepted| BooksStatus { scheduled, accepted, throttled: 9, ..BooksStatus::default() };
        assert_eq!(failure(&books(100, 1)), None);
        assert_eq!(failure(&books(0, 0)), None);
        assert!(matches!(failure(&books(100, 0)), Some((Reason::NothingDelivered, _))));
    }
}
