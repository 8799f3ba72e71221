//! What runs of a KinesisDemo cost. In: a plan, or what a run has used so far; prices of a Region.
//! Out: US dollars by component. Decimal arithmetic only. Pure, but for a file of
//! prices that is read.
//!
//! ```text
//! plan ─► estimate (low, expected, high) ─┐
//!                                         ├─► usage ─► bill (in a way of paying) ─► US dollars
//! ledgers, resources ─────────────────────┘             ▲
//!                                                    prices
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod accrual;
pub mod bill;
pub mod course;
pub mod estimate;
#[cfg(test)]
mod fixture;

pub mod prices;
pub mod usage;
pub mod usd;

pub use bill::{Bill, Component, Item, Payment};
pub use prices::{PriceList, Prices};
pub use usage::Usage;
pub use usd::Usd;
