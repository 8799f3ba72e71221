//! AWS's API rate limits per operation, as token buckets in wall time (independent of `--speed`).
//! No I/O.
//!
//! Operations without a published limit are not limited. Limits per shard are enforced in
//! `kinesis`.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use serde_json::Value;

use crate::call::AwsError;
use crate::token_bucket::{Rate, TokenBucket};

/// Beyond this number, full buckets are dropped. The number is ours.
const MOST_BUCKETS: usize = 4096;

/// What one bucket is shared by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The account in one region.
    Region,
    /// One stream.
    Stream,
}

/// One published limit; the operations of a rule share its bucket.
struct RateRule {
    service: &'static str,
    operations: &'static [&'static str],
    rate: Rate,
    /// Regions with a different rate.
    elsewhere: &'static [(&'static str, i64)],
    scope: Scope,
}

impl RateRule {
    /// The rate in this region.
    fn rate(&self, region: &str) -> Rate {
        let other = self.elsewhere.iter().find(|(name, _)| *name == region);
        other.map_or(self.rate, |(_, per_second)| Rate::steady(*per_second))
    }
}

const fn region(
    service: &'static str,
    operations: &'static [&'static str],
    burst: i64,
    per_second: i64,
) -> RateRule {
    RateRule { service, operations, rate: Rate { burst, per_second }, elsewhere: &[], scope: Scope::Region }
}

/// One operation with different rates in some regions.
const fn by_region(
    service: &'static str,
    operations: &'static [&'static str],
    per_second: i64,
    elsewhere: &'static [(&'static str, i64)],
) -> RateRule {
    RateRule { service, operations, rate: Rate::steady(per_second), elsewhere, scope: Scope::Region }
}

const fn stream(operations: &'static [&'static str], per_second: i64) -> RateRule {
    RateRule {
        service: "kinesis",
        operations,
        rate: Rate::steady(per_second),
        elsewhere: &[],
        scope: Scope::Stream,
    }
}

/// Kinesis: API reference, each operation's page ("limit of N transactions per second per
/// account"), and the developer guide's "Quotas and limits". ECS: API reference, "Request
/// throttling for the Amazon ECS API" (bucket size and refill rate per group of actions). Systems
/// Manager: General Reference, "Parameter Store" quotas at standard throughput. CloudWatch and
/// CloudWatch Logs: their user guides' "service quotas". STS: IAM user guide, "quotas".
const RULES: &[RateRule] = &[
    region("kinesis", &["CreateStream"], 5, 5),
    region("kinesis", &["DeleteStream"], 5, 5),
    region("kinesis", &["UpdateStreamWarmThroughput"], 5, 5),
    region("kinesis", &["DescribeAccountSettings"], 5, 5),
    region("kinesis", &["UpdateAccountSettings"], 5, 5),
    region("kinesis", &["DescribeStreamSummary"], 20, 20),
    region("kinesis", &["DescribeStream"], 10, 10),
    region("kinesis", &["DescribeLimits"], 1, 1),
    region("kinesis", &["ListStreams"], 5, 5),
    region("kinesis", &["TagResource"], 5, 5),
    region("kinesis", &["UntagResource"], 5, 5),
    region("kinesis", &["ListTagsForResource"], 5, 5),
    region("kinesis", &["AddTagsToStream"], 5, 5),
    region("kinesis", &["RemoveTagsFromStream"], 5, 5),
    region("kinesis", &["ListTagsForStream"], 5, 5),
    stream(&["ListShards"], 1000),
    stream(&["IncreaseStreamRetentionPeriod"], 5),
    stream(&["DecreaseStreamRetentionPeriod"], 5),
    region("ecs", &["CreateService", "UpdateService", "DeleteService"], 50, 5),
    region("ecs", &["DescribeServices", "ListServices"], 100, 20),
    region("ecs", &["DescribeTasks", "ListTasks"], 100, 20),
    region("ecs", &["RunTask", "StopTask", "StartTask", "ExecuteCommand"], 100, 40),
    region("ecs", &["CreateCluster", "DeleteCluster", "UpdateCluster", "PutClusterCapacityProviders"], 20, 1),
    region("ecs", &["DescribeClusters", "ListClusters"], 50, 20),
    region("ecs", &["RegisterTaskDefinition", "DeregisterTaskDefinition"], 20, 1),
    region("ecs", &["DeleteTaskDefinitions"], 5, 1),
    region("ecs", &["DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"], 50, 20),
    region("ecs", &["TagResource", "UntagResource"], 20, 10),
    region("ecs", &["ListTagsForResource"], 50, 20),
    region("ecs", &["UpdateTaskProtection", "GetTaskProtection"], 200, 80),
    region("ssm", &["GetParameter", "GetParameters", "GetParametersByPath"], 40, 40),
    region("ssm", &["PutParameter"], 3, 3),
    region("monitoring", &["PutMetricData"], 500, 500),
    region("monitoring", &["GetMetricData"], 500, 500),
    region("monitoring", &["GetMetricStatistics"], 400, 400),
    region("monitoring", &["ListMetrics"], 25, 25),
    region("monitoring", &["PutDashboard"], 10, 10),
    region("monitoring", &["GetDashboard"], 10, 10),
    region("monitoring", &["ListDashboards"], 10, 10),
    region("monitoring", &["DeleteDashboards"], 10, 10),
    region("logs", &["CreateLogGroup"], 10, 10),
    region("logs", &["DeleteLogGroup"], 10, 10),
    region("logs", &["CreateLogStream"], 50, 50),
    region("logs", &["DescribeLogGroups"], 10, 10),
    region("logs", &["DescribeLogStreams"], 25, 25),
    region("logs", &["DeleteLogStream"], 15, 15),
    region("logs", &["PutRetentionPolicy"], 5, 5),
    region("logs", &["DeleteRetentionPolicy"], 5, 5),
    region("logs", &["TagResource"], 5, 5),
    region("logs", &["UntagResource"], 5, 5),
    region("logs", &["ListTagsForResource"], 5, 5),
    by_region(
        "logs",
        &["GetLogEvents"],
        25,
        &[
            ("us-west-2", 10),
            ("ap-northeast-3", 10),
            ("ap-southeast-3", 10),
            ("ca-west-1", 10),
            ("eu-central-1", 10),
            ("eu-west-1", 10),
            ("eu-west-3", 30),
            ("il-central-1", 10),
        ],
    ),
    by_region(
        "logs",
        &["FilterLogEvents"],
        10,
        &[
            ("us-east-1", 25),
            ("ap-northeast-3", 5),
            ("ap-southeast-3", 5),
            ("ca-west-1", 5),
            ("eu-central-1", 5),
            ("il-central-1", 5),
        ],
    ),
    region("logs", &["PutLogEvents"], 5000, 5000),
    region(
        "sts",
        &["AssumeRole", "DecodeAuthorizationMessage", "GetAccessKeyInfo", "GetCallerIdentity"],
        600,
        600,
    ),
];

