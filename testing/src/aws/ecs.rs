//! Task definitions, clusters and services of the fake. In: calls. Out: what ECS would store. Tasks
//! are in `tasks`.

use std::time::Duration;

use async_trait::async_trait;
use kinesis_demo_api::MicroTime;

use super::state::RegionState;
use super::validation::is_ecs_name;
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{
    AwsErrorClass, AwsResult, NewService, NewTaskDefinition, ServiceDescription, ServiceState, Services,
    TaskDefinitionDescription, TaskDefinitions,
};

/// How long an INACTIVE service can still be described. ECS says only that it "may be cleaned up";
/// the duration is our choice.
const INACTIVE_KEPT: Duration = Duration::from_secs(3600);

/// Amazon ECS endpoints and quotas: tasks per service.
const TASKS_PER_SERVICE: u32 = 5_000;

/// The memory sizes of each CPU size, in MiB (ECS API reference, RegisterTaskDefinition, `memory`):
/// minimum, maximum, step.
const FARGATE_SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2_048, 512),
    (512, 1_024, 4_096, 1_024),
    (1_024, 2_048, 8_192, 1_024),
    (2_048, 4_096, 16_384, 1_024),
    (4_096, 8_192, 30_720, 1_024),
    (8_192, 16_384, 61_440, 4_096),
    (16_384, 32_768, 122_880, 8_192),
];

/// The revisions of a task definition's family, in order. Deleted revisions keep their numbers.
#[derive(Default)]
pub(super) struct Family(Vec<Revision>);

struct Revision {
    arn: String,
    state: RevisionState,
    definition: NewTaskDefinition,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum RevisionState {
    Active,
    Inactive,
    Deleted,
}

impl Family {
    /// The ARNs of the revisions that are not deleted.
    pub(super) fn arns(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(|revision| revision.state != RevisionState::Deleted)
            .map(|revision| revision.arn.as_str())
    }

    fn latest_active(&self) -> Option<&Revision> {
        self.0.iter().rev().find(|revision| revision.state == RevisionState::Active)
    }
}

pub(super) struct Service {
    pub(super) state: ServiceState,
    pub(super) desired: u32,
    /// The definition that its tasks run, fixed when the service was created.
    pub(super) definition: NewTaskDefinition,
    arn: String,
    request: NewService,
    pub(super) created_at: MicroTime,
    inactive_since: Option<MicroTime>,
    last_event: Option<String>,
    /// Whether an event has told that it is in a steady state.
    is_steady: bool,
}

impl Service {
    pub(super) fn record_event(&mut self, event: &str) {
        self.last_event = Some(format!("(service {}) {event}", self.request.name));
    }

    /// The id of its only deployment.
    pub(super) fn deployment_id(&self) -> String {
        format!("ecs-svc/{:019}", self.created_at.as_micros())
    }

    /// Records an event when the service reaches a steady state.
    fn note_steadiness(&mut self, is_steady: bool) {
        if is_steady && !self.is_steady {
            self.record_event("has reached a steady state.");
        }
        self.is_steady = is_steady;
    }

    /// Sets the desired count, and lets the service announce its next steady state.
    pub(super) fn resize(&mut self, desired: u32) {
        self.desired = desired;
        self.is_steady = false;
    }
}

impl RegionState<'_> {
    pub(super) fn require_cluster(&self, cluster: &str) -> Result<(), ApiError> {
        match self.settings.clusters.iter().any(|known| known == cluster) {
            true => Ok(()),
            false => Err(api_error("ClusterNotFoundException", "Cluster not found.")),
        }
    }

    fn service(&mut self, cluster: &str, name: &str) -> Result<&mut Service, ApiError> {
        self.require_cluster(cluster)?;
        let service = self.region.services.get_mut(&(cluster.to_owned(), name.to_owned()));
        service.ok_or_else(service_not_found)
    }

    fn revision(&mut self, arn: &str) -> Result<&mut Revision, ApiError> {
        let revisions = self.region.families.values_mut().flat_map(|family| &mut family.0);
        let mut existing = revisions.filter(|revision| revision.state != RevisionState::Deleted);
        let missing = || {
            let text = "The specified task definition does not exist. Specify a valid account, family, revision and try again.";
            api_error("ClientException", text)
        };
        existing.find(|revision| revision.arn == arn).ok_or_else(missing)
    }
}

fn service_not_found() -> ApiError {
    api_error("ServiceNotFoundException", "Service not found.")
}

