//! The CloudWatch operations that are offered, and how each member is treated
//! (`crate::operations`).

use super::REFUSAL;
use crate::operations::Operation;

const fn offered(name: &'static str, honoured: &'static str) -> Operation {
    Operation::honouring(name, REFUSAL, honoured)
}

/// All offered operations.
pub(super) const OPERATIONS: &[Operation] = &[
    offered(
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
    .idle(&[("EntityMetricData.Entity", "the data is stored; no offered operation returns entities")])
    .refusing("StrictEntityValidation"),
    Operation::honouring(
        "GetMetricData",
        super::queries::REFUSAL,
        "MetricDataQueries.Id MetricDataQueries.MetricStat.Metric.Namespace
         MetricDataQueries.MetricStat.Metric.MetricName MetricDataQueries.MetricStat.Metric.Dimensions.Name
         MetricDataQueries.MetricStat.Metric.Dimensions.Value MetricDataQueries.MetricStat.Period
         MetricDataQueries.MetricStat.Stat MetricDataQueries.MetricStat.Unit MetricDataQueries.Label
         MetricDataQueries.ReturnData StartTime EndTime NextToken ScanBy MaxDatapoints",
    )
    .refusing(
        "MetricDataQueries.Expression MetricDataQueries.Period MetricDataQueries.AccountId LabelOptions",
    ),
    offered(
        "GetMetricStatistics",
        "Namespace MetricName Dimensions.Name Dimensions.Value StartTime EndTime Period Statistics ExtendedStatistics
         Unit",
    ),
    offered("ListMetrics", "Namespace MetricName Dimensions.Name Dimensions.Value NextToken")
        .refusing("RecentlyActive IncludeLinkedAccounts OwningAccount"),
    Operation::honouring(
        "PutDashboard",
        "DashboardInvalidInputError",
        "DashboardName DashboardBody Tags.Key Tags.Value",
    ),
    offered("GetDashboard", "DashboardName"),
    offered("ListDashboards", "DashboardNamePrefix NextToken"),
    offered("DeleteDashboards", "DashboardNames"),
    offered("TagResource", "ResourceARN Tags.Key Tags.Value"),
    offered("UntagResource", "ResourceARN TagKeys"),
    offered("ListTagsForResource", "ResourceARN"),
];
