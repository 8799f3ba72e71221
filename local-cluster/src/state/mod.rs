//! The folder of one demo: whose it is, and who is using it.

pub mod folder;
pub mod lock;
