//! Renders objects as text. In: KinesisDemos and the current time. Out: lines. Pure.

pub mod frame;
pub mod line;
pub mod number;
pub mod phases;
pub mod table;
pub mod wrap;

#[cfg(test)]
pub(crate) mod fixture;
