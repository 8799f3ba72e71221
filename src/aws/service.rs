//! ECS clusters and services. In: names and settings. Out: their descriptions.

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    AssignPublicIp, AvailabilityZoneRebalancing, AwsVpcConfiguration, Failure, LaunchType,
    NetworkConfiguration, PropagateTags, ServiceField, Tag,
};

use super::client::Api;
use super::{AwsError, AwsResult, NewService, ServiceDescription, ServiceState, Services, Tags};

/// ECS services.
pub struct EcsServices(Api<Client>);

impl EcsServices {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl Services for EcsServices {
    async fn fetch_cluster_is_active(&self, cluster: &str) -> AwsResult<bool> {
        let Self(api) = self;
        let operation = "DescribeClusters";
        let response =
            api.call(operation, cluster, api.client.describe_clusters().clusters(cluster).send()).await?;
        check_failures(operation, cluster, response.failures)?;
        let clusters = response.clusters.unwrap_or_default();
        Ok(clusters.first().is_some_and(|found| found.status() == Some("ACTIVE")))
    }

    async fn fetch_service(&self, cluster: &str, name: &str) -> AwsResult<Option<ServiceDescription>> {
        let Self(api) = self;
        let operation = "DescribeServices";
        let request =
            api.client.describe_services().cluster(cluster).services(name).include(ServiceField::Tags).send();
        let response = api.call(operation, name, request).await?;
        check_failures(operation, name, response.failures)?;
        let Some(service) = response.services.unwrap_or_default().into_iter().next() else { return Ok(None) };
        let state = match service.status() {
            Some("ACTIVE") => ServiceState::Active,
            Some("DRAINING") => ServiceState::Draining,
            Some("INACTIVE") => ServiceState::Inactive,
            other => {
                let message = format!("unknown status {}", other.unwrap_or("(none)"));
                return Err(AwsError::unanswered(operation, name, message));
            }
        };
        let count = |value: i32| u32::try_from(value).unwrap_or(0);
        Ok(Some(ServiceDescription {
            state,
            desired: count(service.desired_count),
            running: count(service.running_count),
            pending: count(service.pending_count),
            // Newest first (ECS API reference, Service, `events`).
            last_event: service.events().first().and_then(|event| event.message()).map(str::to_owned),
            arn: service.service_arn.unwrap_or_default(),
            tags: our_tags(service.tags),
        }))
    }

    async fn create_service(&self, service: &NewService) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "CreateService";
        // Destructured without `..`, so that a new setting cannot be forgotten here.
        let NewService {
            cluster,
            name,
            task_definition,
            client_token,
            subnets,
            security_groups,
            assign_public_ip,
            tags,
        } = service;
        let invalid = |error: aws_sdk_ecs::error::BuildError| {
            AwsError::refused(operation, name, "InvalidParameterException", error.to_string())
        };
        let vpc = AwsVpcConfiguration::builder()
            .set_subnets(Some(subnets.clone()))
            .set_security_groups(Some(security_groups.clone()))
            .assign_public_ip(if *assign_public_ip {
                AssignPublicIp::Enabled
            } else {
                AssignPublicIp::Disabled
            })
            .build()
            .map_err(invalid)?;
        let request = api
            .client
            .create_service()
            .cluster(cluster)
            .service_name(name)
            .task_definition(task_definition)
            .client_token(client_token)
            .desired_count(0)
            .launch_type(LaunchType::Fargate)
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(vpc).build())
            // Rebalancing would replace tasks during a run.
            .availability_zone_rebalancing(AvailabilityZoneRebalancing::Disabled)
            .enable_ecs_managed_tags(true)
            .propagate_tags(PropagateTags::Service)
            .set_tags(Some(ecs_tags(tags)))
            .send();
        api.call(operation, name, request).await.map(drop)
    }

    async fn resize_service(&self, cluster: &str, name: &str, desired: u32) -> AwsResult<()> {
        let Self(api) = self;
        let desired = i32::try_from(desired).unwrap_or(i32::MAX);
        let request =
            api.client.update_service().cluster(cluster).service(name).desired_count(desired).send();
        api.call("UpdateService", name, request).await.map(drop)
    }

    async fn delete_service(&self, cluster: &str, name: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.delete_service().cluster(cluster).service(name).force(true).send();
        api.call("DeleteService", name, request).await.map(drop)
    }
}

