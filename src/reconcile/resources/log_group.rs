//! The log group into which the tasks write their ledgers.

/// How long lines are kept should the group outlive its run (one of the values that PutRetentionPolicy takes).
pub const RETENTION_DAYS: u32 = 1;
