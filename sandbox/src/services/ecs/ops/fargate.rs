//! Validates a task definition by Fargate's rules. In: the members of `RegisterTaskDefinition`.
//! Out: the task's size and containers, or AWS's error. Pure.

use jiff::SignedDuration;
use serde_json::Value;

use crate::call::AwsError;
use crate::parameters::Parameters;
use crate::services::ecs::errors::{INVALID_REQUEST, client};
use crate::services::ecs::request::is_name;
use crate::services::ecs::state::{AwsLogs, ContainerSpec};

/// "The max stop timeout value is 120 seconds and if the parameter is not specified, the default
/// value of 30 seconds is used" (ContainerDefinition, stopTimeout).
const LONGEST_STOP_TIMEOUT: i64 = 120;
const DEFAULT_STOP_TIMEOUT: i64 = 30;
/// "10 containers per task definition" (ECS quotas).
const CONTAINERS: usize = 10;

/// CPU units, and the possible memory in MiB: from, to, step (RegisterTaskDefinition reference,
/// `memory`).
const SIZES: [(u32, u32, u32, u32); 7] = [
    (256, 512, 2048, 1024),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Whether Fargate has this size.
pub fn is_size(cpu: u32, memory: u32) -> bool {
    if cpu == 256 {
        return matches!(memory, 512 | 1024 | 2048);
    }
    SIZES.iter().any(|(units, from, to, step)| {
        *units == cpu && (*from..=*to).contains(&memory) && (memory - from).is_multiple_of(*step)
    })
}

/// Parses CPU units from `256`, `.25 vCPU` or `1vcpu`.
pub fn cpu_units(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_suffix("vcpu") {
        Some(cores) => whole(cores.trim().parse::<f64>().ok()? * 1024.0),
        None => lower.trim().parse().ok(),
    }
}

/// Parses MiB from `512`, `0.5 GB` or `1gb`.
pub fn memory_mib(text: &str) -> Option<u32> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_suffix("gb") {
        Some(gigabytes) => whole(gigabytes.trim().parse::<f64>().ok()? * 1024.0),
        None => lower.trim().parse().ok(),
    }
}

