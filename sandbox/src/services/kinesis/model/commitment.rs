//! On-demand Advantage: the account's minimum throughput billing commitment in one region. Pure;
//! model time.
//!
//! API reference, `MinimumThroughputBillingCommitmentInput`: a commitment lasts at least 24 hours.
//! If it is disabled earlier, it continues as `ENABLED_UNTIL_EARLIEST_ALLOWED_END` and then ends by
//! itself. If it is enabled again before that, it continues.

use jiff::{SignedDuration, Timestamp};

/// The minimum duration of a commitment.
pub const MINIMUM: SignedDuration = SignedDuration::from_hours(24);

/// The state requested by `UpdateAccountSettings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DesiredState {
    /// Commit.
    Enabled,
    /// End the commitment as soon as allowed.
    Disabled,
}

/// The commitment as `DescribeAccountSettings` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commitment {
    /// No commitment; `last` is the previous one.
    Disabled {
        /// When the last commitment began and ended.
        last: Option<(Timestamp, Timestamp)>,
    },
    /// Committed.
    Enabled {
        /// When the commitment began.
        started_at: Timestamp,
    },
    /// Committed until the earliest allowed end.
    Ending {
        /// When the commitment began.
        started_at: Timestamp,
    },
}

impl Commitment {
    /// An account that never committed.
    pub const NEVER: Self = Self::Disabled { last: None };

    /// Ends the commitment if its end is due.
    pub fn advance(&mut self, now: Timestamp) {
        if let Self::Ending { started_at } = *self {
            let ends_at = earliest_end(started_at);
            if now >= ends_at {
                *self = Self::Disabled { last: Some((started_at, ends_at)) };
            }
        }
    }

    /// Applies `UpdateAccountSettings`.
    pub fn update(&mut self, desired_state: DesiredState, now: Timestamp) {
        self.advance(now);
        *self = match (*self, desired_state) {
            (Self::Disabled { .. }, DesiredState::Enabled) => Self::Enabled { started_at: now },
            (Self::Ending { started_at }, DesiredState::Enabled) => Self::Enabled { started_at },
            (Self::Enabled { started_at }, DesiredState::Disabled) if now < earliest_end(started_at) => {
                Self::Ending { started_at }
            }
            (Self::Enabled { started_at }, DesiredState::Disabled) => {
                Self::Disabled { last: Some((started_at, now)) }
            }
            (unchanged, _) => unchanged,
        };
    }

    /// Whether the account is committed, which makes warm throughput available.
    pub fn is_committed(&self) -> bool {
        !matches!(self, Self::Disabled { .. })
    }

    /// The status in the API.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Disabled { .. } => "DISABLED",
            Self::Enabled { .. } => "ENABLED",
            Self::Ending { .. } => "ENABLED_UNTIL_EARLIEST_ALLOWED_END",
        }
    }

    /// When the commitment began, if there ever was one.
    pub fn started_at(&self) -> Option<Timestamp> {
        match *self {
            Self::Disabled { last } => last.map(|(started_at, _)| started_at),
            Self::Enabled { started_at } | Self::Ending { started_at } => Some(started_at),
        }
    }

    /// When the commitment ended, if it did.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match *self {
            Self::Disabled { last } => last.map(|(_, ended_at)| ended_at),
            Self::Enabled { .. } | Self::Ending { .. } => None,
        }
    }

    /// The earliest end of an active commitment.
    pub fn earliest_allowed_end_at(&self) -> Option<Timestamp> {
        match *self {
            Self::Disabled { .. } => None,
            Self::Enabled { started_at } | Self::Ending { started_at } => Some(earliest_end(started_at)),
        }
    }
}

fn earliest_end(started_at: Timestamp) -> Timestamp {
    started_at.saturating_add(MINIMUM).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn hours(hours: i64) -> Timestamp {
        T0 + SignedDuration::from_hours(hours)
    }

    #[test]
    fn an_early_disable_takes_effect_after_24_hours() {
        let mut commitment = Commitment::NEVER;
        commitment.update(DesiredState::Enabled, T0);
        commitment.update(DesiredState::Disabled, hours(3));
        assert_eq!(commitment.status(), "ENABLED_UNTIL_EARLIEST_ALLOWED_END");
        assert_eq!(commitment.earliest_allowed_end_at(), Some(hours(24)));
        commitment.advance(hours(24) - SignedDuration::from_nanos(1));
        assert!(commitment.is_committed());
        commitment.advance(hours(24));
        assert_eq!(commitment, Commitment::Disabled { last: Some((T0, hours(24))) });
    }

    #[test]
    fn enabling_again_cancels_the_pending_end_and_keeps_the_start() {
        let mut commitment = Commitment::NEVER;
        commitment.update(DesiredState::Enabled, T0);
        commitment.update(DesiredState::Disabled, hours(3));
        commitment.update(DesiredState::Enabled, hours(4));
        commitment.advance(hours(100));
        assert_eq!(commitment, Commitment::Enabled { started_at: T0 });
    }

    #[test]
    fn after_24_hours_disabling_takes_effect_at_once() {
        let mut commitment = Commitment::NEVER;
        commitment.update(DesiredState::Enabled, T0);
        commitment.update(DesiredState::Disabled, hours(24));
        assert_eq!((commitment.status(), commitment.ended_at()), ("DISABLED", Some(hours(24))));
        commitment.update(DesiredState::Enabled, hours(30));
        assert_eq!(commitment.earliest_allowed_end_at(), Some(hours(54)));
    }

    #[test]
    fn requesting_the_current_state_changes_nothing() {
        let mut commitment = Commitment::NEVER;
        commitment.update(DesiredState::Disabled, hours(1));
        assert_eq!(commitment, Commitment::NEVER);
        commitment.update(DesiredState::Enabled, hours(1));
        commitment.update(DesiredState::Enabled, hours(9));
        assert_eq!(commitment.started_at(), Some(hours(1)));
    }
}
