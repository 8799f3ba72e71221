//! ECS task definitions. In: families and definitions. Out: revisions.

use async_trait::async_trait;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{
    Compatibility, ContainerDefinition, CpuArchitecture, KeyValuePair, LogConfiguration, LogDriver,
    NetworkMode, OsFamily, RuntimePlatform, SortOrder, TaskDefinitionField, TaskDefinitionStatus,
};
use kinesis_demo_api::demo::Architecture;

use super::client::Api;
use super::service::{ecs_tags, our_tags};
use super::{
    AwsError, AwsErrorClass, AwsResult, NewTaskDefinition, TaskDefinitionDescription, TaskDefinitions,
};

/// The name of the container and the prefix of its log streams.
pub(super) const CONTAINER: &str = "generator";

/// The log stream of the task with this id (Amazon ECS developer guide, "Send logs to CloudWatch":
/// `prefix-name/container-name/ecs-task-id`).
pub(super) fn log_stream(task: &str) -> String {
    format!("{CONTAINER}/{CONTAINER}/{task}")
}

/// How much of a task's log is buffered before lines are lost. Ledger lines are cumulative, so the
/// next line replaces a lost one.
const LOG_BUFFER: &str = "10m";

/// The user `nonroot` of distroless images: the generator needs no privileges.
const USER: &str = "65532";

/// ECS task definitions.
pub struct EcsTaskDefinitions(Api<Client>);

impl EcsTaskDefinitions {
    pub(super) fn new(api: Api<Client>) -> Self {
        Self(api)
    }
}

#[async_trait]
impl TaskDefinitions for EcsTaskDefinitions {
    async fn fetch_task_definition(&self, family: &str) -> AwsResult<Option<TaskDefinitionDescription>> {
        let Self(api) = self;
        let request = api
            .client
            .describe_task_definition()
            .task_definition(family)
            .include(TaskDefinitionField::Tags)
            .send();
        let response = match api.call("DescribeTaskDefinition", family, request).await {
            Err(error) if error.class == AwsErrorClass::NotFound => return Ok(None),
            response => response?,
        };
        // For a family without an active revision, ECS may return the latest inactive one.
        let active = response.task_definition.filter(|definition| {
            definition.status().is_none_or(|status| *status == TaskDefinitionStatus::Active)
        });
        let tags = our_tags(response.tags);
        Ok(active
            .and_then(|definition| definition.task_definition_arn)
            .map(|arn| TaskDefinitionDescription { arn, tags }))
    }

    async fn register_task_definition(&self, definition: &NewTaskDefinition) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "RegisterTaskDefinition";
        // Destructured without `..`, so that a new setting cannot be forgotten here.
        let NewTaskDefinition {
            family,
            image,
            cpu,
            memory_mib,
            architecture,
            task_role_arn,
            execution_role_arn,
            environment,
            log_group,
            region,
            stop_timeout,
            tags,
        } = definition;
        let logs = LogConfiguration::builder()
            .log_driver(LogDriver::Awslogs)
            .options("awslogs-group", log_group)
            .options("awslogs-region", region)
            .options("awslogs-stream-prefix", CONTAINER)
            // A log that cannot be written must not block the task. The mode is set explicitly
            // because an account setting changes the default (ECS developer guide,
            // defaultLogDriverMode).
            .options("mode", "non-blocking")
            .options("max-buffer-size", LOG_BUFFER)
            .build()
            .map_err(|error| AwsError::refused(operation, family, "ClientException", error.to_string()))?;
        let variable =
            |(name, value): (&String, &String)| KeyValuePair::builder().name(name).value(value).build();
        let container = ContainerDefinition::builder()
            .name(CONTAINER)
            .image(image)
            .essential(true)
            .set_environment(Some(environment.iter().map(variable).collect()))
            .log_configuration(logs)
            .readonly_root_filesystem(true)
            .user(USER)
            .stop_timeout(i32::try_from(stop_timeout.as_secs()).unwrap_or(i32::MAX))
            .build();
        let architecture = match architecture {
            Architecture::X86_64 => CpuArchitecture::X8664,
            Architecture::Arm64 => CpuArchitecture::Arm64,
        };
        let platform = RuntimePlatform::builder()
            .operating_system_family(OsFamily::Linux)
            .cpu_architecture(architecture)
            .build();
        let request = api
            .client
            .register_task_definition()
            .family(family)
            .network_mode(NetworkMode::Awsvpc)
            .requires_compatibilities(Compatibility::Fargate)
            .runtime_platform(platform)
            .cpu(cpu.to_string())
            .memory(memory_mib.to_string())
            .task_role_arn(task_role_arn)
            .execution_role_arn(execution_role_arn)
            .container_definitions(container)
            .set_tags(Some(ecs_tags(tags)))
            .send();
        api.call(operation, family, request).await.map(drop)
    }

    async fn deregister_task_definition(&self, arn: &str) -> AwsResult<()> {
        let Self(api) = self;
        let request = api.client.deregister_task_definition().task_definition(arn).send();
        api.call("DeregisterTaskDefinition", arn, request).await.map(drop)
    }

    async fn fetch_inactive_task_definitions(&self, family: &str) -> AwsResult<Vec<String>> {
        let Self(api) = self;
        let mut arns = Vec::new();
        let mut token = None;
        loop {
            let request = api
                .client
                .list_task_definitions()
                .family_prefix(family)
                .status(TaskDefinitionStatus::Inactive)
                .sort(SortOrder::Asc)
                .set_next_token(token.take())
                .send();
            let page = api.call("ListTaskDefinitions", family, request).await?;
            // `familyPrefix` matches whole families (ECS API reference, ListTaskDefinitions). The
            // family is checked again because the listed revisions get deleted.
            let listed = page.task_definition_arns.unwrap_or_default().into_iter();
            arns.extend(listed.filter(|arn| family_of(arn) == Some(family)));
            match page.next_token {
                Some(next) => token = Some(next),
                None => return Ok(arns),
            }
        }
    }

    async fn delete_task_definition(&self, arn: &str) -> AwsResult<()> {
        let Self(api) = self;
        let operation = "DeleteTaskDefinitions";
        let request = api.client.delete_task_definitions().task_definitions(arn).send();
        let response = api.call(operation, arn, request).await?;
        // The call succeeds as a whole. The response lists the failures per definition.
        match response.failures.unwrap_or_default().into_iter().next() {
            None => Ok(()),
            Some(failure) => {
                let reason = failure.reason.unwrap_or_default();
                let message = failure.detail.unwrap_or_else(|| reason.clone());
                let code = if reason == "MISSING" { "ResourceNotFoundException" } else { "ClientException" };
                Err(AwsError::refused(operation, arn, code, message))
            }
        }
    }
}

