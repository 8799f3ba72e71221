//! A fake registry for scenarios: it returns the same for every image.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use kinesis_demo_operator::registry::{ImageLookup, Registry};

/// The registry. Cheap to clone. Returns `Unknown` until a result is set.
#[derive(Clone, Default)]
pub struct FakeRegistry(Arc<Mutex<Option<ImageLookup>>>);

impl FakeRegistry {
    /// Sets the result for all images.
    pub fn says(&self, seen: ImageLookup) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn fetch_image(&self, _image: &str) -> ImageLookup {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(ImageLookup::Unknown)
    }
}
