//! Task definitions, clusters and services of the fake. In: calls. Out: what ECS would store. Tasks
//! are in `tasks`.

use async_trait::async_trait;

use super::world::RegionState;
use super::{ApiError, Handle, api_error};
use kinesis_demo_operator::aws::{
    AwsErrorClass, AwsResult, NewService, NewTaskDefinition, ServiceDescription, ServiceState, Services,
    TaskDefinitionDescription, TaskDefinitions,
};

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
    last_event: Option<String>,
}

impl Service {
    pub(super) fn record_event(&mut self, event: &str) {
        self.last_event = Some(format!("(service {}) {event}", self.request.name));
    }
}

impl RegionState<'_> {
    fn require_cluster(&self, cluster: &str) -> Result<(), ApiError> {
        match self.settings.clusters.iter().any(|known| known == cluster) {
            true => Ok(()),
            false => Err(api_error("ClusterNotFoundException", "Cluster not found.")),
        }
    }

    fn active_service(&mut self, cluster: &str, name: &str) -> Result<&mut Service, ApiError> {
        self.require_cluster(cluster)?;
        let service = self.region.services.get_mut(&(cluster.to_owned(), name.to_owned()));
        let service = service.ok_or_else(|| api_error("ServiceNotFoundException", "Service not found."))?;
        match service.state {
            ServiceState::Active => Ok(service),
            _ => Err(api_error("ServiceNotActiveException", "Service was not ACTIVE.")),
        }
    }

    fn revision(&mut self, arn: &str) -> Result<&mut Revision, ApiError> {
        let revisions = self.region.families.values_mut().flat_map(|family| &mut family.0);
        let mut existing = revisions.filter(|revision| revision.state != RevisionState::Deleted);
        let missing = || api_error("ClientException", "The specified task definition does not exist.");
        existing.find(|revision| revision.arn == arn).ok_or_else(missing)
    }
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
            if !is_fargate_size(definition.cpu, definition.memory_mib) {
                let text = "No Fargate configuration exists for given values.";
                return Err(api_error("ClientException", text));
            }
            // ECS developer guide, stopTimeout on Fargate: at most 120 s.
            if definition.stop_timeout.as_secs() > 120 {
                return Err(api_error("ClientException", "The value for stopTimeout must be at most 120."));
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
            let revision = state.revision(arn)?;
            if revision.state == RevisionState::Active {
                let text =
                    "The specified task definition is still in ACTIVE status. Please deregister the target.";
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
            state.require_cluster(&service.cluster)?;
            if service.client_token.len() > 36 || service.subnets.is_empty() {
                return Err(api_error(
                    "InvalidParameterException",
                    "clientToken or networkConfiguration is not valid.",
                ));
            }
            match state.region.services.get(&key) {
                Some(existing) if existing.state == ServiceState::Draining => {
                    let text = "Unable to Start a service that is still Draining.";
                    return Err(api_error("InvalidParameterException", text));
                }
                Some(existing) if existing.state == ServiceState::Active => {
                    let text = "Creation of service was not idempotent.";
                    let is_repeated = existing.request == *service;
                    return if is_repeated {
                        Ok(())
                    } else {
                        Err(api_error("InvalidParameterException", text))
                    };
                }
                _ => {}
            }
            let family = state.region.families.get(&service.task_definition);
            let missing = || api_error("ClientException", "TaskDefinition not found.");
            let definition = family.and_then(Family::latest_active).ok_or_else(missing)?.definition.clone();
            let arn = state.arn("ecs", &format!("service/{}/{}", service.cluster, service.name));
            let request = service.clone();
            let created = Service {
                state: ServiceState::Active,
                desired: 0,
                definition,
                arn,
                request,
                last_event: None,
            };
            state.region.services.insert(key.clone(), created);
            Ok(())
        })
    }

    async fn resize_service(&self, cluster: &str, name: &str, desired: u32) -> AwsResult<()> {
        self.reach("UpdateService").await.write("UpdateService", name, |state| {
            state.active_service(cluster, name)?.desired = desired;
            Ok(())
        })
    }

    async fn delete_service(&self, cluster: &str, name: &str) -> AwsResult<()> {
        self.reach("DeleteService").await.write("DeleteService", name, |state| {
            let service = state.active_service(cluster, name)?;
            service.desired = 0;
            service.state = ServiceState::Draining;
            Ok(())
        })
    }
}

impl RegionState<'_> {
    /// Makes draining services without tasks INACTIVE.
    pub(super) fn retire_services(&mut self) {
        let tasks = &self.region.tasks;
        for (key, service) in &mut self.region.services {
            let has_tasks = tasks.iter().any(|task| task.service == *key && !task.is_stopped());
            if service.state == ServiceState::Draining && !has_tasks {
                service.state = ServiceState::Inactive;
            }
        }
    }
}
