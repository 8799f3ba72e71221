//! What this leader remembers of each object between reconciles. Nothing depends on it but how much
//! is read: a new leader begins without, and reads first.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::{KinesisDemo, MicroTime};
use kube::ResourceExt;

/// A version of the control document that this leader itself has read, as it was claimed, or has
/// successfully written.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownDocument {
    /// What it says.
    pub document: ControlDocument,
    /// Whether the parameter held it when it was last seen or written.
    pub in_place: bool,
}

/// The memory of all objects, by uid.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    /// The resource version that our own last write replaced: whoever still shows it is behind.
    replaced_version: Option<String>,
    /// The control document as this leader knows it.
    document: Option<KnownDocument>,
    /// When the scheduled scale-to-zero was last looked at.
    ceiling_seen_at: Option<MicroTime>,
}

impl Memory {
    /// Notes that our write replaced `object`.
    pub fn note_replaced(&self, object: &KinesisDemo) {
        if let (Some(uid), Some(version)) = (object.uid(), object.resource_version()) {
            self.lock().entry(uid).or_default().replaced_version = Some(version);
        }
    }

    /// Whether `object` is a view from before our own last write.
    pub fn is_stale(&self, object: &KinesisDemo) -> bool {
        let (Some(uid), Some(version)) = (object.uid(), object.resource_version()) else { return false };
        self.lock().get(&uid).and_then(|held| held.replaced_version.as_ref()) == Some(&version)
    }

    /// The control document as this leader knows it.
    pub fn document(&self, uid: &str) -> Option<KnownDocument> {
        self.lock().get(uid)?.document.clone()
    }

    /// Notes that the parameter holds this document.
    pub fn note_document(&self, uid: &str, document: ControlDocument) {
        let known = KnownDocument { document, in_place: true };
        self.lock().entry(uid.to_owned()).or_default().document = Some(known);
    }

    /// Notes that the parameter holds something else than what was known, or is not there.
    pub fn note_displaced(&self, uid: &str) {
        if let Some(known) = self.lock().get_mut(uid).and_then(|held| held.document.as_mut()) {
            known.in_place = false;
        }
    }

    /// When the scheduled scale-to-zero was last looked at.
    pub fn ceiling_seen_at(&self, uid: &str) -> Option<MicroTime> {
        self.lock().get(uid)?.ceiling_seen_at
    }

    /// Notes a look at the scheduled scale-to-zero.
    pub fn note_ceiling_seen(&self, uid: &str, at: MicroTime) {
        self.lock().entry(uid.to_owned()).or_default().ceiling_seen_at = Some(at);
    }

    /// Forgets all objects but those with these uids.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
