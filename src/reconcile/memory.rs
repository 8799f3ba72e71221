//! What this leader remembers of each object between reconciles. It only saves reads: a new leader
//! starts without it and reads first.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kinesis_demo_api::control::ControlDocument;
use kinesis_demo_api::{KinesisDemo, MicroTime};
use kube::ResourceExt;

/// A version of the control document that this leader has read as it was claimed, or has
/// successfully written.
#[derive(Clone, Debug, PartialEq)]
pub struct KnownDocument {
    /// The document.
    pub document: ControlDocument,
    /// Whether the parameter contained it when it was last read or written.
    pub in_place: bool,
}

/// The memory of all objects, by uid.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Default)]
struct Remembered {
    /// The resource version that our own last write replaced. A view with it is stale.
    replaced_version: Option<String>,
    /// The control document as this leader knows it.
    document: Option<KnownDocument>,
    /// When the scheduled scale-to-zero was last read.
    scale_to_zero_read_at: Option<MicroTime>,
}

impl Memory {
    /// Records that our write replaced `object`.
    pub fn note_replaced(&self, object: &KinesisDemo) {
        if let (Some(uid), Some(version)) = (object.uid(), object.resource_version()) {
            self.lock().entry(uid).or_default().replaced_version = Some(version);
        }
    }

    /// Whether `object` is a view from before our own last write.
    pub fn is_stale(&self, object: &KinesisDemo) -> bool {
        let (Some(uid), Some(version)) = (object.uid(), object.resource_version()) else { return false };
        self.lock().get(&uid).and_then(|remembered| remembered.replaced_version.as_ref()) == Some(&version)
    }

    /// The control document as this leader knows it.
    pub fn document(&self, uid: &str) -> Option<KnownDocument> {
        self.lock().get(uid)?.document.clone()
    }

    /// Records that the parameter contains this document.
    pub fn note_document(&self, uid: &str, document: ControlDocument) {
        let known = KnownDocument { document, in_place: true };
        self.lock().entry(uid.to_owned()).or_default().document = Some(known);
    }

    /// Records that the known document is not in the parameter: it has other content or does not
    /// exist.
    pub fn note_displaced(&self, uid: &str) {
        if let Some(known) = self.lock().get_mut(uid).and_then(|remembered| remembered.document.as_mut()) {
            known.in_place = false;
        }
    }

    /// When the scheduled scale-to-zero was last read.
    pub fn scale_to_zero_read_at(&self, uid: &str) -> Option<MicroTime> {
        self.lock().get(uid)?.scale_to_zero_read_at
    }

    /// Records a read of the scheduled scale-to-zero.
    pub fn note_scale_to_zero_read(&self, uid: &str, at: MicroTime) {
        self.lock().entry(uid.to_owned()).or_default().scale_to_zero_read_at = Some(at);
    }

    /// Drops the state of all objects except these uids.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.lock().retain(|uid, _| uids.contains(uid));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
