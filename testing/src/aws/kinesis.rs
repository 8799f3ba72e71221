//! Streams of the fake. In: calls and instants. Out: their states, as Kinesis shows them.

use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;

use super::state::RegionState;
use super::validation::{STREAM_NAME, check_tags};
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{
    Advantage, AwsErrorClass, AwsResult, NewStream, StreamDescription, StreamState, Streams, Tags, Warm,
};

/// The capacity of a new on-demand stream without warm throughput: 4 MiB/s (Kinesis developer
/// guide, on-demand mode).
const BASELINE_MIB: u32 = 4;

/// Kinesis developer guide, quotas: an on-demand stream's throughput, which also limits its warm
/// throughput, is 10 GiB/s in three regions and 200 MiB/s in the others.
fn throughput_quota_mib(region: &str) -> u32 {
    if matches!(region, "us-east-1" | "us-west-2" | "eu-west-1") { 10_240 } else { 200 }
}

/// Kinesis API reference, CreateStream: at most five streams in the CREATING state at once.
const MAX_CREATING: usize = 5;

/// Kinesis developer guide, quotas: on-demand streams per account.
const MAX_STREAMS: usize = 50;

pub(super) struct Stream {
    arn: String,
    pub(super) tags: Tags,
    state: StreamState,
    /// When the state ends by itself.
    until: Option<MicroTime>,
    /// The requested warm throughput; zero for none.
    target: u32,
    /// The value at the start of the change to the target, and when it started.
    from: (u32, MicroTime),
    available: u64,
    credit_micros: u128,
    created_at: MicroTime,
    pub(super) queues: u32,
}

impl Stream {
    pub(super) fn changes_at(&self) -> Option<MicroTime> {
        self.until
    }

    /// Kinesis accepts records in every state but CREATING ("DELETING may still accept puts").
    pub(super) fn takes_records(&self) -> bool {
        self.state != StreamState::Creating
    }

    /// How many records it can accept now, after `elapsed` at `records_per_second`: at most those
    /// of one second.
    pub(super) fn refill(&mut self, records_per_second: u32, elapsed: Duration) -> u64 {
        let second = u64::from(records_per_second);
        let gained = u128::from(second) * elapsed.as_micros() + self.credit_micros;
        self.credit_micros = gained % 1_000_000;
        let gained = u64::try_from(gained / 1_000_000).unwrap_or(second);
        self.available.saturating_add(gained).min(second)
    }

    pub(super) fn set_available(&mut self, available: u64) {
        self.available = available;
    }

    fn capacity(&self) -> u32 {
        self.target.max(BASELINE_MIB)
    }

    /// A stream has no shards, and thereby no throughput, until it is created.
    fn current_at(&self, now: MicroTime) -> u32 {
        let (start, began_at) = self.from;
        let Some(until) = self.until.filter(|_| self.state == StreamState::Updating) else {
            return if self.state == StreamState::Creating { 0 } else { self.capacity() };
        };
        let whole = i128::try_from(until.since(began_at).as_micros()).unwrap_or(1).max(1);
        let done = i128::try_from(now.since(began_at).as_micros()).unwrap_or(whole).min(whole);
        let distance = i128::from(self.capacity()) - i128::from(start);
        u32::try_from(i128::from(start) + distance * done / whole).unwrap_or(start)
    }

    fn move_to(&mut self, target: u32, now: MicroTime, takes: Duration) {
        self.from = (self.current_at(now), now);
        self.target = target;
        self.state = StreamState::Updating;
        self.until = Some(now + takes);
    }
}

/// The name in `arn:aws:kinesis:…:stream/name`.
fn name_in(arn: &str) -> &str {
    arn.rsplit_once(":stream/").map_or(arn, |(_, name)| name)
}

impl RegionState<'_> {
    /// Moves streams whose state has ended to the next state.
    pub(super) fn advance_streams(&mut self) {
        let now = self.now;
        let warm_update = self.settings.delays.warm_update;
        self.region.streams.retain(|_, stream| {
            if stream.until.is_none_or(|until| until > now) {
                return true;
            }
            match stream.state {
                StreamState::Deleting => return false,
                // AWS does not document which states come between CREATING and the requested
                // throughput. In the sandbox the stream stays CREATING.
                StreamState::Creating if stream.target > BASELINE_MIB => {
                    stream.state = StreamState::Updating;
                    stream.from = (BASELINE_MIB, now);
                    stream.until = Some(now + warm_update);
                }
                StreamState::Creating | StreamState::Updating | StreamState::Active => {
                    stream.state = StreamState::Active;
                    stream.until = None;
                }
            }
            true
        });
    }

    fn stream_by_arn(&mut self, arn: &str) -> Result<&mut Stream, ApiError> {
        let missing = self.stream_error("ResourceNotFoundException", name_in(arn), "not found.");
        self.region.streams.values_mut().find(|stream| stream.arn == arn).ok_or(missing)
    }

    fn stream_error(&self, code: &'static str, name: &str, what: &str) -> ApiError {
        let account = &self.settings.account_id;
        api_error(code, format!("Stream {name} under account {account} {what}"))
    }

    fn active_stream(&mut self, arn: &str) -> Result<&mut Stream, ApiError> {
        let status = match self.stream_by_arn(arn)?.state {
            StreamState::Active => return self.stream_by_arn(arn),
            StreamState::Creating => "CREATING",
            StreamState::Updating => "UPDATING",
            StreamState::Deleting => "DELETING",
        };
        let what = format!("not ACTIVE, instead in state {status}");
        Err(self.stream_error("ResourceInUseException", name_in(arn), &what))
    }

    fn check_warm(&self, mib_per_second: u32) -> Result<(), ApiError> {
        if !self.settings.advantage.is_on() {
            let account = &self.settings.account_id;
            let text = format!("Account {account} is not enabled for minimum throughput billing commitment");
            return Err(api_error("ValidationException", text));
        }
        let (region, quota) = (self.name, throughput_quota_mib(self.name));
        if mib_per_second > quota {
            let account = &self.settings.account_id;
            let text = format!(
                "WarmThroughputMiBps {mib_per_second} exceeds the limit of {quota} for account {account} in {region}."
            );
            return Err(api_error("LimitExceededException", text));
        }
        Ok(())
    }
}

