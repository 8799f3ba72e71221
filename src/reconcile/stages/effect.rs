//! The writes to AWS that a decision can contain. Each is safe to repeat. Pure.

use kinesis_demo_api::MicroTime;
use kinesis_demo_api::status::ResourceType;

use crate::aws::{NewService, NewStream, NewTaskDefinition, RunMetric, Tags};

/// One write to AWS. Each is safe to repeat.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    CreateLogGroup { name: String, tags: Tags },
    PutLogRetention { name: String },
    CreateStream(NewStream),
    CreateParameter { name: String, text: String, tags: Tags },
    RegisterTaskDefinition(Box<NewTaskDefinition>),
    CreateService(Box<NewService>),
    PutScheduledScaleToZero { cluster: String, service: String, max_tasks: u32, at: MicroTime },
    UpdateWarmThroughput { arn: String, mib_per_second: u32 },
    WriteParameter { name: String, text: String, tags: Tags },
    ResizeService { cluster: String, service: String, desired: u32 },
    ProtectTasks { cluster: String, arns: Vec<String>, minutes: u32 },
    ReleaseTasks { cluster: String, arns: Vec<String> },
    DeleteScheduledScaleToZero { cluster: String, service: String },
    DeleteService { cluster: String, service: String },
    DeregisterTaskDefinition { arn: String },
    DeleteTaskDefinition { arn: String },
    DeleteParameter { name: String },
    DeleteLogGroup { name: String },
    DeleteStream { arn: String },
    PutDashboard { name: String, body: String },
    PutMetrics { run_name: String, at: MicroTime, data: Vec<(RunMetric, u32)> },
    DeleteDashboard { name: String },
}

impl Effect {
    /// Whether it removes something that the run created.
    pub fn is_removal(&self) -> bool {
        self.removes().is_some()
    }

    /// Whether it creates a resource. Then a response that the resource exists already counts as
    /// success.
    pub fn is_creation(&self) -> bool {
        matches!(
            self,
            Self::CreateLogGroup { .. }
                | Self::CreateStream(_)
                | Self::CreateParameter { .. }
                | Self::CreateService(_)
        )
    }

    /// Whether later effects of the reconcile must not be applied without it.
    pub fn is_needed_by_the_next(&self) -> bool {
        matches!(
            self,
            Self::CreateLogGroup { .. }
                | Self::CreateStream(_)
                | Self::RegisterTaskDefinition(_)
                | Self::CreateService(_)
                | Self::ProtectTasks { .. }
        )
    }

    /// Whether the run does not need it: it only shows what happens.
    pub fn is_optional(&self) -> bool {
        matches!(self, Self::PutDashboard { .. } | Self::PutMetrics { .. })
    }

    /// The type of resource that it removes.
    pub fn removes(&self) -> Option<ResourceType> {
        Some(match self {
            Self::DeleteScheduledScaleToZero { .. } => ResourceType::ScheduledScaleToZero,
            Self::DeleteService { .. } => ResourceType::Service,
            Self::DeregisterTaskDefinition { .. } | Self::DeleteTaskDefinition { .. } => {
                ResourceType::TaskDefinition
            }
            Self::DeleteParameter { .. } => ResourceType::ControlParameter,
            Self::DeleteLogGroup { .. } => ResourceType::LogGroup,
            Self::DeleteStream { .. } | Self::UpdateWarmThroughput { mib_per_second: 0, .. } => {
                ResourceType::Stream
            }
            Self::DeleteDashboard { .. } => ResourceType::Dashboard,
            _ => return None,
        })
    }

    /// The API operation, and its target.
    pub fn name(&self) -> (&'static str, String) {
        let (operation, target) = match self {
            Self::CreateLogGroup { name, .. } => ("CreateLogGroup", name),
            Self::PutLogRetention { name } => ("PutRetentionPolicy", name),
            Self::CreateStream(stream) => ("CreateStream", &stream.name),
            Self::CreateParameter { name, .. } | Self::WriteParameter { name, .. } => ("PutParameter", name),
            Self::RegisterTaskDefinition(definition) => ("RegisterTaskDefinition", &definition.family),
            Self::CreateService(service) => ("CreateService", &service.name),
            Self::PutScheduledScaleToZero { service, .. } => ("PutScheduledAction", service),
            Self::UpdateWarmThroughput { arn, .. } => ("UpdateStreamWarmThroughput", arn),
            Self::ResizeService { service, .. } => ("UpdateService", service),
            Self::ProtectTasks { cluster, .. } | Self::ReleaseTasks { cluster, .. } => {
                ("UpdateTaskProtection", cluster)
            }
            Self::DeleteScheduledScaleToZero { service, .. } => ("DeregisterScalableTarget", service),
            Self::DeleteService { service, .. } => ("DeleteService", service),
            Self::DeregisterTaskDefinition { arn } => ("DeregisterTaskDefinition", arn),
            Self::DeleteTaskDefinition { arn } => ("DeleteTaskDefinitions", arn),
            Self::DeleteParameter { name } => ("DeleteParameter", name),
            Self::DeleteLogGroup { name } => ("DeleteLogGroup", name),
            Self::DeleteStream { arn } => ("DeleteStream", arn),
            Self::PutDashboard { name, .. } => ("PutDashboard", name),
            Self::PutMetrics { run_name, .. } => ("PutMetricData", run_name),
            Self::DeleteDashboard { name } => ("DeleteDashboards", name),
        };
        (operation, target.clone())
    }

    /// The backoff key. A service size is part of it, because another size is another write.
    pub fn key(&self) -> String {
        let (operation, target) = self.name();
        match self {
            Self::ResizeService { desired, .. } => format!("{operation} {target} {desired}"),
            Self::ProtectTasks { .. } => format!("{operation} {target} on"),
            _ => format!("{operation} {target}"),
        }
    }
}
