//! Tags of AWS resources.

use std::collections::BTreeMap;

/// Tags of a resource.
pub type Tags = BTreeMap<String, String>;

/// The tag that names a resource's owner. Its value comes from `reconcile::resources`.
pub const OWNER_TAG: &str = "kinesisdemo.io/owner";
