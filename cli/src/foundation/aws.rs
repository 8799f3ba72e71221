//! Calls CloudFormation, ECS and STS with the environment's credentials. In: requests in our types.
//! Out: responses in our types, and errors with their next step. Only translates; makes no
//! decisions.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_cloudformation::types::{
    Capability, EventFilter, EventType, OnFailure, Parameter, ResourceStatus, Tag,
};
use aws_sdk_cloudformation::{error::ProvideErrorMetadata, error::SdkError, primitives::DateTime, types};
use aws_sdk_ecs::types::DesiredStatus;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpClient, SharedHttpConnector, http_client_fn};
use jiff::Timestamp;
use kinesis_demo_api::aws_error::{AwsErrorClass, rejects_credentials};
use kinesis_demo_api::error_chain::error_chain;

use super::context::{DesiredStack, Services, Stacks, Update};
use super::error::{AwsCause, FoundationError, FoundationResult};
use super::stack::{Stack, StackEvent};
use super::template;

/// Part of the user agent of every call.
const APP_NAME: &str = "kubectl-kinesisdemo";
/// Attempts per call, including the first, with the SDK's standard backoff.
const ATTEMPTS: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// CreateStack checks the whole template before it responds, which takes a few seconds.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(20);
/// Limit for a call with all its attempts: a user at a prompt should not wait longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// ECS API reference, DescribeServices and DescribeTasks.
const SERVICES_AT_ONCE: usize = 10;
const TASKS_AT_ONCE: usize = 100;

const CLUSTER_TYPE: &str = "AWS::ECS::Cluster";

/// The caller's account and its clients.
pub struct Account {
    pub id: String,
    pub region: String,
    /// The endpoint, if it is not AWS's own.
    pub endpoint: Option<String>,
    pub stacks: CloudFormation,
    pub services: Ecs,
}

/// Connects with the SDK's default credential chain (environment, profiles, single sign-on) and
/// fetches the caller's account.
pub async fn connect(region: Option<&str>) -> FoundationResult<Account> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    if let Some(proxy) = proxy()? {
        loader = loader.http_client(http_client(proxy));
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    if let Ok(name) = AppName::new(APP_NAME) {
        loader = loader.app_name(name);
    }
    let config = loader.load().await;
    let region =
        config.region().map(ToString::to_string).filter(|name| !name.is_empty()).ok_or_else(|| {
            FoundationError::refused(
                "no Region is configured",
                "set it with --region, AWS_REGION, or in the profile",
            )
        })?;
    let sts = aws_sdk_sts::Client::new(&config);
    let caller = sts.get_caller_identity().send().await;
    let caller = caller.map_err(|error| failed("get the caller identity from AWS", &error))?;
    Ok(Account {
        id: caller.account.unwrap_or_default(),
        region,
        endpoint: config.endpoint_url().map(str::to_owned),
        stacks: CloudFormation(aws_sdk_cloudformation::Client::new(&config)),
        services: Ecs(aws_sdk_ecs::Client::new(&config)),
    })
}

/// The proxy for AWS calls that the environment sets, by the variable names that the AWS CLI uses.
/// By default the SDK uses no proxy.
fn proxy() -> FoundationResult<Option<ProxyConfig>> {
    let first_set = |names: [&str; 2]| {
        names.into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    };
    let Some(url) = first_set(["HTTPS_PROXY", "https_proxy"]) else { return Ok(None) };
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let proxy = ProxyConfig::https(url).map_err(|_| {
        FoundationError::refused(
            "HTTPS_PROXY is not the address of a proxy",
            "set it to a URL such as http://proxy.example:3128",
        )
    })?;
    Ok(Some(match first_set(["NO_PROXY", "no_proxy"]) {
        Some(list) => proxy.no_proxy(list),
        None => proxy,
    }))
}

/// The SDK's default HTTP client with a proxy. The SDK's calls have their own timeouts.
fn http_client(proxy: ProxyConfig) -> SharedHttpClient {
    let connector = Connector::builder()
        .proxy_config(proxy)
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::AwsLc))
        .build();
    let connector = SharedHttpConnector::new(connector);
    http_client_fn(move |_, _| connector.clone())
}

pub struct CloudFormation(aws_sdk_cloudformation::Client);

/// Lets CloudFormation recognise a repeated request whose first response was lost.
fn request_token() -> String {
    format!("kinesisdemo-{}", uuid::Uuid::new_v4())
}

