//! Renders objects as text. In: KinesisDemos and the current time. Out: lines. Pure.

pub mod frame;
pub mod line;
pub mod live;
pub mod number;
pub mod phases;
pub mod printable;
pub mod table;
pub mod wrap;

#[cfg(test)]
pub(crate) mod fixture;
