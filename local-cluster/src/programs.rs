//! Runs our own programs as child processes. In: a supervisor, the folder of the programs. Out: the
//! sandbox's address and key; a running operator, and whether to start it again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::limits::Limits;
use kinesis_demo_api::plan::Defaults;
use serde::Deserialize;
use tokio::process::Command;

use crate::error::LocalClusterError;
use crate::private_files::{make_private_folder, remove_if_present};
use crate::processes::supervisor::{Supervisor, UnexpectedExit, log_tail};
use crate::sandbox::address::{SandboxAddress, aws_variables};
use crate::state::folder::sandbox_state;

pub const SANDBOX: &str = "sandbox";
pub const OPERATOR: &str = "operator";
pub const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
/// The ECS cluster of the sandbox.
pub const CLUSTER: &str = "kinesis-demo";
const IMAGE: &str = "kinesis-demo-generator:local";
const SUBNET: &str = "subnet-0a1b2c3d";
const SECURITY_GROUP: &str = "sg-0a1b2c3d";
/// The sandbox opens one socket and is ready in moments.
const SANDBOX_TIMEOUT: Duration = Duration::from_secs(30);
/// This variable gives the sandbox its access key id. Other users could read an argument.
const ACCESS_KEY_VARIABLE: &str = "SANDBOX_ACCESS_KEY_ID";
const POLL: Duration = Duration::from_millis(20);
/// An operator that exits by itself sooner than this cannot work here: the next would exit, too.
const SHORTEST_USEFUL_LIFE: Duration = Duration::from_secs(5);

/// The paths of our programs.
#[derive(Clone, Debug)]
pub struct Programs {
    operator: PathBuf,
    sandbox: PathBuf,
    generator: PathBuf,
}

impl Programs {
    /// The programs in this executable's folder. They were built together, so their versions match.
    pub fn next_to_this() -> Result<Self, LocalClusterError> {
        let this = std::env::current_exe().map_err(|source| LocalClusterError::File {
            attempt: "find",
            path: "the running executable".into(),
            source,
        })?;
        Self::in_folder(this.parent().unwrap_or(Path::new(".")))
    }

    /// The programs in a folder.
    pub fn in_folder(folder: &Path) -> Result<Self, LocalClusterError> {
        // The sandbox gets the program of an image in one argument, and writes it to a list as
        // JSON.
        if folder.to_str().is_none() {
            return Err(LocalClusterError::ProgramsFolder { folder: folder.to_path_buf() });
        }
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(LocalClusterError::NoProgram { name: name.to_owned(), folder: folder.to_path_buf() })
        };
        Ok(Self {
            operator: find("kinesis-demo-operator")?,
            sandbox: find("kinesis-demo-sandbox")?,
            generator: find("kinesis-demo-generator")?,
        })
    }
}

#[derive(Deserialize)]
struct Address {
    address: String,
}

/// What the demo's operator fills in where a manifest names nothing.
#[must_use]
pub fn operator_defaults() -> Defaults {
    Defaults {
        region: REGION.into(),
        image: Some(IMAGE.into()),
        subnets: vec![SUBNET.into()],
        security_groups: vec![SECURITY_GROUP.into()],
    }
}

/// What the demo's operator allows. All resources are in the sandbox, so a manifest may use any of
/// them.
#[must_use]
pub fn operator_limits() -> Limits {
    Limits {
        regions: vec![REGION.into()],
        allow_list: AllowList::everything(),
        max_records_per_second: 200_000,
        max_tasks: 100,
        max_warm_mib_per_second: 200,
    }
}

/// The file to which the sandbox writes the AWS calls it received, each distinct call once.
#[must_use]
pub fn recorded_calls(supervisor: &Supervisor) -> PathBuf {
    supervisor.log_path("calls").with_extension("jsonl")
}