#[async_trait]
impl Stacks for CloudFormation {
    async fn fetch(&self, name_or_id: &str) -> FoundationResult<Option<Stack>> {
        match self.0.describe_stacks().stack_name(name_or_id).send().await {
            Ok(response) => Ok(response.stacks.unwrap_or_default().into_iter().next().map(stack)),
            // This error has no code of its own.
            Err(error) if is_validation_error(&error, "does not exist") => Ok(None),
            Err(error) => Err(failed(&format!("read the stack {name_or_id}"), &error)),
        }
    }

    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>> {
        let mut pages = self.0.describe_stack_events().stack_name(stack_id).into_paginator().send();
        let mut events = Vec::new();
        // AWS returns the newest event first.
        'pages: while let Some(page) = pages.next().await {
            let page = page.map_err(|error| failed("read the stack's events", &error))?;
            for stack_event in page.stack_events.unwrap_or_default() {
                if after.is_some() && stack_event.event_id() == after {
                    break 'pages;
                }
                events.push(event(stack_event));
            }
        }
        events.reverse();
        Ok(events)
    }

    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>> {
        let only_failed = EventFilter::builder().failed_events(true).build();
        let request = self.0.describe_events().stack_name(stack_id).filters(only_failed);
        let response =
            request.send().await.map_err(|error| failed("read the stack's validation errors", &error))?;
        let found: Vec<_> = response
            .operation_events()
            .iter()
            .filter(|event| event.event_type() == Some(&EventType::ValidationError))
            .collect();
        let newest =
            found.iter().max_by_key(|event| event.timestamp().map(|at| (at.secs(), at.subsec_nanos())));
        let operation = newest.and_then(|event| event.operation_id());
        let of_operation = found.iter().filter(|event| event.operation_id() == operation);
        let errors = of_operation.map(|event| {
            let of = |part: Option<&str>| part.unwrap_or_default().to_owned();
            let (name, type_) = (of(event.logical_resource_id()), of(event.resource_type()));
            format!("{name} ({type_}): {}", of(event.validation_status_reason()))
        });
        Ok(errors.collect())
    }

    async fn fetch_cluster(&self, stack_id: &str) -> FoundationResult<Option<String>> {
        let mut items = self.0.list_stack_resources().stack_name(stack_id).into_paginator().items().send();
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| failed("list the stack's resources", &error))?;
            // A failed creation may refer to another owner's cluster of the same name.
            let is_there = !matches!(
                item.resource_status(),
                Some(ResourceStatus::DeleteComplete | ResourceStatus::CreateFailed)
            );
            if item.resource_type() == Some(CLUSTER_TYPE) && is_there {
                return Ok(item.physical_resource_id);
            }
        }
        Ok(None)
    }

    async fn create(&self, name: &str, desired: &DesiredStack) -> FoundationResult<String> {
        let request = self
            .0
            .create_stack()
            .stack_name(name)
            .template_body(template::BODY)
            .set_parameters(Some(parameters(desired)))
            .set_tags(Some(tags(desired)))
            .capabilities(Capability::CapabilityIam)
            .on_failure(OnFailure::Delete)
            .client_request_token(request_token());
        let response =
            request.send().await.map_err(|error| failed(&format!("create the stack {name}"), &error))?;
        Ok(response.stack_id.unwrap_or_else(|| name.to_owned()))
    }

    async fn update(&self, stack_id: &str, desired: &DesiredStack) -> FoundationResult<Update> {
        let request = self
            .0
            .update_stack()
            .stack_name(stack_id)
            .template_body(template::BODY)
            .set_parameters(Some(parameters(desired)))
            .set_tags(Some(tags(desired)))
            .capabilities(Capability::CapabilityIam)
            .client_request_token(request_token());
        match request.send().await {
            Ok(_) => Ok(Update::Started),
            // This error has no code of its own.
            Err(error) if is_validation_error(&error, "No updates are to be performed") => {
                Ok(Update::NothingToChange)
            }
            Err(error) => Err(failed("update the stack", &error)),
        }
    }

    async fn delete(&self, stack_id: &str) -> FoundationResult<()> {
        let request = self.0.delete_stack().stack_name(stack_id).client_request_token(request_token());
        request.send().await.map(drop).map_err(|error| failed("delete the stack", &error))
    }
}

fn parameters(desired: &DesiredStack) -> Vec<Parameter> {
    let parameter = |(name, value): &(String, Option<String>)| match value {
        Some(value) => Parameter::builder().parameter_key(name).parameter_value(value).build(),
        None => Parameter::builder().parameter_key(name).use_previous_value(true).build(),
    };
    desired.parameters.iter().map(parameter).collect()
}

fn tags(desired: &DesiredStack) -> Vec<Tag> {
    desired.tags.iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect()
}

fn stack(stack: types::Stack) -> Stack {
    let pairs = |pairs: Vec<(Option<String>, Option<String>)>| -> BTreeMap<String, String> {
        pairs.into_iter().filter_map(|(key, value)| Some((key?, value.unwrap_or_default()))).collect()
    };
    let parameters = stack.parameters.unwrap_or_default().into_iter();
    let outputs = stack.outputs.unwrap_or_default().into_iter();
    let tags = stack.tags.unwrap_or_default().into_iter();
    Stack {
        name: stack.stack_name.unwrap_or_default(),
        id: stack.stack_id.unwrap_or_default(),
        status: stack.stack_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        reason: stack.stack_status_reason.filter(|reason| !reason.is_empty()),
        description: stack.description,
        changed_at: stack.last_updated_time.or(stack.creation_time).and_then(timestamp),
        parameters: pairs(parameters.map(|one| (one.parameter_key, one.parameter_value)).collect()),
        outputs: pairs(outputs.map(|one| (one.output_key, one.output_value)).collect()),
        tags: pairs(tags.map(|one| (one.key, one.value)).collect()),
    }
}

