//! A registry for scenarios: it says the same about every image.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{ImageSeen, Registry};

/// The registry, cheap to clone. It does not answer until it is told what to say.
#[derive(Clone, Default)]
pub struct FakeRegistry(Arc<Mutex<Option<ImageSeen>>>);

impl FakeRegistry {
    /// What it says from now on.
    pub fn says(&self, seen: ImageSeen) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
    }
}

#[async_trait]
impl Registry for FakeRegistry {
    async fn fetch_image(&self, _image: &str) -> ImageSeen {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or(ImageSeen::Unknown)
    }
}
