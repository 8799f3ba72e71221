//! The log group into which the tasks write their ledgers.

/// How long lines are kept if the group outlives its run (one of the values that PutRetentionPolicy
/// accepts).
pub const RETENTION_DAYS: u32 = 1;