/// Describe calls succeed as a whole and list what they could not describe. `MISSING` means that
/// the resource does not exist.
fn check_failures(operation: &'static str, target: &str, failures: Option<Vec<Failure>>) -> AwsResult<()> {
    let other = failures.unwrap_or_default().into_iter().find(|failure| failure.reason() != Some("MISSING"));
    match other {
        None => Ok(()),
        Some(failure) => {
            let message = failure.detail.or(failure.reason).unwrap_or_else(|| "no reason".into());
            Err(AwsError::unanswered(operation, target, message))
        }
    }
}

pub(super) fn ecs_tags(tags: &Tags) -> Vec<Tag> {
    tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

pub(super) fn our_tags(tags: Option<Vec<Tag>>) -> Tags {
    let named = |tag: Tag| Some((tag.key?, tag.value.unwrap_or_default()));
    tags.unwrap_or_default().into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::config::retry::RetryConfig;
    use aws_sdk_ecs::operation::create_service::CreateServiceOutput;
    use aws_sdk_ecs::operation::delete_service::DeleteServiceOutput;
    use aws_sdk_ecs::operation::describe_clusters::DescribeClustersOutput;
    use aws_sdk_ecs::operation::describe_services::DescribeServicesOutput;
    use aws_sdk_ecs::operation::update_service::UpdateServiceOutput;
    use aws_sdk_ecs::types::{Cluster, Service, ServiceEvent};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::AwsErrorClass;
    use crate::aws::client::tests::{refused, unobserved};

    fn services(rules: &[&Rule]) -> EcsServices {
        EcsServices::new(unobserved(mock_client!(aws_sdk_ecs, RuleMode::Sequential, rules, |config| config
            .retry_config(RetryConfig::disabled()))))
    }

    fn a_service() -> NewService {
        NewService {
            cluster: "demo".into(),
            name: "kd-service".into(),
            task_definition: "kd-family".into(),
            client_token: "token-1".into(),
            subnets: vec!["subnet-1".into(), "subnet-2".into()],
            security_groups: vec!["sg-1".into()],
            assign_public_ip: true,
            tags: Tags::from([("owner".into(), "me".into())]),
        }
    }

    #[tokio::test]
    async fn a_service_is_created_on_fargate_at_zero_with_its_token() {
        let rule = mock!(Client::create_service).then_compute_output(|request| {
            assert_eq!((request.cluster(), request.service_name()), (Some("demo"), Some("kd-service")));
            assert_eq!(
                (request.task_definition(), request.client_token()),
                (Some("kd-family"), Some("token-1"))
            );
            assert_eq!(
                (request.desired_count(), request.launch_type()),
                (Some(0), Some(&LaunchType::Fargate))
            );
            let vpc = request.network_configuration().unwrap().awsvpc_configuration().unwrap();
            assert_eq!(
                (vpc.subnets(), vpc.security_groups()),
                (a_service().subnets.as_slice(), ["sg-1".to_owned()].as_slice())
            );
            assert_eq!(vpc.assign_public_ip(), Some(&AssignPublicIp::Enabled));
            assert_eq!(request.availability_zone_rebalancing(), Some(&AvailabilityZoneRebalancing::Disabled));
            assert_eq!(
                (request.enable_ecs_managed_tags(), request.propagate_tags()),
                (Some(true), Some(&PropagateTags::Service))
            );
            assert_eq!(our_tags(Some(request.tags().to_vec())), a_service().tags);
            CreateServiceOutput::builder().build()
        });
        services(&[&rule]).create_service(&a_service()).await.unwrap();
    }

    #[tokio::test]
    async fn errors_of_create_service_have_their_class() {
        for (code, message, class) in [
            (
                "InvalidParameterException",
                "Creation of service was not idempotent.",
                AwsErrorClass::AlreadyExists,
            ),
            ("InvalidParameterException", "The subnet ID 'subnet-1' does not exist", AwsErrorClass::Invalid),
            ("ClusterNotFoundException", "Cluster not found.", AwsErrorClass::NotFound),
            ("AccessDeniedException", "not authorized to perform: iam:PassRole", AwsErrorClass::Denied),
        ] {
            let rule = mock!(Client::create_service).then_http_response(move || refused(400, code, message));
            let error = services(&[&rule]).create_service(&a_service()).await.unwrap_err();
            assert_eq!((error.class, error.message.as_str()), (class, message));
        }
    }

    fn described(status: &str) -> DescribeServicesOutput {
        let event = |text: &str| ServiceEvent::builder().message(text).build();
        let service = Service::builder()
            .service_arn("arn:service")
            .status(status)
            .desired_count(5)
            .running_count(3)
            .pending_count(2)
            .tags(Tag::builder().key("owner").value("me").build())
            .events(event("newest"))
            .events(event("older"))
            .build();
        DescribeServicesOutput::builder().services(service).build()
    }

    #[tokio::test]
    async fn a_service_is_described_in_each_state() {
        for (status, state) in [
            ("ACTIVE", ServiceState::Active),
            ("DRAINING", ServiceState::Draining),
            ("INACTIVE", ServiceState::Inactive),
        ] {
            let rule = mock!(Client::describe_services).then_compute_output(move |request| {
                assert_eq!(
                    (request.cluster(), request.services()),
                    (Some("demo"), ["kd-service".to_owned()].as_slice())
                );
                assert_eq!(request.include(), [ServiceField::Tags]);
                described(status)
            });
            let seen = services(&[&rule]).fetch_service("demo", "kd-service").await.unwrap().unwrap();
            let expected = ServiceDescription {
                arn: "arn:service".into(),
                state,
                desired: 5,
                running: 3,
                pending: 2,
                tags: a_service().tags,
                last_event: Some("newest".into()),
            };
            assert_eq!(seen, expected);
        }
    }

    #[tokio::test]
    async fn a_missing_service_is_none_and_other_failures_are_errors() {
        let failing = |reason: &'static str| {
            mock!(Client::describe_services).then_output(move || {
                let failure = Failure::builder().arn("arn").reason(reason).build();
                DescribeServicesOutput::builder().failures(failure).build()
            })
        };
        assert_eq!(services(&[&failing("MISSING")]).fetch_service("demo", "kd-service").await.unwrap(), None);
        let error = services(&[&failing("BUSY")]).fetch_service("demo", "kd-service").await.unwrap_err();
        assert_eq!((error.class, error.message.as_str()), (AwsErrorClass::Transient, "BUSY"));
        let no_cluster = mock!(Client::describe_services)
            .then_http_response(|| refused(400, "ClusterNotFoundException", "Cluster not found."));
        let error = services(&[&no_cluster]).fetch_service("demo", "kd-service").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
    }

    #[tokio::test]
    async fn only_an_active_cluster_counts() {
        for (status, active) in [("ACTIVE", true), ("INACTIVE", false)] {
            let rule = mock!(Client::describe_clusters).then_output(move || {
                DescribeClustersOutput::builder().clusters(Cluster::builder().status(status).build()).build()
            });
            assert_eq!(services(&[&rule]).fetch_cluster_is_active("demo").await.unwrap(), active);
        }
        let missing = mock!(Client::describe_clusters).then_output(|| {
            DescribeClustersOutput::builder().failures(Failure::builder().reason("MISSING").build()).build()
        });
        assert!(!services(&[&missing]).fetch_cluster_is_active("demo").await.unwrap());
    }

    #[tokio::test]
    async fn resizing_changes_only_the_count_and_deletion_is_forced() {
        let resized = mock!(Client::update_service).then_compute_output(|request| {
            assert_eq!((request.service(), request.desired_count()), (Some("kd-service"), Some(7)));
            assert_eq!((request.task_definition(), request.force_new_deployment()), (None, None));
            UpdateServiceOutput::builder().build()
        });
        services(&[&resized]).resize_service("demo", "kd-service", 7).await.unwrap();
        let deleted = mock!(Client::delete_service).then_compute_output(|request| {
            assert_eq!((request.cluster(), request.force()), (Some("demo"), Some(true)));
            DeleteServiceOutput::builder().build()
        });
        services(&[&deleted]).delete_service("demo", "kd-service").await.unwrap();
        let not_active = mock!(Client::delete_service)
            .then_http_response(|| refused(400, "ServiceNotActiveException", "Service was not ACTIVE."));
        let error = services(&[&not_active]).delete_service("demo", "kd-service").await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::NotFound);
    }
}
