//! Objects as text for people. In: KinesisDemos and the present instant. Out: lines. Pure.

pub mod frame;
pub mod line;
pub mod number;
pub mod phases;
pub mod table;
pub mod wrap;

#[cfg(test)]
pub(crate) mod fixture;
