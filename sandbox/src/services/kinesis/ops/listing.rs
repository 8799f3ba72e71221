//! `ListStreams`, `ListShards` and the shards of `DescribeStream`, page by page. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error;
use super::shard::{Shard, id_of};
use super::stream::Stream;
use super::view;
use crate::call::AwsError;
use crate::parameters::instant_of_seconds;

/// API reference, `ListShards`: "Tokens expire after 300 seconds."
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(300);
/// API reference, `ListShards`: "The default value is 1000. If you specify a value greater than
/// 1000, at most 1000".
const MAX_SHARDS: usize = 1000;
/// API reference, `ListStreams` and `DescribeStream`: the default and the maximum are 100.
const MAX_PER_PAGE: usize = 100;

/// The position of a shard listing. Opaque to callers.
#[derive(Debug, Serialize, Deserialize)]
pub struct ShardsToken {
    /// The stream.
    pub stream: String,
    /// The last shard of the previous page.
    after: String,
    requested: Selection,
    issued_millis: i64,
}

/// Selects the shards of a listing. It is fixed with the first page: all pages describe the same
/// instant, regardless of splits, merges and expiry in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Selection {
    /// All that have not expired.
    All,
    /// Those that were open at an instant.
    OpenAt(Timestamp),
    /// Those that were open at an instant or later.
    OpenSince(Timestamp),
    /// Those after a given shard.
    After(String),
}

impl Selection {
    /// API reference, `ShardFilter`. An instant before the trim horizon is replaced by the trim
    /// horizon (documented for FROM_TIMESTAMP only).
    fn read(filter: &Value, stream: &Stream, now: Timestamp) -> Result<Self, AwsError> {
        let kind = filter["Type"].as_str();
        let takes = |member: &str, kinds: &[&str]| {
            let given = !filter[member].is_null();
            match kind {
                Some(kind) if given && !kinds.contains(&kind) => Err(error::invalid(format!(
                    "ShardFilter {member} can only be used with the types {}. The type is {kind}.",
                    kinds.join(" and ")
                ))),
                Some(kind) if !given && kinds.contains(&kind) => {
                    Err(error::invalid(format!("{member} must be specified for this shard filter type.")))
                }
                _ => Ok(()),
            }
        };
        takes("ShardId", &["AFTER_SHARD_ID"])?;
        takes("Timestamp", &["AT_TIMESTAMP", "FROM_TIMESTAMP"])?;
        let timestamp = || {
            let at = filter["Timestamp"].as_f64().and_then(instant_of_seconds);
            at.ok_or_else(|| error::invalid("ShardFilter Timestamp is not an instant."))
        };
        let horizon = stream.shards.trim_horizon();
        Ok(match kind {
            None | Some("FROM_TRIM_HORIZON") => Self::All,
            Some("AT_TRIM_HORIZON") => Self::OpenAt(horizon),
            Some("AT_TIMESTAMP") => Self::OpenAt(timestamp()?.clamp(horizon, now.max(horizon))),
            Some("FROM_TIMESTAMP") => Self::OpenSince(timestamp()?),
            Some("AFTER_SHARD_ID") => Self::After(filter["ShardId"].as_str().unwrap_or_default().to_owned()),
            // AT_LATEST; the rules reject other types.
            Some(_) => Self::OpenAt(now),
        })
    }

    fn includes(&self, shard: &Shard) -> bool {
        match self {
            Self::All => true,
            Self::OpenAt(at) => shard.was_open_at(*at),
            // "All closed shards whose end timestamp is greater than or equal to the given
            // timestamp and also all open shards."
            Self::OpenSince(at) => shard.closed.is_none_or(|closing| closing.wall >= *at),
            Self::After(id) => shard.id().as_str() > id.as_str(),
        }
    }
}

impl ShardsToken {
    /// Reads a token that has not expired.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, AwsError> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok();
        let token: Self = decoded
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| error::invalid("NextToken is invalid."))?;
        let age = now.as_millisecond() - token.issued_millis;
        if i128::from(age) > TOKEN_LIFETIME.as_millis() {
            return Err(AwsError::client("ExpiredNextTokenException", "NextToken has expired."));
        }
        Ok(token)
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
}