/// Starts the sandbox with a new key and waits for its address. Advantage is enabled: the account
/// is not a real one, and warm throughput needs it.
pub async fn start_sandbox(
    supervisor: &Supervisor,
    programs: &Programs,
    speed: u32,
) -> Result<SandboxAddress, LocalClusterError> {
    let state = sandbox_state(supervisor.state());
    make_private_folder(&state)?;
    let file = state.join("address.json");
    // Otherwise the address of an earlier run would be used.
    remove_if_present(&file)?;
    let mut image = std::ffi::OsString::from(format!("{IMAGE}="));
    image.push(&programs.generator);
    let mut command = Command::new(&programs.sandbox);
    command
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--account",
            ACCOUNT,
            "--advantage",
            "enabled",
            "--cluster",
            CLUSTER,
        ])
        .args(["--speed", &speed.to_string()])
        .arg("--address-file")
        .arg(&file)
        .arg("--image")
        .arg(image)
        .arg("--state-dir")
        .arg(&state)
        .arg("--record-calls")
        .arg(recorded_calls(supervisor));
    clean_environment(&mut command);
    let access_key_id = new_access_key_id();
    command.env(ACCESS_KEY_VARIABLE, &access_key_id);
    supervisor.start(SANDBOX, command).await?;
    let waiting = async {
        loop {
            if let Some(exit) = supervisor.exit_of(SANDBOX) {
                return Err(exit.into());
            }
            let address =
                std::fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Address>(&bytes).ok());
            if let Some(Address { address }) = address {
                return Ok(SandboxAddress { endpoint: format!("http://{address}"), access_key_id });
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(SANDBOX_TIMEOUT, waiting).await {
        Ok(address) => address,
        Err(_) => Err(LocalClusterError::NotReady {
            role: SANDBOX.into(),
            seconds: SANDBOX_TIMEOUT.as_secs(),
            log: supervisor.log_path(SANDBOX),
            tail: log_tail(&supervisor.log_path(SANDBOX)),
        }),
    }
}

/// Starts the operator with its own kubeconfig. The only AWS endpoint it can reach is the sandbox.
pub async fn start_operator(
    supervisor: &Supervisor,
    programs: &Programs,
    kubeconfig: &Path,
    sandbox: &SandboxAddress,
) -> Result<(), LocalClusterError> {
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    let Defaults { region: _, image, subnets, security_groups } = operator_defaults();
    let Limits { regions, allow_list, max_records_per_second, max_tasks, max_warm_mib_per_second } =
        operator_limits();
    let mut command = Command::new(&programs.operator);
    command
        .args(["run", "--account", ACCOUNT, "--ecs-cluster", CLUSTER])
        .args([
            "--task-role-arn",
            &role("kinesis-demo-task"),
            "--execution-role-arn",
            &role("kinesis-demo-execution"),
        ])
        .args([
            "--admin-address",
            "127.0.0.1:0",
            "--local-timings",
            "--restart-in-place",
            "--log-format",
            "text",
        ])
        .args(["--max-records-per-second", &max_records_per_second.to_string()])
        .args(["--max-tasks", &max_tasks.to_string()])
        .args(["--max-warm-mib-per-second", &max_warm_mib_per_second.to_string()]);
    for (flag, values) in [
        ("--region", regions),
        ("--generator-image", image.into_iter().collect()),
        ("--subnet", subnets),
        ("--security-group", security_groups),
        ("--allow-image", allow_list.images),
        ("--allow-subnet", allow_list.subnets),
        ("--allow-security-group", allow_list.security_groups),
    ] {
        command.args(values.iter().flat_map(|value| [flag, value]));
    }
    clean_environment(&mut command);
    command.env("KUBECONFIG", kubeconfig).envs(aws_variables(sandbox, REGION));
    supervisor.start(OPERATOR, command).await
}

/// Whether to start another operator after this one's exit, as a cluster does: it was killed, or it
/// worked for some time.
#[must_use]
pub fn is_worth_a_restart(exit: &UnexpectedExit) -> bool {
    exit.role == OPERATOR && (exit.by_signal || exit.after >= SHORTEST_USEFUL_LIFE)
}

/// An unguessable access key id: 122 random bits.
fn new_access_key_id() -> String {
    format!("SANDBOX{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase())
}

/// Removes the shell's variables for other purposes from the child's environment: AWS profiles and
/// keys, operator settings, and proxies, which cannot reach loopback.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let is_unrelated =
            ["AWS_", "KINESISDEMO_", "POD_", "SANDBOX_"].iter().any(|prefix| text.starts_with(prefix));
        if is_unrelated || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_operator_that_worked_or_was_killed_is_restarted() {
        let restarts = |role: &str, seconds: u64, by_signal: bool| {
            is_worth_a_restart(&UnexpectedExit {
                role: role.into(),
                status: "exit status: 1".into(),
                after: Duration::from_secs(seconds),
                by_signal,
                log: PathBuf::new(),
                tail: String::new(),
            })
        };
        assert!(restarts(OPERATOR, 0, true));
        assert!(restarts(OPERATOR, 60, false));
        assert!(!restarts(OPERATOR, 1, false), "it would exit again");
        assert!(!restarts(SANDBOX, 60, true), "its resources are gone");
    }
}
