//! Services, their settings and their deployments. Data only.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::task_definition::DefinitionBody;
use crate::parameters::Tags;
use crate::services::ecs::model::launch_limits::ServiceThrottle;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServiceStatus {
    Active,
    Draining,
    Inactive,
}

impl ServiceStatus {
    pub fn text(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
            Self::Inactive => "INACTIVE",
        }
    }
}

#[derive(Debug)]
pub struct Service {
    pub arn: String,
    pub name: String,
    pub cluster: String,
    pub status: ServiceStatus,
    pub desired: u32,
    /// The primary deployment comes first.
    pub deployments: Vec<Deployment>,
    /// Newest first.
    pub events: VecDeque<ServiceEvent>,
    pub created_at: Timestamp,
    /// When the service becomes visible to other AWS services.
    pub visible_to_services_at: Timestamp,
    pub inactive_at: Option<Timestamp>,
    pub tags: Tags,
    pub client_token: Option<String>,
    /// The CreateService request, to distinguish a retry from a conflict.
    pub request: Value,
    /// The settings that are returned as set and, if they apply to tasks, passed to them.
    pub settings: ServiceSettings,
    pub throttle: ServiceThrottle,
    /// The task counts that reads see, which lag behind the current ones.
    pub published: Published,
    /// Whether the steady state has been announced.
    pub steady: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSettings {
    pub launch: LaunchKind,
    pub platform_version: String,
    pub network: Value,
    pub propagate_tags: String,
    pub managed_tags: bool,
    pub execute_command: bool,
    pub rebalancing: String,
    pub maximum_percent: u32,
    pub minimum_healthy_percent: u32,
    pub circuit_breaker: bool,
    pub rollback: bool,
    /// Whether a task that reaches RUNNING resets the circuit breaker's failure count. AWS's
    /// default is true.
    pub reset_on_healthy_task: Option<bool>,
    /// The deployment configuration as it is returned.
    pub deployment_configuration: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LaunchKind {
    Fargate,
    Strategy(Vec<Value>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rollout {
    InProgress,
    Completed,
    Failed,
}

#[derive(Clone, Debug)]
pub struct Deployment {
    pub id: String,
    pub definition: Arc<DefinitionBody>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub rollout: Rollout,
    pub failed_tasks: u32,
}

#[derive(Clone, Debug)]
pub struct ServiceEvent {
    pub id: String,
    pub at: Timestamp,
    pub message: String,
}

/// Running and pending tasks of one deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub running: u32,
    pub pending: u32,
}

/// Counts by deployment as reads see them. Each value becomes visible some time after it became
/// true.
#[derive(Debug, Default)]
pub struct Published {
    pub visible: BTreeMap<String, Counts>,
    pub upcoming: VecDeque<(Timestamp, BTreeMap<String, Counts>)>,
}

impl Service {
    /// The deployment for which tasks are started.
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.first()
    }

    /// The counts of one deployment that reads see at `now`.
    pub fn counts(&self, deployment: &str, now: Timestamp) -> Counts {
        let visible = self.published.upcoming.iter().rev().find(|(at, _)| *at <= now);
        visible
            .map_or(&self.published.visible, |(_, counts)| counts)
            .get(deployment)
            .copied()
            .unwrap_or_default()
    }
}