/// One page of `ListShards`.
pub fn shards(
    stream: &Stream,
    members: &Value,
    token: Option<ShardsToken>,
    now: Timestamp,
) -> Result<Value, AwsError> {
    let (after, requested) = match token {
        Some(token) => (Some(token.after), token.requested),
        None => {
            let after = members["ExclusiveStartShardId"].as_str().map(str::to_owned);
            (after, Selection::read(&members["ShardFilter"], stream, now)?)
        }
    };
    let most = page_size(&members["MaxResults"], MAX_SHARDS);
    let mut matching = stream.shards.all();
    matching.retain(|shard| {
        after.as_deref().is_none_or(|after| shard.id().as_str() > after) && requested.includes(shard)
    });
    let page: Vec<Value> = matching.iter().take(most).map(|shard| view::shard(shard)).collect();
    let mut response = json!({ "Shards": page });
    if let (true, Some(last)) = (matching.len() > most, matching.get(most - 1)) {
        let token = ShardsToken {
            stream: stream.spec.name.clone(),
            after: last.id(),
            requested,
            issued_millis: now.as_millisecond(),
        };
        response["NextToken"] = json!(token.write());
    }
    Ok(response)
}

/// `DescribeStream` with its page of shards.
pub fn description(stream: &Stream, members: &Value) -> Value {
    let most = page_size(&members["Limit"], MAX_PER_PAGE);
    let after = members["ExclusiveStartShardId"].as_str();
    let all = stream.shards.all();
    let mut remaining = all.into_iter().filter(|shard| after.is_none_or(|after| shard.id().as_str() > after));
    let page: Vec<Value> = remaining.by_ref().take(most).map(view::shard).collect();
    let mut description = view::base(stream);
    description["Shards"] = json!(page);
    description["HasMoreShards"] = json!(remaining.next().is_some());
    json!({ "StreamDescription": description })
}

/// `ListStreams`.
pub fn streams<'a>(streams: impl Iterator<Item = &'a Stream>, members: &Value) -> Value {
    let most = page_size(&members["Limit"], MAX_PER_PAGE);
    // The token is the name after which the next page starts, like `ExclusiveStartStreamName`.
    let after = members["NextToken"].as_str().or(members["ExclusiveStartStreamName"].as_str());
    let mut remaining =
        streams.filter(|stream| after.is_none_or(|after| stream.spec.name.as_str() > after)).peekable();
    let page: Vec<&Stream> = remaining.by_ref().take(most).collect();
    let summaries: Vec<Value> = page
        .iter()
        .map(|stream| {
            json!({
                "StreamName": stream.spec.name,
                "StreamARN": stream.identity.arn,
                "StreamStatus": stream.status(),
                "StreamModeDetails": { "StreamMode": stream.spec.mode.as_str() },
                "StreamCreationTimestamp": view::epoch_seconds(stream.created_at.wall),
            })
        })
        .collect();
    let names: Vec<&str> = page.iter().map(|stream| stream.spec.name.as_str()).collect();
    let has_more = remaining.peek().is_some();
    let mut response =
        json!({ "StreamNames": names, "HasMoreStreams": has_more, "StreamSummaries": summaries });
    if let (true, Some(last)) = (has_more, names.last()) {
        response["NextToken"] = json!(last);
    }
    response
}

fn page_size(requested: &Value, most: usize) -> usize {
    let requested = requested.as_u64().and_then(|requested| usize::try_from(requested).ok());
    requested.unwrap_or(most).clamp(1, most)
}

/// The children of a closed shard, as `GetRecords` returns them at its end.
pub fn child_shards(stream: &Stream, closed: u32) -> Vec<Value> {
    let child = |shard: &Shard| {
        let parents: Vec<String> =
            [shard.parent, shard.adjacent_parent].into_iter().flatten().map(id_of).collect();
        json!({ "ShardId": shard.id(), "ParentShards": parents, "HashKeyRange": view::hash_range(shard) })
    };
    stream.shards.children(closed).map(child).collect()
}
