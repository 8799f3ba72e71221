//! What a task definition may use, depending on how tasks run; the table in `ops/mod.rs` lists what
//! is supported at all. In: the members of `RegisterTaskDefinition`. Out: nothing, or an error with
//! the member and the reason. Pure.
//!
//! A process of this machine runs as the user of the sandbox. A request must therefore not choose
//! what is loaded into it, what it runs, or where.

use serde_json::Value;

use crate::call::AwsError;
use crate::operations::{NOT_SUPPORTED, is_unset};
use crate::parameters::Parameters;
use crate::services::ecs::errors::{INVALID_REQUEST, client};

/// How tasks run, which determines what a definition may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskRules {
    /// As processes of this machine.
    Processes {
        /// Environment variables that are allowed in addition to the harmless ones.
        allowed_variables: Vec<String>,
    },
    /// As Pods of a cluster, where the image determines what runs.
    Pods,
}

impl Default for TaskRules {
    fn default() -> Self {
        Self::Processes { allowed_variables: Vec::new() }
    }
}

/// The members that only Pods support.
const POD_MEMBERS: [&str; 2] = ["entryPoint", "workingDirectory"];

/// The supported options of the awslogs driver. Our driver neither blocks nor drops output in any
/// mode.
const LOG_OPTIONS: [&str; 5] =
    ["awslogs-group", "awslogs-region", "awslogs-stream-prefix", "mode", "max-buffer-size"];

/// Prefixes of variables that only our own programs read.
const VARIABLE_PREFIXES: [&str; 1] = ["KINESISDEMO_"];
/// Variables that name no file or program and do not redirect requests. Excluded on purpose: every
/// other `AWS_…`, because profile files name programs to run (`AWS_CONFIG_FILE`) and endpoints
/// receive credentials (`AWS_ENDPOINT_URL`); `ECS_…`, which ECS itself sets.
const VARIABLES: [&str; 16] = [
    "AWS_DEFAULT_REGION",
    "AWS_DEFAULTS_MODE",
    "AWS_DISABLE_REQUEST_COMPRESSION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_MAX_ATTEMPTS",
    "AWS_REGION",
    "AWS_REQUEST_CHECKSUM_CALCULATION",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES",
    "AWS_RESPONSE_CHECKSUM_VALIDATION",
    "AWS_RETRY_MODE",
    "AWS_SDK_UA_APP_ID",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "LOG_LEVEL",
    "NO_COLOR",
    "RUST_BACKTRACE",
    "RUST_LOG",
];

impl TaskRules {
    /// Rejects what is not supported. The caller has already checked the types of the members.
    pub fn check(&self, definition: Parameters<'_>) -> Result<(), AwsError> {
        definition
            .list("containerDefinitions")?
            .iter()
            .try_for_each(|container| self.check_container(container))
    }