/// The throttling error of an operation.
pub fn throttled(service: &str, operation: &str, account: &str) -> AwsError {
    match (service, operation) {
        // Kinesis API reference: the errors of the data plane, and "TPS over 5 will initiate the
        // LimitExceededException".
        ("kinesis", "PutRecord" | "PutRecords" | "GetRecords" | "GetShardIterator") => AwsError::client(
            "ProvisionedThroughputExceededException",
            format!("Rate exceeded for account {account}."),
        ),
        ("kinesis", _) => {
            AwsError::client("LimitExceededException", format!("Rate exceeded for account {account}."))
        }
        // Query services use the error name without a suffix.
        ("monitoring" | "sts", _) => AwsError::client("Throttling", "Rate exceeded"),
        _ => AwsError::client("ThrottlingException", "Rate exceeded"),
    }
}

/// The buckets of one account.
#[derive(Default)]
pub struct Limits(Mutex<HashMap<(usize, String), TokenBucket>>);

impl Limits {
    /// Full buckets.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a token for the call. `false`: the call is throttled.
    pub fn admits(
        &self,
        service: &str,
        operation: &str,
        region: &str,
        input: &Value,
        wall: Timestamp,
    ) -> bool {
        let Some((index, rule)) = RULES
            .iter()
            .enumerate()
            .find(|(_, rule)| rule.service == service && rule.operations.contains(&operation))
        else {
            return true;
        };
        let key = match rule.scope {
            Scope::Region => region.to_owned(),
            Scope::Stream => format!("{region}/{}", stream_of(input)),
        };
        let mut buckets = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Streams come and go, and a full bucket is equivalent to no bucket.
        if buckets.len() > MOST_BUCKETS {
            buckets.retain(|(index, key), bucket| {
                let region = key.split('/').next().unwrap_or_default();
                RULES.get(*index).is_some_and(|rule| !bucket.is_full(rule.rate(region), wall))
            });
        }
        buckets.entry((index, key)).or_default().try_take(rule.rate(region), 1, wall)
    }
}

