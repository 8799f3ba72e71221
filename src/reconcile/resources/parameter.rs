//! The control parameter before the first version is claimed.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::control::{ControlDocument, ControlState, SCHEMA};

use crate::settings::Timings;

/// A document under which no task sends.
pub fn idle_document(run: u32, epoch: u64, at: MicroTime, timings: &Timings) -> ControlDocument {
    ControlDocument {
        schema: SCHEMA,
        epoch,
        version: 0,
        run,
        state: ControlState::Stop,
        effective_at: at,
        valid_until: at,
        ends_by: at,
        read_every_seconds: whole_seconds(timings.read_every),
        read_lease_seconds: whole_seconds(timings.read_lease),
        slots: Vec::new(),
        segments: Vec::new(),
    }
}

/// The duration in whole seconds. Settings have no fractions; a fraction would be dropped.
pub fn whole_seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}
