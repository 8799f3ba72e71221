//! Tests of the CustomResourceDefinition: the file matches the types, every field is described and
//! bounded, and a real API server accepts and rejects what it should.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod document;
mod rules;