fn is_fargate_size(cpu: u32, memory_mib: u32) -> bool {
    let fits = |(size, least, most, step): &(u32, u32, u32, u32)| {
        // 256 CPU units allow 512, 1024 or 2048 MiB.
        let is_step =
            memory_mib.checked_rem(*step) == Some(0) && (*size != 256 || memory_mib.is_power_of_two());
        *size == cpu && (*least..=*most).contains(&memory_mib) && is_step
    };
    FARGATE_SIZES.iter().any(fits)
}

#[async_trait]
impl TaskDefinitions for Handle {
    async fn fetch_task_definition(&self, family: &str) -> AwsResult<Option<TaskDefinitionDescription>> {
        let response =
            self.reach("DescribeTaskDefinition").await.read("DescribeTaskDefinition", family, |state| {
                let revision = state.region.families.get(family).and_then(Family::latest_active);
                let missing = || api_error("ClientException", "Unable to describe task definition.");
                let revision = revision.ok_or_else(missing)?;
                Ok(TaskDefinitionDescription {
                    arn: revision.arn.clone(),
                    tags: revision.definition.tags.clone(),
                })
            });
        match response {
            Err(error) if error.class == AwsErrorClass::NotFound => Ok(None),
            response => response.map(Some),
        }
    }

    async fn register_task_definition(&self, definition: &NewTaskDefinition) -> AwsResult<()> {
        let family = &definition.family;
        self.reach("RegisterTaskDefinition").await.write("RegisterTaskDefinition", family, |state| {
            if !is_ecs_name(family) {
                let text = "Family should not be null or empty and can only contain up to 255 letters, numbers, hyphens, and underscores.";
                return Err(api_error("ClientException", text));
            }
            if !is_fargate_size(definition.cpu, definition.memory_mib) {
                let text = "No Fargate configuration exists for given values.";
                return Err(api_error("ClientException", text));
            }
            // ECS developer guide, stopTimeout on Fargate: at most 120 s.
            if definition.stop_timeout.as_secs() > 120 {
                let text = "Invalid 'stopTimeout' setting for container 'generator': it must be between 0 and 120 seconds";
                return Err(api_error("ClientException", text));
            }
            let number = state.region.families.get(family).map_or(0, |existing| existing.0.len()) + 1;
            let arn = state.arn("ecs", &format!("task-definition/{family}:{number}"));
            let revision = Revision { arn, state: RevisionState::Active, definition: definition.clone() };
            state.region.families.entry(family.clone()).or_default().0.push(revision);
            Ok(())
        })
    }

    async fn deregister_task_definition(&self, arn: &str) -> AwsResult<()> {
        self.reach("DeregisterTaskDefinition").await.write("DeregisterTaskDefinition", arn, |state| {
            state.revision(arn)?.state = RevisionState::Inactive;
            Ok(())
        })
    }

    async fn fetch_inactive_task_definitions(&self, family: &str) -> AwsResult<Vec<String>> {
        self.reach("ListTaskDefinitions").await.read("ListTaskDefinitions", family, |state| {
            let revisions = state.region.families.get(family).into_iter().flat_map(|existing| &existing.0);
            let inactive = revisions.filter(|revision| revision.state == RevisionState::Inactive);
            Ok(inactive.map(|revision| revision.arn.clone()).collect())
        })
    }

    async fn delete_task_definition(&self, arn: &str) -> AwsResult<()> {
        self.reach("DeleteTaskDefinitions").await.write("DeleteTaskDefinitions", arn, |state| {
            // The call itself succeeds, and its response lists what it could not delete. These
            // are the errors that the operator's adapter makes of it.
            let Ok(revision) = state.revision(arn) else {
                return Err(api_error("ResourceNotFoundException", "MISSING"));
            };
            if revision.state == RevisionState::Active {
                let text = "The specified task definition is still in ACTIVE status. Please deregister the target and try again.";
                return Err(api_error("ClientException", text));
            }
            revision.state = RevisionState::Deleted;
            Ok(())
        })
    }
}

#[async_trait]
impl Services for Handle {
    async fn fetch_cluster_is_active(&self, cluster: &str) -> AwsResult<bool> {
        self.reach("DescribeClusters")
            .await
            .read("DescribeClusters", cluster, |state| Ok(state.require_cluster(cluster).is_ok()))
    }

