//! Tags that identify the owner of a resource, and the time after which it is no longer needed.

use std::collections::BTreeMap;

use kinesis_demo_api::MicroTime;

use crate::aws::{OWNER_TAG, Tags};

const OBJECT_TAG: &str = "kinesisdemo.io/object";
const RUN_TAG: &str = "kinesisdemo.io/run";
const EXPIRES_TAG: &str = "kinesisdemo.io/expires-at";
const MANAGED_BY_TAG: &str = "app.kubernetes.io/managed-by";

/// The owner of a run's resources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The object's uid. It alone decides who owns a resource.
    pub uid: String,
    /// `namespace/name`, for people.
    pub object: String,
    /// The run's number.
    pub run: u32,
}

impl Owner {
    /// The tags of a resource that is not needed after `expires_at`.
    pub fn tags(&self, expires_at: MicroTime) -> Tags {
        BTreeMap::from([
            (OWNER_TAG.to_owned(), self.uid.clone()),
            (OBJECT_TAG.to_owned(), self.object.clone()),
            (RUN_TAG.to_owned(), self.run.to_string()),
            (EXPIRES_TAG.to_owned(), format!("{:.0}", expires_at.timestamp())),
            (MANAGED_BY_TAG.to_owned(), "kinesis-demo-operator".to_owned()),
        ])
    }

    /// Whether a resource with these tags belongs to the object.
    pub fn owns(&self, tags: &Tags) -> bool {
        tags.get(OWNER_TAG) == Some(&self.uid)
    }
}
