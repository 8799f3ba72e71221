//! The schedules of Application Auto Scaling. Pure.

pub mod schedule;
