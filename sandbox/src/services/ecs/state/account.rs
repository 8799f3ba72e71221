//! The account: its regions with their clusters, task definitions, services and tasks. Data only.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

use super::service::Service;
use super::task::Task;
use super::task_definition::{Definition, DefinitionStatus, Family, family_and_revision};
use crate::call::AwsError;
use crate::parameters::Tags;
use crate::services::ecs::errors;
use crate::services::ecs::model::launch_limits::LaunchRate;
use crate::services::ecs::model::time::Speed;
use crate::task_runner::LaunchTiming;

#[derive(Debug)]
pub struct EcsState {
    pub account: String,
    pub speed: Speed,
    /// When tasks are passed to their runner.
    pub launch_timing: LaunchTiming,
    /// The Fargate vCPU quota per region, in CPU units (1,024 per vCPU).
    pub cpu_quota: u64,
    pub initial_clusters: Vec<String>,
    /// Whether the account has the service-linked role of ECS. Without it, ECS creates no cluster
    /// or service.
    pub has_linked_role: bool,
    pub regions: BTreeMap<String, Region>,
    pub rng: ChaCha8Rng,
}

#[derive(Debug, Default)]
pub struct Region {
    pub clusters: BTreeMap<String, EcsCluster>,
    pub families: BTreeMap<String, Family>,
    /// By cluster and service name.
    pub services: BTreeMap<(String, String), Service>,
    /// By task id.
    pub tasks: BTreeMap<String, Task>,
    pub launches: LaunchRate,
}

#[derive(Clone, Debug)]
pub struct EcsCluster {
    pub active: bool,
    pub tags: Tags,
    pub settings: Vec<Value>,
    pub capacity_providers: Vec<String>,
    pub default_strategy: Vec<Value>,
}

impl EcsState {
    pub fn new(
        account: String,
        speed: u32,
        seed: u64,
        vcpu_quota: u32,
        initial_clusters: Vec<String>,
    ) -> Self {
        Self {
            account,
            speed: Speed(speed),
            launch_timing: LaunchTiming::default(),
            cpu_quota: u64::from(vcpu_quota) * 1024,
            initial_clusters,
            has_linked_role: true,
            regions: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Fails the first call in a new account that needs the service-linked role. That call creates
    /// the role: "the service-linked role is automatically created when you create a cluster, or
    /// create or update a service" (ECS developer guide, "Using service-linked roles").
    pub fn assume_linked_role(&mut self) -> Result<(), AwsError> {
        if std::mem::replace(&mut self.has_linked_role, true) {
            return Ok(());
        }
        Err(errors::no_linked_role())
    }

    /// The region, created with the initial clusters if needed.
    pub fn region(&mut self, name: &str) -> &mut Region {
        let clusters = &self.initial_clusters;
        self.regions.entry(name.to_owned()).or_insert_with(|| Region {
            clusters: clusters.iter().map(|name| (name.clone(), EcsCluster::with_fargate())).collect(),
            ..Region::default()
        })
    }
}

impl Region {
    /// The definition that a reference names; without a revision, the latest active one.
    pub fn definition(&self, reference: &str) -> Option<&Definition> {
        let (family, revision) = family_and_revision(reference)?;
        let revisions = &self.families.get(family)?.revisions;
        match revision {
            Some(revision) => revisions.get(&revision),
            None => revisions.values().rev().find(|definition| definition.status == DefinitionStatus::Active),
        }
    }
}

impl EcsCluster {
    /// A cluster with both Fargate capacity providers, as the console creates it.
    pub fn with_fargate() -> Self {
        Self {
            active: true,
            tags: Tags::new(),
            settings: Vec::new(),
            capacity_providers: vec!["FARGATE".to_owned(), "FARGATE_SPOT".to_owned()],
            default_strategy: Vec::new(),
        }
    }
}
