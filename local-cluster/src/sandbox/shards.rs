//! What reached each shard of a stream, as the sandbox counts it. In: its response. Out: the same
//! as numbers. Pure.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};

/// The response of `/_sandbox/shards`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ShardsReport {
    /// The sandbox's time. The window that it is in is not over.
    pub now: Timestamp,
    pub streams: Vec<StreamShards>,
}

/// The shards of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamShards {
    pub name: String,
    pub arn: String,
    pub created_at: Timestamp,
    /// How many windows with traffic are no longer known.
    pub forgotten_windows: u64,
    /// When each window begins. Windows without any traffic are omitted.
    pub windows: Vec<Timestamp>,
    pub shards: Vec<ShardCounts>,
}

/// One shard, and what it got in each window of its stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardCounts {
    pub shard_id: String,
    pub hash_key_range: HashKeyRange,
    pub opened_at: Timestamp,
    pub closed_at: Option<Timestamp>,
    pub records: Vec<u64>,
    pub bytes: Vec<u64>,
    pub throttled: Vec<u64>,
}

/// A shard's part of the hash keys, both ends included.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HashKeyRange {
    #[serde(deserialize_with = "number")]
    pub starting_hash_key: u128,
    #[serde(deserialize_with = "number")]
    pub ending_hash_key: u128,
}

/// JSON has no numbers of 128 bits.
fn number<'de, D: Deserializer<'de>>(json: D) -> Result<u128, D::Error> {
    String::deserialize(json)?.parse().map_err(de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_keys_of_128_bits_are_read() {
        let range: HashKeyRange = serde_json::from_str(
            r#"{"startingHashKey": "0", "endingHashKey": "340282366920938463463374607431768211455"}"#,
        )
        .unwrap();
        assert_eq!(range, HashKeyRange { starting_hash_key: 0, ending_hash_key: u128::MAX });
        assert!(
            serde_json::from_str::<HashKeyRange>(r#"{"startingHashKey": "-1", "endingHashKey": "0"}"#)
                .is_err()
        );
    }
}
