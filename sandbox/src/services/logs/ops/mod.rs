//! The CloudWatch Logs operations that are supported, and how each parameter is treated
//! (`crate::operations`).

pub mod groups;
pub mod put_log_events;
pub mod read_events;
pub mod streams;
pub mod tags;

use super::errors::INVALID_REQUEST;
use crate::operations::Operation;

const fn operation(name: &'static str, supported: &'static str) -> Operation {
    Operation::supporting(name, INVALID_REQUEST, supported)
}

const UNMASKED: (&str, &str) = ("unmask", "nothing is masked without data protection policies");

/// All supported operations.
pub const OPERATIONS: &[Operation] = &[
    operation("CreateLogGroup", "logGroupName tags logGroupClass").rejecting("kmsKeyId deletionProtectionEnabled"),
    operation("DeleteLogGroup", "logGroupName"),
    operation("PutRetentionPolicy", "logGroupName retentionInDays"),
    operation("DeleteRetentionPolicy", "logGroupName"),
    operation("DescribeLogGroups", "logGroupNamePrefix logGroupNamePattern nextToken limit logGroupClass")
        .rejecting("accountIdentifiers includeLinkedAccounts logGroupIdentifiers"),
    operation("CreateLogStream", "logGroupName logStreamName"),
    operation("DeleteLogStream", "logGroupName logStreamName"),
    operation(
        "DescribeLogStreams",
        "logGroupName logGroupIdentifier logStreamNamePrefix orderBy descending nextToken limit",
    ),
    operation("TagResource", "resourceArn tags"),
    operation("UntagResource", "resourceArn tagKeys"),
    operation("ListTagsForResource", "resourceArn"),
    operation("PutLogEvents", "logGroupName logStreamName logEvents.timestamp logEvents.message").without_effect(&[
        ("sequenceToken", "AWS ignores it too"),
        ("entity", "no supported operation returns entities"),
    ]),
    operation(
        "GetLogEvents",
        "logGroupName logGroupIdentifier logStreamName startTime endTime nextToken limit startFromHead",
    )
    .without_effect(&[UNMASKED]),
    operation(
        "FilterLogEvents",
        "logGroupName logGroupIdentifier logStreamNames logStreamNamePrefix startTime endTime filterPattern nextToken
         limit startFromHead",
    )
    .without_effect(&[UNMASKED, ("interleaved", "AWS ignores it too and assumes true")]),
];
