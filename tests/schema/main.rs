//! The CustomResourceDefinition: that the file is what the types say, that every field is described and bounded, and that a
//! real API server accepts and refuses what it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod document;
mod rules;