    fn check_container(&self, definition: &Value) -> Result<(), AwsError> {
        let container = Parameters::new(definition, INVALID_REQUEST);
        let name = container.text("name")?.unwrap_or_default();
        let rejected = |why: String| Err(client(format!("Container '{name}': {why}")));
        check_logs(container).or_else(rejected)?;
        let Self::Processes { allowed_variables } = self else { return Ok(()) };
        let pod_only = POD_MEMBERS
            .into_iter()
            .find(|member| container.raw(member).is_some_and(|value| !is_unset(value)));
        if let Some(member) = pod_only {
            return rejected(format!(
                "'{member}' is not supported when tasks run as processes of this machine: a process runs only the \
                 command that `--image` maps to the image. Remove it from the task definition"
            ));
        }
        if let Some(user) = container.text("user")?
            && !is_non_root(user)
        {
            return rejected(format!(
                "'user' {user} is not supported when tasks run as processes of this machine: a process runs as the \
                 user of the sandbox. Use the number of a non-root user, or remove it"
            ));
        }
        for pair in container.list("environment")? {
            let variable = Parameters::new(pair, INVALID_REQUEST).text("name")?.unwrap_or_default();
            if !is_allowed(variable, allowed_variables) {
                return rejected(format!(
                    "the environment variable {variable} is not allowed when tasks run as processes of this machine: a \
                     process runs as the user of the sandbox, and a variable can change what is loaded or run, or \
                     where requests go. Allowed are KINESISDEMO_*, {}, and variables that the sandbox is started \
                     with (`--allow-variable {variable}`)",
                    VARIABLES.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// Rejects what is not supported in a container's log configuration.
fn check_logs(container: Parameters<'_>) -> Result<(), String> {
    let nested = |outer: Parameters<'_>, member| outer.raw(member).cloned().unwrap_or(Value::Null);
    let configuration = nested(container, "logConfiguration");
    let configuration = Parameters::new(&configuration, INVALID_REQUEST);
    match configuration.raw("logDriver").and_then(Value::as_str) {
        None | Some("awslogs") => {}
        Some(driver) => return Err(format!("the log driver {driver} {NOT_SUPPORTED}")),
    }
    let options = nested(configuration, "options");
    let is_set = |value: &Value| !is_unset(value) && *value != "false";
    let unknown = options
        .as_object()
        .into_iter()
        .flatten()
        .find(|(option, value)| !LOG_OPTIONS.contains(&option.as_str()) && is_set(value));
    match unknown {
        Some((option, _)) => Err(format!("the option {option} of awslogs {NOT_SUPPORTED}")),
        None => Ok(()),
    }
}

/// Whether this is `user` or `user:group` by number, and not root.
fn is_non_root(user: &str) -> bool {
    let mut parts = user.splitn(2, ':').map(str::parse::<u32>);
    matches!(parts.next(), Some(Ok(1..))) && !matches!(parts.next(), Some(Err(_) | Ok(0)))
}

fn is_allowed(variable: &str, allowed: &[String]) -> bool {
    VARIABLES.contains(&variable)
        || VARIABLE_PREFIXES.iter().any(|prefix| variable.strip_prefix(prefix).is_some_and(is_word))
        || allowed.iter().any(|name| name == variable)
}

/// A newline, an equals sign or a NUL in a name could turn one variable into two.
fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(rules: &TaskRules, container: Value) -> Result<(), AwsError> {
        rules.check(Parameters::new(&json!({"containerDefinitions": [container]}), INVALID_REQUEST))
    }

    /// A container with a name, an image and these members.
    fn with(members: Value) -> Value {
        let mut container = json!({"name": "main", "image": "i"});
        container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        container
    }

    fn variable(name: &str) -> Value {
        with(json!({"environment": [{"name": "AWS_REGION", "value": "x"}, {"name": name, "value": "x"}]}))
    }

    #[test]
    fn dangerous_variables_are_rejected_by_name() {
        for name in [
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "LD_AUDIT",
            "DYLD_INSERT_LIBRARIES",
            "GLIBC_TUNABLES",
            "GCONV_PATH",
            "PATH",
            "HOME",
            "TMPDIR",
            "IFS",
            "ENV",
            "BASH_ENV",
            "SHELLOPTS",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "PERL5OPT",
            "RUBYOPT",
            "NODE_OPTIONS",
            "JAVA_TOOL_OPTIONS",
            "OPENSSL_CONF",
            "SSL_CERT_FILE",
            "HTTPS_PROXY",
            "http_proxy",
            "TZ",
            "LOCPATH",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "AWS_PROFILE",
            "AWS_CA_BUNDLE",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_KINESIS",
            "AWS_ACCESS_KEY_ID",
            "ECS_CONTAINER_METADATA_URI_V4",
            "kinesisdemo_run",
            "XKINESISDEMO_RUN",
            "RUST_LOG ",
            "KINESISDEMO_\nLD_PRELOAD",
            "KINESISDEMO_=LD_PRELOAD",
            "",
        ] {
            let error = checked(&TaskRules::default(), variable(name)).unwrap_err();
            assert_eq!((error.status, error.code.as_str()), (400, "ClientException"));
            let prefix = format!("Container 'main': the environment variable {name} is not allowed");
            assert!(error.message.starts_with(&prefix), "{}", error.message);
            checked(&TaskRules::Pods, variable(name)).unwrap();
        }
    }

    #[test]
    fn own_and_allowed_variables_are_accepted() {
        for name in ["KINESISDEMO_RUN", "AWS_DEFAULT_REGION", "RUST_LOG", "AWS_SDK_UA_APP_ID"] {
            checked(&TaskRules::default(), variable(name)).unwrap();
        }
        let rules = TaskRules::Processes { allowed_variables: vec!["GREETING".to_owned()] };
        checked(&rules, variable("GREETING")).unwrap();
        assert!(checked(&rules, variable("GREETING2")).is_err());
    }

    #[test]
    fn pod_only_members_and_root_users_are_rejected_for_processes() {
        for (member, value) in [("entryPoint", json!(["/bin/sh", "-c"])), ("workingDirectory", json!("/etc"))]
        {
            let container = with(json!({ member: value }));
            let message = checked(&TaskRules::default(), container.clone()).unwrap_err().message;
            assert!(message.contains(member) && message.contains("--image"), "{message}");
            checked(&TaskRules::Pods, container).unwrap();
        }
        for user in ["root", "0", "0:0", "65532:0", "65532:root", "nobody", "-1", "1:2:3"] {
            let message = checked(&TaskRules::default(), with(json!({"user": user}))).unwrap_err().message;
            assert!(message.contains(&format!("'user' {user}")), "{message}");
        }
        for user in ["65532", "1000:1000"] {
            checked(&TaskRules::default(), with(json!({"user": user}))).unwrap();
        }
    }

    #[test]
    fn empty_members_are_accepted() {
        let container = with(json!({"entryPoint": [], "workingDirectory": "", "logConfiguration": null}));
        checked(&TaskRules::default(), container.clone()).unwrap();
        checked(&TaskRules::Pods, container).unwrap();
    }

    #[test]
    fn unsupported_log_drivers_and_options_are_rejected() {
        let logs = |configuration: Value| {
            checked(&TaskRules::Pods, with(json!({"logConfiguration": configuration})))
                .map_err(|error| error.message)
        };
        logs(json!({"logDriver": "awslogs", "options": {"awslogs-group": "/g", "mode": "non-blocking"}}))
            .unwrap();
        logs(json!({"logDriver": "awslogs", "options": {"awslogs-create-group": "false"}})).unwrap();
        for (configuration, named) in [
            (json!({"logDriver": "splunk"}), "splunk"),
            (json!({"logDriver": "awsfirelens"}), "awsfirelens"),
            (
                json!({"logDriver": "awslogs", "options": {"awslogs-create-group": "true"}}),
                "awslogs-create-group",
            ),
            (
                json!({"logDriver": "awslogs", "options": {"awslogs-endpoint": "http://x"}}),
                "awslogs-endpoint",
            ),
        ] {
            let message = logs(configuration).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
    }
}