#[async_trait]
impl Streams for Handle {
    async fn fetch_stream(&self, name: &str) -> AwsResult<Option<StreamDescription>> {
        let response =
            self.reach("DescribeStreamSummary").await.read("DescribeStreamSummary", name, |state| {
                let committed = state.settings.advantage.is_on();
                let missing = state.stream_error("ResourceNotFoundException", name, "not found.");
                let stream = state.region.streams.get(name).ok_or(missing)?;
                let current = stream.current_at(state.now);
                Ok(StreamDescription {
                    arn: stream.arn.clone(),
                    state: stream.state,
                    open_shards: if stream.state == StreamState::Creating { 0 } else { current },
                    warm: committed.then_some(Warm { target: stream.target, current }),
                    created_at: Some(stream.created_at),
                    queues: stream.queues,
                })
            });
        match response {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            response => response.map(Some),
        }
    }

    async fn fetch_stream_tags(&self, arn: &str) -> AwsResult<Tags> {
        self.reach("ListTagsForResource")
            .await
            .read("ListTagsForResource", arn, |state| Ok(state.stream_by_arn(arn)?.tags.clone()))
    }

    async fn create_stream(&self, stream: &NewStream) -> AwsResult<()> {
        let NewStream { name, warm_mib_per_second, tags } = stream;
        self.reach("CreateStream").await.write("CreateStream", name, |state| {
            STREAM_NAME.check(name)?;
            check_tags("ValidationException", tags)?;
            if let Some(warm) = *warm_mib_per_second {
                state.check_warm(warm)?;
            }
            let streams = &state.region.streams;
            if streams.contains_key(name) {
                return Err(state.stream_error("ResourceInUseException", name, "already exists."));
            }
            let (account, region) = (&state.settings.account_id, state.name);
            if streams.values().filter(|stream| stream.state == StreamState::Creating).count() >= MAX_CREATING
            {
                let text = format!(
                    "Limit for streams being created concurrently exceeded for account {account}: {MAX_CREATING}."
                );
                return Err(api_error("LimitExceededException", text));
            }
            if streams.len() >= MAX_STREAMS {
                let text = format!(
                    "This request would exceed the on-demand stream limit for the account {account} in {region}. Current on-demand stream count for the account: {}. Limit: {MAX_STREAMS}.",
                    streams.len()
                );
                return Err(api_error("LimitExceededException", text));
            }
            let created = Stream {
                arn: state.arn("kinesis", &format!("stream/{name}")),
                tags: tags.clone(),
                state: StreamState::Creating,
                until: Some(state.now + state.settings.delays.stream_create),
                target: state.settings.granted(warm_mib_per_second.unwrap_or(0)),
                from: (BASELINE_MIB, state.now),
                available: 0,
                credit_micros: 0,
                created_at: state.now,
                queues: 0,
            };
            state.region.streams.insert(name.clone(), created);
            Ok(())
        })
    }

    async fn update_warm_throughput(&self, arn: &str, mib_per_second: u32) -> AwsResult<()> {
        self.reach("UpdateStreamWarmThroughput").await.write("UpdateStreamWarmThroughput", arn, |state| {
            state.stream_by_arn(arn)?;
            state.check_warm(mib_per_second)?;
            let (now, takes) = (state.now, state.settings.delays.warm_update);
            let keeps_target = mib_per_second == 0 && state.settings.keeps_warm_targets;
            let granted = state.settings.granted(mib_per_second);
            let stream = state.active_stream(arn)?;
            let target = if keeps_target { stream.target } else { granted };
            stream.move_to(target, now, takes);
            Ok(())
        })
    }

    async fn delete_stream(&self, arn: &str) -> AwsResult<()> {
        self.reach("DeleteStream").await.write("DeleteStream", arn, |state| {
            let until = state.now + state.settings.delays.stream_delete;
            let stream = state.active_stream(arn)?;
            if stream.queues > 0 {
                let text = format!("Stream {arn} has queues. Delete the queues before you delete it.");
                return Err(api_error("ResourceInUseException", text));
            }
            stream.state = StreamState::Deleting;
            stream.until = Some(until);
            Ok(())
        })
    }

    async fn fetch_advantage(&self) -> AwsResult<Advantage> {
        self.reach("DescribeAccountSettings")
            .await
            .read("DescribeAccountSettings", "account", |state| Ok(state.settings.advantage))
    }
}
