//! What a task definition may ask for on this machine, of what is offered at all (`operations`). In:
//! the members of `RegisterTaskDefinition`. Out: nothing, or a refusal that names the member and says
//! why. Pure.
//!
//! A process of this machine runs as the user of the sandbox, so a request must not choose what is
//! loaded into it, what it runs, or where.

use serde_json::Value;

use super::request::{REFUSAL, client};
use crate::operations::{NOT_OFFERED, asks_for_nothing};
use crate::parameters::Members;
use crate::services::AwsError;

/// How tasks run, which decides what a definition may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskRules {
    /// As processes of this machine.
    Processes {
        /// Environment variables that may be set besides those that harm nobody.
        allowed_variables: Vec<String>,
    },
    /// As Pods of a cluster, where images hold what runs.
    Pods,
}

impl Default for TaskRules {
    fn default() -> Self {
        Self::Processes { allowed_variables: Vec::new() }
    }
}

/// What only Pods honour.
const POD_MEMBERS: [&str; 2] = ["entryPoint", "workingDirectory"];

/// Options of the awslogs driver that are honoured. Our driver holds nobody up and drops nothing,
/// whatever the mode.
const LOG_OPTIONS: [&str; 5] =
    ["awslogs-group", "awslogs-region", "awslogs-stream-prefix", "mode", "max-buffer-size"];

/// Prefixes of variables that only our own programs read.
const VARIABLE_PREFIXES: [&str; 1] = ["KINESISDEMO_"];
/// Variables that neither name a file or program nor say where requests go. Left out on purpose:
/// every other `AWS_…`, since files of profiles name programs to run (`AWS_CONFIG_FILE`) and
/// addresses receive credentials (`AWS_ENDPOINT_URL`); `ECS_…`, which ECS itself sets.
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
    /// Refuses what cannot be honoured. The members were read before, so they are of the right
    /// types.
    pub(super) fn check(&self, definition: Members<'_>) -> Result<(), AwsError> {
        definition
            .list("containerDefinitions")?
            .iter()
            .try_for_each(|container| self.check_container(container))
    }

    fn check_container(&self, definition: &Value) -> Result<(), AwsError> {
        let container = Members::new(definition, REFUSAL);
        let name = container.text("name")?.unwrap_or_default();
        let refused = |why: String| Err(client(format!("Container '{name}': {why}")));
        check_logs(container).or_else(refused)?;
        let Self::Processes { allowed_variables } = self else { return Ok(()) };
        let impossible = POD_MEMBERS
            .into_iter()
            .find(|member| container.raw(member).is_some_and(|value| !asks_for_nothing(value)));
        if let Some(member) = impossible {
            return refused(format!(
                "'{member}' is not possible for a process of this machine, which is the command that `--image` maps to the image \
                 and nothing else; leave it out"
            ));
        }
        if let Some(user) = container.text("user")?
            && !is_ordinary(user)
        {
            return refused(format!(
                "'user' {user} is not possible for a process of this machine, which runs as the user of the sandbox; name an \
                 ordinary user by number, or leave it out"
            ));
        }
        for pair in container.list("environment")? {
            let variable = Members::new(pair, REFUSAL).text("name")?.unwrap_or_default();
            if !may_be_set(variable, allowed_variables) {
                return refused(format!(
                    "the environment variable {variable} is not possible for a process of this machine: it runs as the user of \
                     the sandbox, and a variable can change what is loaded or run, or where requests go. Possible are \
                     KINESISDEMO_*, {}, and what the sandbox is started with (`--allow-variable {variable}`)",
                    VARIABLES.join(", ")
                ));
            }
        }
        Ok(())
    }
}

/// What cannot be honoured of a container's log configuration.
fn check_logs(container: Members<'_>) -> Result<(), String> {
    let nested = |outer: Members<'_>, member| outer.raw(member).cloned().unwrap_or(Value::Null);
    let configuration = nested(container, "logConfiguration");
    let configuration = Members::new(&configuration, REFUSAL);
    match configuration.raw("logDriver").and_then(Value::as_str) {
        None | Some("awslogs") => {}
        Some(driver) => return Err(format!("the log driver {driver} {NOT_OFFERED}")),
    }
    let options = nested(configuration, "options");
    let is_asked_for = |value: &Value| !asks_for_nothing(value) && *value != "false";
    let unknown = options
        .as_object()
        .into_iter()
        .flatten()
        .find(|(option, value)| !LOG_OPTIONS.contains(&option.as_str()) && is_asked_for(value));
    match unknown {
        Some((option, _)) => Err(format!("the option {option} of awslogs {NOT_OFFERED}")),
        None => Ok(()),
    }
}

/// `user` or `user:group` by number, and not root.
fn is_ordinary(user: &str) -> bool {
    let mut parts = user.splitn(2, ':').map(str::parse::<u32>);
    matches!(parts.next(), Some(Ok(1..))) && !matches!(parts.next(), Some(Err(_) | Ok(0)))
}

fn may_be_set(variable: &str, allowed: &[String]) -> bool {
    VARIABLES.contains(&variable)
        || VARIABLE_PREFIXES.iter().any(|prefix| variable.strip_prefix(prefix).is_some_and(is_word))
        || allowed.iter().any(|name| name == variable)
}

/// A line end, an equals sign or a NUL in a name could make two variables of one.
fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(rules: &TaskRules, container: Value) -> Result<(), AwsError> {
        rules.check(Members::new(&json!({"containerDefinitions": [container]}), REFUSAL))
    }

    /// A container with these members besides its name.
    fn with(members: Value) -> Value {
        let mut container = json!({"name": "main", "image": "i"});
        container.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        container
    }

    fn variable(name: &str) -> Value {
        with(json!({"environment": [{"name": "AWS_REGION", "value": "x"}, {"name": name, "value": "x"}]}))
    }

    #[test]
    fn variables_that_could_change_what_runs_are_refused_by_name() {
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
            let named = format!("Container 'main': the environment variable {name} is not possible");
            assert!(error.message.starts_with(&named), "{}", error.message);
            checked(&TaskRules::Pods, variable(name)).unwrap();
        }
    }

    #[test]
    fn variables_of_ours_and_those_that_were_allowed_are_set() {
        for name in ["KINESISDEMO_RUN", "AWS_DEFAULT_REGION", "RUST_LOG", "AWS_SDK_UA_APP_ID"] {
            checked(&TaskRules::default(), variable(name)).unwrap();
        }
        let rules = TaskRules::Processes { allowed_variables: vec!["GREETING".to_owned()] };
        checked(&rules, variable("GREETING")).unwrap();
        assert!(checked(&rules, variable("GREETING2")).is_err());
    }

    #[test]
    fn what_a_process_cannot_have_is_refused_and_a_pod_honours() {
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
    fn what_tools_send_empty_asks_for_nothing() {
        let container = with(json!({"entryPoint": [], "workingDirectory": "", "logConfiguration": null}));
        checked(&TaskRules::default(), container.clone()).unwrap();
        checked(&TaskRules::Pods, container).unwrap();
    }

    #[test]
    fn of_logs_only_what_the_driver_does_is_accepted() {
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
