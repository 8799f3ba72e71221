//! The filter patterns of CloudWatch Logs. Pure.

pub mod filter_pattern;