fn event(event: types::StackEvent) -> StackEvent {
    StackEvent {
        id: event.event_id.unwrap_or_default(),
        at: event.timestamp.and_then(timestamp).unwrap_or_default(),
        logical_id: event.logical_resource_id.unwrap_or_default(),
        physical_id: event.physical_resource_id,
        type_: event.resource_type.unwrap_or_default(),
        status: event.resource_status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        reason: event.resource_status_reason.filter(|reason| !reason.is_empty()),
    }
}

fn timestamp(at: DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok()
}

pub struct Ecs(aws_sdk_ecs::Client);

#[async_trait]
impl Services for Ecs {
    async fn fetch_live(&self, cluster: &str) -> FoundationResult<Vec<String>> {
        let mut live = self.fetch_services(cluster).await?;
        // ListServices omits services that are DRAINING, but their tasks are still listed. A task
        // that is being stopped is listed as STOPPED.
        for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
            live.extend(self.fetch_tasks(cluster, desired).await?);
        }
        Ok(live)
    }
}

impl Ecs {
    async fn fetch_services(&self, cluster: &str) -> FoundationResult<Vec<String>> {
        let pages = self.0.list_services().cluster(cluster).into_paginator().items().send();
        let listed = match pages.collect::<Result<Vec<String>, _>>().await {
            Err(error) if is_cluster_not_found(&error) => return Ok(Vec::new()),
            listed => listed.map_err(|error| failed("list the cluster's services", &error))?,
        };
        let mut live = Vec::new();
        for some in listed.chunks(SERVICES_AT_ONCE) {
            let request = self.0.describe_services().cluster(cluster).set_services(Some(some.to_vec()));
            let response =
                request.send().await.map_err(|error| failed("read the cluster's services", &error))?;
            for service in response.services() {
                let status = service.status().unwrap_or_default();
                if status != "INACTIVE" {
                    let name = service.service_name().unwrap_or_default();
                    live.push(format!("service {name} ({status})"));
                }
            }
        }
        Ok(live)
    }

    async fn fetch_tasks(&self, cluster: &str, desired: DesiredStatus) -> FoundationResult<Vec<String>> {
        let request = self.0.list_tasks().cluster(cluster).desired_status(desired);
        let listed = match request.into_paginator().items().send().collect::<Result<Vec<String>, _>>().await {
            Err(error) if is_cluster_not_found(&error) => return Ok(Vec::new()),
            listed => listed.map_err(|error| failed("list the cluster's tasks", &error))?,
        };
        let mut live = Vec::new();
        for some in listed.chunks(TASKS_AT_ONCE) {
            let request = self.0.describe_tasks().cluster(cluster).set_tasks(Some(some.to_vec()));
            let response =
                request.send().await.map_err(|error| failed("read the cluster's tasks", &error))?;
            for task in response.tasks() {
                let status = task.last_status().unwrap_or_default();
                if status != "STOPPED" {
                    let id = task.task_arn().and_then(|arn| arn.rsplit('/').next()).unwrap_or_default();
                    let group = task.group().map(|group| format!(" of {group}")).unwrap_or_default();
                    live.push(format!("task {id}{group} ({status})"));
                }
            }
        }
        Ok(live)
    }
}

/// The cluster does not exist, although the stack does.
fn is_cluster_not_found<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code() == Some("ClusterNotFoundException")
}

fn is_validation_error<E: ProvideErrorMetadata>(error: &SdkError<E>, text: &str) -> bool {
    error.code() == Some("ValidationError") && error.message().is_some_and(|message| message.contains(text))
}

fn failed<E>(attempt: &str, error: &SdkError<E>) -> FoundationError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (cause, reason) = match error {
        SdkError::ServiceError(response) => {
            let (code, message) =
                (response.err().code().unwrap_or("no code"), response.err().message().unwrap_or(""));
            (cause_of(code), if message.is_empty() { code.to_owned() } else { format!("{message} ({code})") })
        }
        _ if lacks_credentials(error) => (AwsCause::Credentials, error_chain(error)),
        SdkError::ConstructionFailure(_) => (AwsCause::Other, error_chain(error)),
        _ => (AwsCause::NoResponse, error_chain(error)),
    };
    FoundationError::Aws { attempt: attempt.to_owned(), cause, reason }
}

/// What an error code says about the cause.
fn cause_of(code: &str) -> AwsCause {
    match AwsErrorClass::of_code(code) {
        _ if rejects_credentials(code) => AwsCause::Credentials,
        Some(AwsErrorClass::Denied) => AwsCause::Denied,
        _ => AwsCause::Other,
    }
}

/// Whether the request was not sent because there were no credentials to sign it with.
fn lacks_credentials(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |cause| cause.source()).any(|cause| cause.is::<CredentialsError>())
}

#[cfg(test)]
mod tests;
