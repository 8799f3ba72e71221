//! The settings of a service, from `CreateService` and `UpdateService`. In: request members. Out:
//! validated settings, or AWS's error. Pure.

use serde_json::{Value, json};

use crate::call::AwsError;
use crate::operations::NOT_SUPPORTED;
use crate::parameters::Parameters;
use crate::services::ecs::errors::{INVALID_REQUEST, client, unsupported_feature};
use crate::services::ecs::request::Request;
use crate::services::ecs::state::{EcsCluster, LaunchKind, ServiceSettings};

/// "Subnets: up to 16", "security groups: up to 5" (AwsVpcConfiguration).
const SUBNETS: usize = 16;
const SECURITY_GROUPS: usize = 5;
/// "Tasks per service: 5,000" (ECS quotas).
pub const TASKS_PER_SERVICE: i64 = 5_000;

/// The settings of a new service.
pub fn created(request: Request<'_>, cluster: &EcsCluster) -> Result<ServiceSettings, AwsError> {
    let input = request.input;
    only(input, "schedulingStrategy", &["REPLICA"])?;
    only(input.nested("deploymentController")?, "type", &["ECS"])?;
    let propagate_tags = propagation(input)?.unwrap_or("NONE").to_owned();
    let deployment = deployment(input, None)?;
    Ok(ServiceSettings {
        launch: launch(input, cluster)?,
        platform_version: platform_version(input)?.unwrap_or("LATEST").to_owned(),
        network: network(input)?.ok_or_else(|| {
            input.invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
        })?,
        propagate_tags,
        managed_tags: input.flag("enableECSManagedTags")?.unwrap_or(false),
        execute_command: input.flag("enableExecuteCommand")?.unwrap_or(false),
        rebalancing: rebalancing(input)?.unwrap_or("ENABLED").to_owned(),
        ..deployment
    })
}

/// The settings of an existing service after an update, and whether the change starts a new
/// deployment.
pub fn updated(
    request: Request<'_>,
    current: &ServiceSettings,
    cluster: &EcsCluster,
) -> Result<(ServiceSettings, bool), AwsError> {
    let input = request.input;
    only(input.nested("deploymentController")?, "type", &["ECS"])?;
    let mut settings = if input.raw("deploymentConfiguration").is_some() {
        deployment(input, Some(current))?
    } else {
        current.clone()
    };
    if let Some(network) = network(input)? {
        settings.network = network;
    }
    if input.raw("capacityProviderStrategy").is_some() {
        settings.launch = launch(input, cluster)?;
    }
    if let Some(version) = platform_version(input)? {
        version.clone_into(&mut settings.platform_version);
    }
    if let Some(propagate) = propagation(input)? {
        propagate.clone_into(&mut settings.propagate_tags);
    }
    if let Some(managed) = input.flag("enableECSManagedTags")? {
        settings.managed_tags = managed;
    }
    if let Some(enabled) = input.flag("enableExecuteCommand")? {
        settings.execute_command = enabled;
    }
    if let Some(rebalancing) = rebalancing(input)? {
        rebalancing.clone_into(&mut settings.rebalancing);
    }
    // "networkConfiguration, capacityProviderStrategy, platformVersion … trigger a new service
    // deployment" (UpdateService reference).
    let redeploys = settings.network != current.network
        || settings.launch != current.launch
        || settings.platform_version != current.platform_version
        || input.flag("forceNewDeployment")?.unwrap_or(false);
    Ok((settings, redeploys))
}

/// The member's value, or an error if it is not one of `supported`.
fn only<'a>(input: Parameters<'a>, member: &str, supported: &[&str]) -> Result<Option<&'a str>, AwsError> {
    match input.text(member)? {
        Some(value) if !supported.contains(&value) => Err(not_supported(&format!("{member} {value}"))),
        value => Ok(value),
    }
}

fn not_supported(what: &str) -> AwsError {
    unsupported_feature(format!("{what} {NOT_SUPPORTED}"))
}

fn platform_version(input: Parameters<'_>) -> Result<Option<&str>, AwsError> {
    only(input, "platformVersion", &["LATEST", "1.4.0"])
}

fn propagation(input: Parameters<'_>) -> Result<Option<&str>, AwsError> {
    match input.text("propagateTags")? {
        Some(other) if !matches!(other, "TASK_DEFINITION" | "SERVICE" | "NONE") => {
            Err(input.invalid(format!("Invalid propagateTags value: {other}")))
        }
        value => Ok(value),
    }
}

fn rebalancing(input: Parameters<'_>) -> Result<Option<&str>, AwsError> {
    match input.text("availabilityZoneRebalancing")? {
        Some(other) if !matches!(other, "ENABLED" | "DISABLED") => {
            Err(input.invalid(format!("Invalid availabilityZoneRebalancing value: {other}")))
        }
        value => Ok(value),
    }
}

