//! Tasks and their containers. Data only.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::task_definition::DefinitionBody;
use crate::parameters::Tags;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskStatus {
    Provisioning,
    Pending,
    Running,
    Stopping,
    Deprovisioning,
    Stopped,
}

impl TaskStatus {
    pub fn text(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task stops or stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub code: &'static str,
    pub reason: String,
    /// When ListTasks starts to list the task as STOPPED.
    pub listed_at: Timestamp,
}

#[derive(Debug)]
pub struct Task {
    pub id: String,
    pub arn: String,
    pub region: String,
    pub cluster: String,
    /// The service's name and the deployment's id.
    pub service: Option<(String, String)>,
    pub definition: Arc<DefinitionBody>,
    pub capacity_provider: Option<String>,
    pub network: Value,
    pub execute_command: bool,
    pub tags: Tags,
    pub status: TaskStatus,
    pub created_at: Timestamp,
    /// When ListTasks starts to list the task.
    pub listed_at: Timestamp,
    /// When provisioning ends and the image pull begins, and the earliest time at which the task
    /// runs.
    pub pending_at: Timestamp,
    pub start_at: Timestamp,
    pub pull_started_at: Option<Timestamp>,
    pub pull_stopped_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub stopping_at: Option<Timestamp>,
    pub execution_stopped_at: Option<Timestamp>,
    pub stopped_at: Option<Timestamp>,
    /// Set as soon as the task is to be stopped.
    pub stop: Option<Stop>,
    /// When the containers that still run are killed.
    pub kill_at: Option<Timestamp>,
    pub killed: bool,
    /// When deprovisioning ends.
    pub deprovisioned_at: Option<Timestamp>,
    /// Whether it has been passed to its runner.
    pub launched: bool,
    /// Whether its runner has not yet reported the outcome of the launch.
    pub starting: bool,
    pub protected_until: Option<Timestamp>,
    pub containers: Vec<Container>,
    /// The task's private IP address. Nothing listens there; it helps to tell tasks apart.
    pub address: String,
    /// The number of visible changes, returned as `version`.
    pub version: i64,
}

#[derive(Clone, Debug)]
pub struct Container {
    pub runtime_id: String,
    pub arn: String,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    /// Whether it has been started and has not ended.
    pub alive: bool,
}

impl Task {
    /// Whether the desired status is RUNNING.
    pub fn should_run(&self) -> bool {
        self.stop.is_none()
    }

    pub fn protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| until > now)
    }

    pub fn group(&self) -> String {
        match &self.service {
            Some((service, _)) => format!("service:{service}"),
            None => format!("family:{}", self.definition.family),
        }
    }
}