/// The stream that a request names, by name or ARN.
fn stream_of(input: &Value) -> &str {
    let arn = input["StreamARN"].as_str().and_then(|arn| arn.split_once(":stream/")).map(|(_, name)| name);
    input["StreamName"].as_str().or(arn).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn admitted(limits: &Limits, operation: &str, region: &str, calls: usize, at: Timestamp) -> usize {
        (0..calls).filter(|_| limits.admits("kinesis", operation, region, &json!({}), at)).count()
    }

    #[test]
    fn a_burst_stops_at_the_limit_and_refills_at_the_rate() {
        let limits = Limits::new();
        assert_eq!(admitted(&limits, "CreateStream", "us-east-1", 8, T0), 5);
        assert_eq!(
            admitted(&limits, "CreateStream", "us-east-1", 8, T0 + SignedDuration::from_millis(400)),
            2
        );
        assert_eq!(admitted(&limits, "CreateStream", "us-east-1", 8, T0 + SignedDuration::from_secs(9)), 5);
    }

    #[test]
    fn regions_and_operations_have_their_own_buckets() {
        let limits = Limits::new();
        assert_eq!(admitted(&limits, "CreateStream", "us-east-1", 9, T0), 5);
        assert_eq!(admitted(&limits, "CreateStream", "eu-west-1", 9, T0), 5);
        assert_eq!(admitted(&limits, "DeleteStream", "us-east-1", 9, T0), 5);
    }

    #[test]
    fn service_writes_share_a_bucket_of_fifty_that_refills_by_five() {
        let limits = Limits::new();
        let call = |operation: &str, at| limits.admits("ecs", operation, "us-east-1", &json!({}), at);
        let first = (0..30).filter(|_| call("CreateService", T0)).count();
        let second = (0..30).filter(|_| call("UpdateService", T0)).count();
        assert_eq!((first, second), (30, 20));
        let later = T0 + SignedDuration::from_secs(1);
        assert_eq!((0..30).filter(|_| call("DeleteService", later)).count(), 5);
    }

    #[test]
    fn limits_per_stream_accept_name_and_arn() {
        let limits = Limits::new();
        let named = json!({"StreamName": "posts"});
        let by_arn = json!({"StreamARN": "arn:aws:kinesis:us-east-1:000000000000:stream/posts"});
        let call =
            |input: &Value| limits.admits("kinesis", "IncreaseStreamRetentionPeriod", "us-east-1", input, T0);
        assert_eq!((0..5).filter(|_| call(&named)).count(), 5);
        assert!(!call(&by_arn));
        assert!(call(&json!({"StreamName": "other"})));
    }

    #[test]
    fn operations_without_a_published_limit_are_not_limited() {
        let limits = Limits::new();
        assert_eq!(admitted(&limits, "PutRecords", "us-east-1", 10_000, T0), 10_000);
    }

    #[test]
    fn some_regions_have_different_rates() {
        let limits = Limits::new();
        let admitted = |operation: &str, region: &str| {
            (0..40).filter(|_| limits.admits("logs", operation, region, &json!({}), T0)).count()
        };
        for (region, filter, get) in [
            ("us-east-1", 25, 25),
            ("us-east-2", 10, 25),
            ("us-west-2", 10, 10),
            ("eu-central-1", 5, 10),
            ("eu-west-1", 10, 10),
            ("eu-west-3", 10, 30),
            ("ap-northeast-3", 5, 10),
            ("ap-southeast-3", 5, 10),
            ("ca-west-1", 5, 10),
            ("il-central-1", 5, 10),
            ("sa-east-1", 10, 25),
        ] {
            assert_eq!(
                (admitted("FilterLogEvents", region), admitted("GetLogEvents", region)),
                (filter, get),
                "{region}"
            );
        }
        for operation in ["PutRetentionPolicy", "TagResource", "ListTagsForResource", "UntagResource"] {
            assert_eq!(admitted(operation, "eu-central-1"), 5, "{operation}");
        }
    }

    #[test]
    fn operations_of_one_group_share_a_bucket() {
        for (service, operations, burst, in_a_second) in [
            ("ecs", &["UpdateTaskProtection", "GetTaskProtection"][..], 200, 80),
            ("ecs", &["DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"], 50, 20),
            ("ecs", &["DescribeClusters", "ListClusters"], 50, 20),
            ("ssm", &["GetParameter", "GetParameters", "GetParametersByPath"], 40, 40),
        ] {
            let limits = Limits::new();
            let admitted = |at| {
                let calls = operations.iter().cycle().take(600);
                calls
                    .filter(|operation| limits.admits(service, operation, "eu-west-1", &json!({}), at))
                    .count()
            };
            assert_eq!(admitted(T0), burst, "{operations:?}");
            assert_eq!(admitted(T0 + SignedDuration::from_secs(1)), in_a_second, "{operations:?}");
        }
    }

    /// A rule with a misspelled operation would have no effect.
    #[test]
    fn operations_with_a_limit_exist_in_aws() {
        for rule in RULES.iter().filter(|rule| rule.service != "kinesis") {
            let model = if rule.service == "monitoring" { "cloudwatch" } else { rule.service };
            let file = format!("{}/src/models/{model}.json", env!("CARGO_MANIFEST_DIR"));
            let extract: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
            let others = extract["others"].as_array().unwrap();
            for operation in rule.operations {
                let is_known = extract["operations"].get(operation).is_some()
                    || others.iter().any(|other| other == operation);
                assert!(is_known, "{} {operation}", rule.service);
            }
        }
    }
}