fn launch(input: Parameters<'_>, cluster: &EcsCluster) -> Result<LaunchKind, AwsError> {
    let strategy = input.list("capacityProviderStrategy")?;
    let kind = input.text("launchType")?;
    if kind.is_some() && !strategy.is_empty() {
        return Err(input.invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    match kind {
        Some("FARGATE") => return Ok(LaunchKind::Fargate),
        Some(other) => return Err(not_supported(&format!("launchType {other}"))),
        None => {}
    }
    let strategy = if strategy.is_empty() { cluster.default_strategy.as_slice() } else { strategy };
    if strategy.is_empty() {
        return Err(not_supported(
            "launchType EC2, AWS's default without launchType and capacityProviderStrategy,",
        ));
    }
    for item in strategy {
        let item = Parameters::new(item, INVALID_REQUEST);
        let provider = item.required_text("capacityProvider")?;
        if !cluster.capacity_providers.iter().any(|associated| associated == provider) {
            return Err(input.invalid(
                "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the cluster. Associate the capacity provider with the cluster and try again.",
            ));
        }
        item.bounded("weight", 0..=1000, 0)?;
        item.bounded("base", 0..=100_000, 0)?;
    }
    Ok(LaunchKind::Strategy(strategy.to_vec()))
}

fn network(input: Parameters<'_>) -> Result<Option<Value>, AwsError> {
    let configuration = input.nested("networkConfiguration")?;
    if configuration.raw("awsvpcConfiguration").is_none() {
        return Ok(None);
    }
    let vpc = configuration.nested("awsvpcConfiguration")?;
    let (subnets, groups) = (vpc.texts("subnets")?, vpc.texts("securityGroups")?);
    if subnets.is_empty() {
        return Err(input.invalid("subnets can not be empty."));
    }
    if subnets.len() > SUBNETS {
        return Err(input.invalid(format!("subnets can have at most {SUBNETS} items.")));
    }
    if groups.len() > SECURITY_GROUPS {
        return Err(input.invalid(format!("securityGroups can have at most {SECURITY_GROUPS} items.")));
    }
    let public = vpc.text("assignPublicIp")?.unwrap_or("DISABLED");
    if !matches!(public, "ENABLED" | "DISABLED") {
        return Err(input.invalid(format!("Invalid assignPublicIp value: {public}")));
    }
    Ok(Some(json!({"awsvpcConfiguration": {
        "subnets": subnets, "securityGroups": groups, "assignPublicIp": public,
    }})))
}

/// The deployment configuration. What the request leaves out comes from `current`, or from the
/// defaults (200 and 100 percent, no circuit breaker).
fn deployment(input: Parameters<'_>, current: Option<&ServiceSettings>) -> Result<ServiceSettings, AwsError> {
    let configuration = input.nested("deploymentConfiguration")?;
    only(configuration, "strategy", &["ROLLING"])?;
    let maximum = configuration.bounded(
        "maximumPercent",
        0..=200,
        current.map_or(200, |current| current.maximum_percent.into()),
    )?;
    let minimum = configuration.bounded(
        "minimumHealthyPercent",
        0..=100,
        current.map_or(100, |current| current.minimum_healthy_percent.into()),
    )?;
    if maximum == 0 || (maximum <= 100 && minimum >= maximum) {
        return Err(client(
            "Both maximumPercent and minimumHealthyPercent cannot be 100 as this will block deployments.",
        ));
    }
    let breaker = configuration.nested("deploymentCircuitBreaker")?;
    let circuit_breaker =
        breaker.flag("enable")?.unwrap_or_else(|| current.is_some_and(|current| current.circuit_breaker));
    let rollback =
        breaker.flag("rollback")?.unwrap_or_else(|| current.is_some_and(|current| current.rollback));
    let reset_on_healthy_task = breaker
        .flag("resetOnHealthyTask")?
        .or_else(|| current.and_then(|current| current.reset_on_healthy_task));
    let base = current.cloned().unwrap_or_else(|| ServiceSettings {
        launch: LaunchKind::Fargate,
        platform_version: String::new(),
        network: Value::Null,
        propagate_tags: String::new(),
        managed_tags: false,
        execute_command: false,
        rebalancing: String::new(),
        maximum_percent: 0,
        minimum_healthy_percent: 0,
        circuit_breaker: false,
        rollback: false,
        reset_on_healthy_task: None,
        deployment_configuration: Value::Null,
    });
    let mut breaker_view = json!({"enable": circuit_breaker, "rollback": rollback});
    if let Some(reset) = reset_on_healthy_task {
        breaker_view["resetOnHealthyTask"] = Value::from(reset);
    }
    Ok(ServiceSettings {
        maximum_percent: u32::try_from(maximum).unwrap_or_default(),
        minimum_healthy_percent: u32::try_from(minimum).unwrap_or_default(),
        circuit_breaker,
        rollback,
        reset_on_healthy_task,
        deployment_configuration: json!({
            "deploymentCircuitBreaker": breaker_view,
            "maximumPercent": maximum,
            "minimumHealthyPercent": minimum,
            "strategy": "ROLLING",
            "bakeTimeInMinutes": 0,
        }),
        ..base
    })
}
