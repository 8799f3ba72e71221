//! The CloudWatch operations that are supported, and how each parameter is treated
//! (`crate::operations`).

pub mod dashboards;
pub mod get_metric_data;
pub mod get_metric_statistics;
pub mod list_metrics;
pub mod put_metric_data;
pub mod tags;

use super::errors::{INVALID_DASHBOARD, INVALID_QUERY, INVALID_REQUEST};
use crate::operations::Operation;

const fn operation(name: &'static str, supported: &'static str) -> Operation {
    Operation::supporting(name, INVALID_REQUEST, supported)
}

/// All supported operations.
pub const OPERATIONS: &[Operation] = &[
    operation(
        "PutMetricData",
        "Namespace MetricData.MetricName MetricData.Dimensions.Name MetricData.Dimensions.Value MetricData.Timestamp
         MetricData.Value MetricData.StatisticValues.SampleCount MetricData.StatisticValues.Sum
         MetricData.StatisticValues.Minimum MetricData.StatisticValues.Maximum MetricData.Values MetricData.Counts
         MetricData.Unit MetricData.StorageResolution
         EntityMetricData.MetricData.MetricName EntityMetricData.MetricData.Dimensions.Name
         EntityMetricData.MetricData.Dimensions.Value EntityMetricData.MetricData.Timestamp
         EntityMetricData.MetricData.Value EntityMetricData.MetricData.StatisticValues.SampleCount
         EntityMetricData.MetricData.StatisticValues.Sum EntityMetricData.MetricData.StatisticValues.Minimum
         EntityMetricData.MetricData.StatisticValues.Maximum EntityMetricData.MetricData.Values
         EntityMetricData.MetricData.Counts EntityMetricData.MetricData.Unit
         EntityMetricData.MetricData.StorageResolution",
    )
    .without_effect(&[("EntityMetricData.Entity", "the data is stored; no supported operation returns entities")])
    .rejecting("StrictEntityValidation"),
    Operation::supporting(
        "GetMetricData",
        INVALID_QUERY,
        "MetricDataQueries.Id MetricDataQueries.MetricStat.Metric.Namespace
         MetricDataQueries.MetricStat.Metric.MetricName MetricDataQueries.MetricStat.Metric.Dimensions.Name
         MetricDataQueries.MetricStat.Metric.Dimensions.Value MetricDataQueries.MetricStat.Period
         MetricDataQueries.MetricStat.Stat MetricDataQueries.MetricStat.Unit MetricDataQueries.Label
         MetricDataQueries.ReturnData StartTime EndTime NextToken ScanBy MaxDatapoints",
    )
    .rejecting(
        "MetricDataQueries.Expression MetricDataQueries.Period MetricDataQueries.AccountId LabelOptions",
    ),
    operation(
        "GetMetricStatistics",
        "Namespace MetricName Dimensions.Name Dimensions.Value StartTime EndTime Period Statistics ExtendedStatistics
         Unit",
    ),
    operation("ListMetrics", "Namespace MetricName Dimensions.Name Dimensions.Value NextToken")
        .rejecting("RecentlyActive IncludeLinkedAccounts OwningAccount"),
    Operation::supporting(
        "PutDashboard",
        INVALID_DASHBOARD,
        "DashboardName DashboardBody Tags.Key Tags.Value",
    ),
    operation("GetDashboard", "DashboardName"),
    operation("ListDashboards", "DashboardNamePrefix NextToken"),
    operation("DeleteDashboards", "DashboardNames"),
    operation("TagResource", "ResourceARN Tags.Key Tags.Value"),
    operation("UntagResource", "ResourceARN TagKeys"),
    operation("ListTagsForResource", "ResourceARN"),
];