/// The family in `arn:aws:ecs:…:task-definition/family:revision`.
fn family_of(arn: &str) -> Option<&str> {
    arn.rsplit_once('/').and_then(|(_, name)| name.rsplit_once(':')).map(|(family, _)| family)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use aws_sdk_ecs::config::retry::RetryConfig;
    use aws_sdk_ecs::operation::delete_task_definitions::DeleteTaskDefinitionsOutput;
    use aws_sdk_ecs::operation::deregister_task_definition::DeregisterTaskDefinitionOutput;
    use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionOutput;
    use aws_sdk_ecs::operation::list_task_definitions::ListTaskDefinitionsOutput;
    use aws_sdk_ecs::operation::register_task_definition::RegisterTaskDefinitionOutput;
    use aws_sdk_ecs::types::{Failure, Tag, TaskDefinition};
    use aws_smithy_mocks::{Rule, RuleMode, mock, mock_client};

    use super::*;
    use crate::aws::Tags;
    use crate::aws::client::tests::{refused, unobserved};

    const ARN: &str = "arn:aws:ecs:eu-west-1:000000000000:task-definition/kd-family:3";

    fn definitions(rules: &[&Rule]) -> EcsTaskDefinitions {
        EcsTaskDefinitions::new(unobserved(mock_client!(
            aws_sdk_ecs,
            RuleMode::Sequential,
            rules,
            |config| config.retry_config(RetryConfig::disabled())
        )))
    }

    fn a_definition() -> NewTaskDefinition {
        NewTaskDefinition {
            family: "kd-family".into(),
            image: "registry/generator:1".into(),
            cpu: 512,
            memory_mib: 2048,
            architecture: Architecture::Arm64,
            task_role_arn: "arn:task".into(),
            execution_role_arn: "arn:execution".into(),
            environment: BTreeMap::from([("KINESISDEMO_RUN".into(), "3".into())]),
            log_group: "/kd/log".into(),
            region: "eu-west-1".into(),
            stop_timeout: Duration::from_secs(30),
            tags: Tags::from([("owner".into(), "me".into())]),
        }
    }

    #[tokio::test]
    async fn a_definition_has_one_unprivileged_container_with_a_log() {
        let rule = mock!(Client::register_task_definition).then_compute_output(|request| {
            assert_eq!(
                (request.family(), request.cpu(), request.memory()),
                (Some("kd-family"), Some("512"), Some("2048"))
            );
            assert_eq!(
                (request.task_role_arn(), request.execution_role_arn()),
                (Some("arn:task"), Some("arn:execution"))
            );
            assert_eq!(request.network_mode(), Some(&NetworkMode::Awsvpc));
            assert_eq!(request.requires_compatibilities(), [Compatibility::Fargate]);
            let platform = request.runtime_platform().unwrap();
            assert_eq!(platform.cpu_architecture(), Some(&CpuArchitecture::Arm64));
            assert_eq!(platform.operating_system_family(), Some(&OsFamily::Linux));
            assert_eq!(request.tags(), [Tag::builder().key("owner").value("me").build()]);
            let [container] = request.container_definitions() else { panic!("one container") };
            assert_eq!(
                (container.name(), container.image()),
                (Some("generator"), Some("registry/generator:1"))
            );
            assert_eq!(
                (container.essential(), container.readonly_root_filesystem()),
                (Some(true), Some(true))
            );
            assert_eq!((container.stop_timeout(), container.user()), (Some(30), Some("65532")));
            let variable = KeyValuePair::builder().name("KINESISDEMO_RUN").value("3").build();
            assert_eq!(container.environment(), [variable]);
            let log = container.log_configuration().unwrap();
            assert_eq!(log.log_driver(), &LogDriver::Awslogs);
            let options: BTreeMap<_, _> = log.options().unwrap().iter().collect();
            let expected = [
                ("awslogs-group", "/kd/log"),
                ("awslogs-region", "eu-west-1"),
                ("awslogs-stream-prefix", "generator"),
                ("max-buffer-size", "10m"),
                ("mode", "non-blocking"),
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned()));
            assert_eq!(options, expected.iter().map(|(key, value)| (key, value)).collect());
            RegisterTaskDefinitionOutput::builder().build()
        });
        definitions(&[&rule]).register_task_definition(&a_definition()).await.unwrap();

        let size = mock!(Client::register_task_definition).then_http_response(|| {
            refused(400, "ClientException", "No Fargate configuration exists for given values.")
        });
        let error = definitions(&[&size]).register_task_definition(&a_definition()).await.unwrap_err();
        assert_eq!(error.class, AwsErrorClass::Invalid);
    }

    fn described(status: TaskDefinitionStatus) -> DescribeTaskDefinitionOutput {
        DescribeTaskDefinitionOutput::builder()
            .task_definition(TaskDefinition::builder().task_definition_arn(ARN).status(status).build())
            .tags(Tag::builder().key("owner").value("me").build())
            .build()
    }

    #[tokio::test]
    async fn only_an_active_revision_is_returned() {
        let active = mock!(Client::describe_task_definition).then_compute_output(|request| {
            assert_eq!(request.task_definition(), Some("kd-family"));
            assert_eq!(request.include(), [TaskDefinitionField::Tags]);
            described(TaskDefinitionStatus::Active)
        });
        let seen = definitions(&[&active]).fetch_task_definition("kd-family").await.unwrap().unwrap();
        assert_eq!((seen.arn.as_str(), seen.tags["owner"].as_str()), (ARN, "me"));
        let inactive =
            mock!(Client::describe_task_definition).then_output(|| described(TaskDefinitionStatus::Inactive));
        assert_eq!(definitions(&[&inactive]).fetch_task_definition("kd-family").await.unwrap(), None);
        let missing = mock!(Client::describe_task_definition)
            .then_http_response(|| refused(400, "ClientException", "Unable to describe task definition."));
        assert_eq!(definitions(&[&missing]).fetch_task_definition("kd-family").await.unwrap(), None);
    }

    #[tokio::test]
    async fn inactive_revisions_are_listed_on_all_pages_for_one_family() {
        let arn = |name: &str| format!("arn:aws:ecs:eu-west-1:000000000000:task-definition/{name}");
        let first = mock!(Client::list_task_definitions).then_compute_output(move |request| {
            assert_eq!((request.family_prefix(), request.next_token()), (Some("kd-family"), None));
            assert_eq!(request.status(), Some(&TaskDefinitionStatus::Inactive));
            let arns = vec![arn("kd-family:1"), arn("kd-family-2:1")];
            ListTaskDefinitionsOutput::builder()
                .set_task_definition_arns(Some(arns))
                .next_token("more")
                .build()
        });
        let second = mock!(Client::list_task_definitions).then_compute_output(move |request| {
            assert_eq!(request.next_token(), Some("more"));
            ListTaskDefinitionsOutput::builder().task_definition_arns(arn("kd-family:2")).build()
        });
        let listed =
            definitions(&[&first, &second]).fetch_inactive_task_definitions("kd-family").await.unwrap();
        assert_eq!(listed, [arn("kd-family:1"), arn("kd-family:2")]);
    }

    #[tokio::test]
    async fn a_failure_in_a_successful_response_is_an_error() {
        let done = mock!(Client::delete_task_definitions).then_compute_output(|request| {
            assert_eq!(request.task_definitions(), [ARN]);
            DeleteTaskDefinitionsOutput::builder().build()
        });
        definitions(&[&done]).delete_task_definition(ARN).await.unwrap();
        for (reason, class) in [("MISSING", AwsErrorClass::NotFound), ("ACTIVE", AwsErrorClass::Invalid)] {
            let rule = mock!(Client::delete_task_definitions).then_output(move || {
                let failure = Failure::builder().arn(ARN).reason(reason).detail("still in use").build();
                DeleteTaskDefinitionsOutput::builder().failures(failure).build()
            });
            let error = definitions(&[&rule]).delete_task_definition(ARN).await.unwrap_err();
            assert_eq!((error.class, error.message.as_str()), (class, "still in use"));
        }
    }

    #[tokio::test]
    async fn deregistration_names_the_revision() {
        let done = mock!(Client::deregister_task_definition).then_compute_output(|request| {
            assert_eq!(request.task_definition(), Some(ARN));
            DeregisterTaskDefinitionOutput::builder().build()
        });
        definitions(&[&done]).deregister_task_definition(ARN).await.unwrap();
    }
}
