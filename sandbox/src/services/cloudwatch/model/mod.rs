//! The rules of CloudWatch: how data points are aggregated, and what a dashboard's body may
//! contain. Pure.

pub mod dashboard_body;
pub mod series;
pub mod statistic;