    async fn fetch_service(&self, cluster: &str, name: &str) -> AwsResult<Option<ServiceDescription>> {
        let key = (cluster.to_owned(), name.to_owned());
        self.reach("DescribeServices").await.read("DescribeServices", name, |state| {
            state.require_cluster(cluster)?;
            let Some(service) = state.region.services.get(&key) else { return Ok(None) };
            let (running, pending) = state.region.task_counts(&key);
            Ok(Some(ServiceDescription {
                arn: service.arn.clone(),
                state: service.state,
                desired: service.desired,
                running,
                pending,
                tags: service.request.tags.clone(),
                last_event: service.last_event.clone(),
            }))
        })
    }

    async fn create_service(&self, service: &NewService) -> AwsResult<()> {
        let key = (service.cluster.clone(), service.name.clone());
        self.reach("CreateService").await.write("CreateService", &service.name, |state| {
            let invalid = |text: &str| Err(api_error("InvalidParameterException", text));
            if !is_ecs_name(&service.name) {
                return invalid(
                    "Service name can only contain up to 255 letters, numbers, hyphens, and underscores.",
                );
            }
            if service.client_token.len() > 36 || !service.client_token.is_ascii() {
                return invalid("clientToken can have up to 36 ASCII characters.");
            }
            state.require_cluster(&service.cluster)?;
            if service.subnets.is_empty() {
                return invalid("subnets can not be empty.");
            }
            // ECS resolves the task definition first, also for a request that it has seen before.
            let family = state.region.families.get(&service.task_definition);
            let missing = || api_error("ClientException", "TaskDefinition not found.");
            let definition = family.and_then(Family::latest_active).ok_or_else(missing)?.definition.clone();
            match state.region.services.get(&key) {
                Some(existing) if existing.state == ServiceState::Draining => {
                    return invalid("Unable to Start a service that is still Draining.");
                }
                Some(existing) if existing.state == ServiceState::Active && existing.request == *service => {
                    return Ok(());
                }
                Some(existing) if existing.state == ServiceState::Active => {
                    return invalid("Creation of service was not idempotent.");
                }
                _ => {}
            }
            let arn = state.arn("ecs", &format!("service/{}/{}", service.cluster, service.name));
            let request = service.clone();
            let created = Service {
                state: ServiceState::Active,
                desired: 0,
                definition,
                arn,
                request,
                created_at: state.now,
                inactive_since: None,
                last_event: None,
                is_steady: false,
            };
            state.region.services.insert(key.clone(), created);
            Ok(())
        })
    }

    async fn resize_service(&self, cluster: &str, name: &str, desired: u32) -> AwsResult<()> {
        self.reach("UpdateService").await.write("UpdateService", name, |state| {
            state.require_cluster(cluster)?;
            if desired > TASKS_PER_SERVICE {
                let text = format!("desiredCount cannot be above {TASKS_PER_SERVICE}.");
                return Err(api_error("InvalidParameterException", text));
            }
            let service = state.service(cluster, name)?;
            if service.state != ServiceState::Active {
                return Err(api_error("ServiceNotActiveException", "Service was not ACTIVE."));
            }
            service.resize(desired);
            Ok(())
        })
    }

    async fn delete_service(&self, cluster: &str, name: &str) -> AwsResult<()> {
        self.reach("DeleteService").await.write("DeleteService", name, |state| {
            let service = state.service(cluster, name)?;
            if service.state == ServiceState::Inactive {
                return Err(service_not_found());
            }
            service.desired = 0;
            service.state = ServiceState::Draining;
            Ok(())
        })
    }
}

impl RegionState<'_> {
    /// Moves services on whose tasks have changed: announces a steady state, makes drained services
    /// INACTIVE, and forgets those that have long been.
    pub(super) fn advance_services(&mut self) {
        let (now, tasks) = (self.now, &self.region.tasks);
        for (key, service) in &mut self.region.services {
            let own = || tasks.iter().filter(|task| task.service == *key && !task.is_stopped());
            match service.state {
                ServiceState::Active => {
                    let wanted = usize::try_from(service.desired).unwrap_or(usize::MAX);
                    let is_steady = own().all(|task| task.is_running() || !task.is_meant_to_run())
                        && own().filter(|task| task.is_running()).count() == wanted;
                    service.note_steadiness(is_steady);
                }
                ServiceState::Draining if own().next().is_none() => {
                    service.state = ServiceState::Inactive;
                    service.inactive_since = Some(now);
                }
                ServiceState::Draining | ServiceState::Inactive => {}
            }
        }
        self.region
            .services
            .retain(|_, service| service.inactive_since.is_none_or(|since| now.since(since) < INACTIVE_KEPT));
    }
}
