//! What a container registry says about the generator's image, before a run depends on it. In: an image reference. Out: the processor
//! architectures that it is there for. Reads only, without credentials; one bounded attempt.

pub mod fake;
pub mod oci;

use async_trait::async_trait;

/// An answer about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageLookup {
    /// The registry did not answer, or not to us: nothing is known.
    Unknown,
    /// The registry has no image of that reference.
    Missing,
    /// It is there for these architectures of Linux, as OCI names them (amd64, arm64).
    For(Vec<String>),
}

/// Container registries.
#[async_trait]
pub trait Registry: Send + Sync {
    /// What is known about `image`.
    async fn fetch_image(&self, image: &str) -> ImageLookup;
}