fn whole(value: f64) -> Option<u32> {
    (value >= 0.0 && value.fract() == 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
}

/// The task's size in CPU units and MiB.
pub fn size(input: Parameters<'_>) -> Result<(u32, u32), AwsError> {
    let required = |name: &str| {
        input
            .text(name)?
            .ok_or_else(|| client(format!("Fargate requires that '{name}' be defined at the task level.")))
    };
    let (cpu, memory) = (required("cpu")?, required("memory")?);
    let cpu = cpu_units(cpu).ok_or_else(|| client(format!("Invalid 'cpu' setting for task: {cpu}")))?;
    let memory =
        memory_mib(memory).ok_or_else(|| client(format!("Invalid 'memory' setting for task: {memory}")))?;
    if !is_size(cpu, memory) {
        return Err(client("No Fargate configuration exists for given values."));
    }
    Ok((cpu, memory))
}

/// The validated containers.
pub fn containers(input: Parameters<'_>, size: (u32, u32)) -> Result<Vec<ContainerSpec>, AwsError> {
    let definitions = input.list("containerDefinitions")?;
    if definitions.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    if definitions.len() > CONTAINERS {
        return Err(client("A task definition can have at most 10 containers."));
    }
    let has_execution_role = input.text("executionRoleArn")?.is_some();
    let containers = definitions
        .iter()
        .map(|definition| container(Parameters::new(definition, INVALID_REQUEST), has_execution_role))
        .collect::<Result<Vec<_>, _>>()?;
    if !containers.iter().any(|container| container.essential) {
        return Err(client("At least one container in the task definition must be marked essential."));
    }
    for (index, container) in containers.iter().enumerate() {
        if containers[..index].iter().any(|earlier| earlier.name == container.name) {
            return Err(client("Container.name must be unique within a task definition."));
        }
    }
    let total =
        |member: &str| definitions.iter().filter_map(|definition| definition[member].as_i64()).sum::<i64>();
    if total("cpu") > i64::from(size.0) {
        return Err(client(
            "Invalid setting for container. The sum of the container 'cpu' values cannot exceed the task 'cpu'.",
        ));
    }
    if total("memoryReservation") > i64::from(size.1) {
        return Err(client(
            "Invalid setting for container. The sum of the container 'memoryReservation' values cannot exceed the task 'memory'.",
        ));
    }
    Ok(containers)
}

fn container(definition: Parameters<'_>, has_execution_role: bool) -> Result<ContainerSpec, AwsError> {
    let name = definition.text("name")?.unwrap_or_default();
    if !is_name(name) {
        return Err(client(
            "Container.name should not be null or empty and can only contain up to 255 letters, numbers, hyphens, and underscores.",
        ));
    }
    let image = definition.text("image")?.unwrap_or_default();
    if image.is_empty() || image.len() > 255 || image.contains(char::is_whitespace) {
        return Err(client("Container.image should not be null or empty."));
    }
    let stop_timeout = definition.integer("stopTimeout")?.unwrap_or(DEFAULT_STOP_TIMEOUT);
    if !(0..=LONGEST_STOP_TIMEOUT).contains(&stop_timeout) {
        return Err(client(format!(
            "Invalid 'stopTimeout' setting for container '{name}': it must be between 0 and {LONGEST_STOP_TIMEOUT} seconds"
        )));
    }
    let environment = definition
        .list("environment")?
        .iter()
        .map(|pair| {
            let pair = Parameters::new(pair, INVALID_REQUEST);
            Ok((
                pair.text("name")?.unwrap_or_default().to_owned(),
                pair.text("value")?.unwrap_or_default().to_owned(),
            ))
        })
        .collect::<Result<Vec<_>, AwsError>>()?;
    if let Some((bad, _)) = environment
        .iter()
        .find(|(key, value)| key.is_empty() || key.contains(['=', '\0']) || value.contains('\0'))
    {
        return Err(client(format!("Invalid environment variable '{bad}' for container '{name}'")));
    }
    let texts = |member| -> Result<Vec<String>, AwsError> {
        Ok(definition.texts(member)?.into_iter().map(str::to_owned).collect())
    };
    Ok(ContainerSpec {
        name: name.to_owned(),
        image: image.to_owned(),
        essential: definition.flag("essential")?.unwrap_or(true),
        entry_point: texts("entryPoint")?,
        command: texts("command")?,
        working_directory: definition.text("workingDirectory")?.map(str::to_owned),
        user: definition.text("user")?.map(str::to_owned),
        memory: definition.integer("memory")?.and_then(|mib| u32::try_from(mib).ok()),
        environment,
        stop_timeout: SignedDuration::from_secs(stop_timeout),
        logs: logs(definition, has_execution_role)?,
    })
}

fn logs(definition: Parameters<'_>, has_execution_role: bool) -> Result<Option<AwsLogs>, AwsError> {
    if definition.raw("logConfiguration").is_none() {
        return Ok(None);
    }
    let configuration = definition.nested("logConfiguration")?;
    match configuration.required_text("logDriver")? {
        "awslogs" => {}
        // Fargate supports these too. `task_rules` rejects them, because the sandbox does not model
        // them.
        "splunk" | "awsfirelens" => return Ok(None),
        other => {
            return Err(client(format!(
                "Log driver '{other}' is not supported by Fargate. Use awslogs, splunk or awsfirelens."
            )));
        }
    }
    if !has_execution_role {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
        ));
    }
    let options = configuration.nested("options")?;
    let option = |name: &str| {
        options.text(name)?.map(str::to_owned).ok_or_else(|| {
            client(format!("Log driver awslogs requires options: awslogs-region, awslogs-group, awslogs-stream-prefix; {name} is missing"))
        })
    };
    Ok(Some(AwsLogs {
        region: option("awslogs-region")?,
        group: option("awslogs-group")?,
        prefix: option("awslogs-stream-prefix")?,
    }))
}

