//! The Pod of a task. In: a launch and settings. Out: the manifest. Pure.
//!
//! The Pod meets the restricted Pod Security Standard for every task definition.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, EnvVar, EnvVarSource, Pod, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecretKeySelector, SecurityContext,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::secret::CREDENTIALS;
use super::settings::PodSettings;
use crate::task_runner::{ContainerLaunch, Launch};

/// The label with the sandbox that a Pod belongs to.
pub(super) const SANDBOX_LABEL: &str = "kinesisdemo.io/sandbox";
/// The label with the task that a Pod runs.
pub(super) const TASK_LABEL: &str = "kinesisdemo.io/task";
/// The divisor of a task's CPU request, compared with what Fargate reserves: a laptop's node must
/// hold a whole service. The request is also the task's weight when CPU is scarce: larger tasks get
/// more, and no task is starved by others that start.
const REQUESTED_SHARE: u32 = 10;
const REQUESTED_MEMORY: &str = "16Mi";
/// The maximum length of label values and container names ("Object Names and IDs").
const NAME_LENGTH: usize = 63;

/// The name of a task's Pod.
pub(super) fn pod_name(task: &str) -> String {
    format!("ecs-task-{task}")
}

/// The names of the containers in the Pod, in the order of the task definition. ECS's names if
/// Kubernetes accepts all of them, else numbers.
pub(super) fn container_names(launch: &Launch) -> Vec<String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_dns_label = |name: &str| {
        name.len() <= NAME_LENGTH
            && name.chars().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.is_empty()
    };
    if launch.containers.iter().all(|container| is_dns_label(&container.name)) {
        launch.containers.iter().map(|container| container.name.clone()).collect()
    } else {
        (0..launch.containers.len()).map(|index| format!("container-{index}")).collect()
    }
}

/// The Pod of a task, or an error in ECS's words.
pub(super) fn manifest(launch: &Launch, settings: &PodSettings) -> Result<Pod, String> {
    let PodSettings {
        client: _,
        endpoint: _,
        namespace,
        instance,
        service_account,
        secret: _,
        is_user_from_cluster: _,
        owner,
    } = settings;
    let containers = launch
        .containers
        .iter()
        .zip(container_names(launch))
        .map(|(spec, name)| container(launch, spec, name, settings))
        .collect::<Result<Vec<_>, _>>()?;
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "kinesis-demo-task".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), instance.clone()),
        ("app.kubernetes.io/component".to_owned(), "task".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "kinesis-demo".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "kinesis-demo-sandbox".to_owned()),
        (SANDBOX_LABEL.to_owned(), instance.clone()),
        (TASK_LABEL.to_owned(), launch.task.clone()),
    ]);
    if let Some(service) = &launch.service {
        labels.insert("kinesisdemo.io/service".to_owned(), label_value(service));
    }
    let annotations = BTreeMap::from([("kinesisdemo.io/task-arn".to_owned(), launch.task_arn.clone())]);
    let owner_references = owner.as_ref().map(|owner| {
        vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            name: owner.name.clone(),
            uid: owner.uid.clone(),
            // `kubectl drain` refuses to evict Pods without a controller.
            controller: Some(true),
            block_owner_deletion: None,
        }]
    });
    Ok(Pod {
        metadata: ObjectMeta {
            name: Some(pod_name(&launch.task)),
            namespace: Some(namespace.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references,
            ..ObjectMeta::default()
        },
        spec: Some(PodSpec {
            containers,
            restart_policy: Some("Never".to_owned()),
            termination_grace_period_seconds: Some(
                i64::try_from(launch.stop_timeout.as_secs()).unwrap_or(i64::MAX),
            ),
            service_account_name: service_account.clone(),
            automount_service_account_token: Some(false),
            // Otherwise the environment would contain every Service of the namespace.
            enable_service_links: Some(false),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    localhost_profile: None,
                }),
                ..PodSecurityContext::default()
            }),
            ..PodSpec::default()
        }),
        status: None,
    })
}

