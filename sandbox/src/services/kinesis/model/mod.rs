//! How Kinesis scales: shards and their limits, the load of a stream, and the capacity that follows
//! it. Pure; time is passed in. It knows neither requests nor responses nor regions.
//!
//! ```text
//! stream ─► load_history ─► rate_limit, load
//!    └────► shards ─► shard ─► hash, rate_limit, record_log, load
//! shard_windows ─► shards (what the admin API shows of them)
//! commitment (On-demand Advantage)
//! ```

pub mod commitment;
pub mod hash;
pub mod load;
pub mod load_history;
pub mod rate_limit;
pub mod record_log;
pub mod shard;
pub mod shard_windows;
pub mod shards;
pub mod stream;
pub mod stream_spec;