/// One container definition as AWS returns it: with defaults, and the environment sorted by name.
/// AWS promises no order, so clients must not compare such lists by position.
pub fn container_echo(definition: &Value) -> Value {
    let mut echo = definition.clone();
    let Some(members) = echo.as_object_mut() else { return echo };
    members.entry("cpu").or_insert(Value::from(0));
    members.entry("essential").or_insert(Value::from(true));
    for list in ["portMappings", "environment", "mountPoints", "volumesFrom", "systemControls"] {
        members.entry(list).or_insert(Value::Array(Vec::new()));
    }
    if let Some(environment) = members.get_mut("environment").and_then(Value::as_array_mut) {
        environment.sort_by(|left, right| left["name"].as_str().cmp(&right["name"].as_str()));
    }
    echo
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn exactly_the_documented_sizes_are_accepted() {
        let accepted = [
            (256, 512),
            (256, 1024),
            (256, 2048),
            (512, 1024),
            (512, 4096),
            (1024, 2048),
            (1024, 8192),
            (2048, 4096),
            (2048, 16_384),
            (4096, 8192),
            (4096, 30_720),
            (8192, 16_384),
            (8192, 61_440),
            (16_384, 32_768),
            (16_384, 122_880),
        ];
        let rejected = [
            (256, 1536),
            (256, 3072),
            (256, 256),
            (512, 512),
            (512, 5120),
            (512, 1536),
            (1024, 1024),
            (1024, 9216),
            (2048, 3072),
            (4096, 31_744),
            (8192, 17_408),
            (8192, 62_464),
            (16_384, 36_864),
            (300, 512),
            (0, 0),
        ];
        assert!(accepted.iter().all(|(cpu, memory)| is_size(*cpu, *memory)));
        for (cpu, memory) in rejected {
            assert!(!is_size(cpu, memory), "{cpu} {memory}");
        }
    }

    #[test]
    fn sizes_are_parsed_in_all_documented_formats() {
        assert_eq!(
            (cpu_units("256"), cpu_units(".25 vCPU"), cpu_units("2vcpu")),
            (Some(256), Some(256), Some(2048))
        );
        assert_eq!(
            (memory_mib("512"), memory_mib("0.5 GB"), memory_mib("1gb")),
            (Some(512), Some(512), Some(1024))
        );
        assert_eq!((cpu_units("much"), memory_mib("-1 GB")), (None, None));
    }

    fn error_message(definition: Value, role: bool) -> String {
        let mut input = json!({"containerDefinitions": [definition]});
        if role {
            input["executionRoleArn"] = json!("arn:aws:iam::000000000000:role/x");
        }
        let error = containers(Parameters::new(&input, INVALID_REQUEST), (256, 512)).unwrap_err();
        assert_eq!(error.code, "ClientException");
        error.message
    }

    #[test]
    fn containers_are_validated_as_on_fargate() {
        let awslogs = json!({"logDriver": "awslogs", "options": {"awslogs-group": "/g", "awslogs-region": "r", "awslogs-stream-prefix": "p"}});
        let logged = json!({"name": "a", "image": "i", "logConfiguration": awslogs});
        assert!(error_message(logged.clone(), false).contains("execution role ARN"));
        let mut unprefixed = logged;
        unprefixed["logConfiguration"]["options"] = json!({"awslogs-group": "/g", "awslogs-region": "r"});
        assert!(error_message(unprefixed, true).contains("awslogs-stream-prefix is missing"));
        assert!(error_message(json!({"name": "a", "image": "i", "stopTimeout": 121}), true).contains("120"));
        assert!(error_message(json!({"name": "a b", "image": "i"}), true).starts_with("Container.name"));
        assert!(error_message(json!({"name": "a"}), true).starts_with("Container.image"));
        assert!(error_message(json!({"name": "a", "image": "i", "cpu": 257}), true).contains("'cpu'"));
        assert!(
            error_message(json!({"name": "a", "image": "i", "essential": false}), true).contains("essential")
        );
        assert!(
            error_message(json!({"name": "a", "image": "i", "environment": [{"name": "A=B"}]}), true)
                .contains("A=B")
        );
    }
}
