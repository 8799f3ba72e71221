//! The sandbox, seen from outside: its address, its admin API, and what can be concluded from it.

pub mod address;
pub mod boundaries;
pub mod client;
pub mod leaked_resources;
pub mod shards;
