//! The services of the sandbox, by the name in the SigV4 credential scope of their requests. No
//! I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::services::Service;

/// The services. Keys are signing names: `kinesis`, `ecs`, `ssm`, `monitoring`, `logs`,
/// `application-autoscaling`, `sts`.
#[derive(Clone, Default)]
pub struct Registry(BTreeMap<&'static str, Arc<dyn Service>>);

impl Registry {
    /// A registry without services.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a service under its signing name.
    pub fn with(mut self, signing_name: &'static str, service: Arc<dyn Service>) -> Self {
        self.0.insert(signing_name, service);
        self
    }

    /// The service with this signing name.
    pub fn service(&self, signing_name: &str) -> Option<&Arc<dyn Service>> {
        self.0.get(signing_name)
    }

    /// The signing names of all services.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The complete state of the account, by service.
    pub fn state(&self, now: Timestamp) -> Value {
        let services: Map<String, Value> =
            self.0.iter().map(|(name, service)| ((*name).to_owned(), service.state(now))).collect();
        Value::Object(services)
    }
}
