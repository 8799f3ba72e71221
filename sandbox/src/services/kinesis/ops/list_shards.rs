//! `ListShards`, and the shards of `DescribeStream`, page by page. In: the state and a request.
//! Out: the response. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::AwsError;
use crate::parameters::instant_of_seconds;
use crate::services::kinesis::model::shard::Shard;
use crate::services::kinesis::model::stream::Stream;
use crate::services::kinesis::request::Request;
use crate::services::kinesis::state::KinesisState;
use crate::services::kinesis::{errors, view};

/// API reference, `ListShards`: "Tokens expire after 300 seconds."
const TOKEN_LIFETIME: SignedDuration = SignedDuration::from_secs(300);
/// API reference, `ListShards`: "The default value is 1000. If you specify a value greater than
/// 1000, at most 1000".
const MAX_SHARDS: usize = 1000;
/// API reference, `DescribeStream`: the default and the maximum are 100.
const SHARDS_PER_DESCRIPTION: usize = 100;

pub fn list_shards(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let Some(text) = request.input["NextToken"].as_str() else {
        let stream = request.stream(state)?;
        // The creation time distinguishes streams with the same name. It is compared in whole
        // seconds, because some clients (boto3) send no more.
        let seconds = |at: &Value| at.as_f64().and_then(instant_of_seconds).map(|at| at.as_second());
        let created = stream.created_at.wall.as_second();
        if seconds(&request.input["StreamCreationTimestamp"]).is_some_and(|wanted| wanted != created) {
            return Err(errors::stream_not_found(&stream.spec.name, &request.caller.account));
        }
        return page_of_shards(stream, request, None);
    };
    // API reference, `ListShards`: a token identifies the listing, so it allows no other parameter
    // except MaxResults.
    let others =
        ["StreamName", "StreamARN", "StreamCreationTimestamp", "ExclusiveStartShardId", "ShardFilter"];
    if let Some(other) = others.into_iter().find(|other| !request.input[*other].is_null()) {
        return Err(errors::invalid(format!("NextToken and {other} cannot be provided together.")));
    }
    let token = ShardsToken::read(text, request.now.wall)?;
    let stream = state.stream(request.caller, &token.stream.clone())?;
    page_of_shards(stream, request, Some(token))
}

/// One page of `ListShards`.
fn page_of_shards(
    stream: &Stream,
    request: Request<'_>,
    token: Option<ShardsToken>,
) -> Result<Value, AwsError> {
    let now = request.now.wall;
    let (after, requested) = match token {
        Some(token) => (Some(token.after), token.requested),
        None => {
            let after = request.input["ExclusiveStartShardId"].as_str().map(str::to_owned);
            (after, Selection::read(&request.input["ShardFilter"], stream, now)?)
        }
    };
    let most = request.page_size("MaxResults", MAX_SHARDS);
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
pub fn describe_stream(state: &mut KinesisState, request: Request<'_>) -> Result<Value, AwsError> {
    let stream = request.stream(state)?;
    let most = request.page_size("Limit", SHARDS_PER_DESCRIPTION);
    let after = request.input["ExclusiveStartShardId"].as_str();
    let all = stream.shards.all();
    let mut remaining = all.into_iter().filter(|shard| after.is_none_or(|after| shard.id().as_str() > after));
    let page: Vec<Value> = remaining.by_ref().take(most).map(view::shard).collect();
    let mut description = view::base(stream);
    description["Shards"] = json!(page);
    description["HasMoreShards"] = json!(remaining.next().is_some());
    Ok(json!({ "StreamDescription": description }))
}

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

impl ShardsToken {
    /// Reads a token that has not expired.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, AwsError> {
        let decoded = URL_SAFE_NO_PAD.decode(text).ok();
        let token: Self = decoded
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| errors::invalid("NextToken is invalid."))?;
        let age = now.as_millisecond() - token.issued_millis;
        if i128::from(age) > TOKEN_LIFETIME.as_millis() {
            return Err(errors::expired_next_token());
        }
        Ok(token)
    }

    fn write(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }
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
                Some(kind) if given && !kinds.contains(&kind) => Err(errors::invalid(format!(
                    "ShardFilter {member} can only be used with the types {}. The type is {kind}.",
                    kinds.join(" and ")
                ))),
                Some(kind) if !given && kinds.contains(&kind) => {
                    Err(errors::invalid(format!("{member} must be specified for this shard filter type.")))
                }
                _ => Ok(()),
            }
        };
        takes("ShardId", &["AFTER_SHARD_ID"])?;
        takes("Timestamp", &["AT_TIMESTAMP", "FROM_TIMESTAMP"])?;
        let timestamp = || {
            let at = filter["Timestamp"].as_f64().and_then(instant_of_seconds);
            at.ok_or_else(|| errors::invalid("ShardFilter Timestamp is not an instant."))
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