fn container(
    launch: &Launch,
    spec: &ContainerLaunch,
    name: String,
    settings: &PodSettings,
) -> Result<Container, String> {
    // OpenShift's restricted-v2 rejects a user outside of the namespace's range (MustRunAsRange),
    // and assigns a user to Pods without one ("Managing security context constraints").
    let user = spec.user.as_deref().filter(|_| !settings.is_user_from_cluster);
    let (user, group) = user.map_or(Ok((None, None)), ids)?;
    let memory = spec.memory_mib.unwrap_or(launch.memory_mib);
    let containers = u32::try_from(launch.containers.len()).unwrap_or(u32::MAX);
    let requested_cpu = launch.cpu_units * 1000 / 1024 / REQUESTED_SHARE / containers.max(1);
    let quantities = |pairs: &[(&str, String)]| -> BTreeMap<String, Quantity> {
        pairs.iter().map(|(name, quantity)| ((*name).to_owned(), Quantity(quantity.clone()))).collect()
    };
    Ok(Container {
        name,
        image: Some(spec.image.clone()),
        image_pull_policy: Some("IfNotPresent".to_owned()),
        command: words(&spec.entry_point),
        args: words(&spec.command),
        working_dir: spec.working_directory.clone(),
        env: Some(environment(&spec.environment, settings.secret.as_deref())),
        resources: Some(ResourceRequirements {
            // No CPU limit, as for local processes: idle CPU may be used.
            limits: Some(quantities(&[("memory", format!("{memory}Mi"))])),
            requests: Some(quantities(&[
                ("cpu", format!("{requested_cpu}m")),
                ("memory", REQUESTED_MEMORY.to_owned()),
            ])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            read_only_root_filesystem: Some(true),
            run_as_user: user,
            run_as_group: group,
            ..SecurityContext::default()
        }),
        ..Container::default()
    })
}

/// Parses a numeric `user` or `user:group`. Kubernetes cannot run a Pod as a user name.
fn ids(user: &str) -> Result<(Option<i64>, Option<i64>), String> {
    let number = |text: &str| {
        text.parse::<u32>().map(i64::from).map_err(|_| {
            format!(
                "CannotCreateContainerError: a Pod cannot run as user {user}: name users and groups by number"
            )
        })
    };
    match user.split_once(':') {
        Some((user, group)) => Ok((Some(number(user)?), Some(number(group)?))),
        None => Ok((Some(number(user)?), None)),
    }
}

fn words(words: &[String]) -> Option<Vec<String>> {
    (!words.is_empty()).then(|| words.iter().map(|word| literal(word)).collect())
}

/// The credentials from the Secret, then the launch's variables, which take precedence. For a
/// repeated name ECS uses the last value, whereas Kubernetes would keep both and warn.
fn environment(pairs: &[(String, String)], secret: Option<&str>) -> Vec<EnvVar> {
    let credentials = secret.into_iter().flat_map(|secret| CREDENTIALS.map(|name| credential(secret, name)));
    let credentials = credentials.filter(|variable| pairs.iter().all(|(name, _)| *name != variable.name));
    let variables = pairs
        .iter()
        .enumerate()
        .filter(|(index, (name, _))| !pairs[index + 1..].iter().any(|(later, _)| later == name))
        .map(|(_, (name, value))| EnvVar {
            name: name.clone(),
            value: Some(literal(value)),
            value_from: None,
        });
    credentials.chain(variables).collect()
}

/// A variable that kubelet reads from the key of the same name.
fn credential(secret: &str, name: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: secret.to_owned(),
                key: name.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// Escapes dollar signs: Kubernetes expands `$(NAME)` in commands and values, ECS does not. `$$`
/// stands for one dollar sign ("Define Dependent Environment Variables").
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Cuts a name to a valid label value.
fn label_value(name: &str) -> String {
    let cut: String = name.chars().take(NAME_LENGTH).collect();
    cut.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
