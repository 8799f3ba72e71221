//! The CloudWatch Logs operations that are offered, and how each member is treated
//! (`crate::operations`).

use super::REFUSAL;
use crate::operations::Operation;

const fn offered(name: &'static str, honoured: &'static str) -> Operation {
    Operation::honouring(name, REFUSAL, honoured)
}

const UNMASKED: (&str, &str) = ("unmask", "nothing is masked without data protection policies");

/// All offered operations.
pub(super) const OPERATIONS: &[Operation] = &[
    offered("CreateLogGroup", "logGroupName tags logGroupClass").refusing("kmsKeyId deletionProtectionEnabled"),
    offered("DeleteLogGroup", "logGroupName"),
    offered("PutRetentionPolicy", "logGroupName retentionInDays"),
    offered("DeleteRetentionPolicy", "logGroupName"),
    offered("DescribeLogGroups", "logGroupNamePrefix logGroupNamePattern nextToken limit logGroupClass")
        .refusing("accountIdentifiers includeLinkedAccounts logGroupIdentifiers"),
    offered("CreateLogStream", "logGroupName logStreamName"),
    offered("DeleteLogStream", "logGroupName logStreamName"),
    offered(
        "DescribeLogStreams",
        "logGroupName logGroupIdentifier logStreamNamePrefix orderBy descending nextToken limit",
    ),
    offered("TagResource", "resourceArn tags"),
    offered("UntagResource", "resourceArn tagKeys"),
    offered("ListTagsForResource", "resourceArn"),
    offered("PutLogEvents", "logGroupName logStreamName logEvents.timestamp logEvents.message").idle(&[
        ("sequenceToken", "AWS ignores it too"),
        ("entity", "no offered operation returns entities"),
    ]),
    offered(
        "GetLogEvents",
        "logGroupName logGroupIdentifier logStreamName startTime endTime nextToken limit startFromHead",
    )
    .idle(&[UNMASKED]),
    offered(
        "FilterLogEvents",
        "logGroupName logGroupIdentifier logStreamNames logStreamNamePrefix startTime endTime filterPattern nextToken
         limit startFromHead",
    )
    .idle(&[UNMASKED, ("interleaved", "AWS ignores it too and assumes true")]),
];
