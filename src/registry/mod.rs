//! Looks up the generator's image in its container registry before a run depends on it. In: an
//! image reference. Out: the processor architectures for which the image exists. Reads only,
//! without credentials, in one bounded attempt.

pub mod oci;

use async_trait::async_trait;

/// The result of an image lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageLookup {
    /// The registry did not respond or denied access, so nothing is known.
    Unknown,
    /// The registry has no image with that reference.
    Missing,
    /// The image exists for these Linux architectures, in OCI's names (amd64, arm64).
    For(Vec<String>),
}

/// Container registries.
#[async_trait]
pub trait Registry: Send + Sync {
    /// Looks up `image`.
    async fn fetch_image(&self, image: &str) -> ImageLookup;
}
