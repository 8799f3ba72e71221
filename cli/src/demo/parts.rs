//! Our own programs as child processes of the demo. In: a supervisor and addresses. Out: the
//! sandbox's address and key; an operator at work.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kinesis_demo_api::allow_list::AllowList;
use kinesis_demo_api::plan::Defaults;
use serde::Deserialize;
use tokio::process::Command;

use super::environment::{SandboxAddress, aws_variables};
use crate::error::CliError;
use crate::local_cluster::leftovers::sandbox_state;
use crate::local_cluster::supervisor::log_tail;
use crate::local_cluster::{LocalClusterError, Supervisor, make_private_folder};

pub const SANDBOX: &str = "sandbox";
pub const OPERATOR: &str = "operator";
pub const REGION: &str = "us-east-1";
const ACCOUNT: &str = "000000000000";
/// The ECS cluster of the sandbox.
pub const CLUSTER: &str = "kinesis-demo";
const IMAGE: &str = "kinesis-demo-generator:local";
const SUBNET: &str = "subnet-0a1b2c3d";
const SECURITY_GROUP: &str = "sg-0a1b2c3d";
/// The sandbox opens one socket; it is ready in moments.
const SANDBOX_TIMEOUT: Duration = Duration::from_secs(30);
/// By this variable the sandbox learns the access key id that it is to serve. An argument could be
/// read by other users.
const ACCESS_KEY_VARIABLE: &str = "SANDBOX_ACCESS_KEY_ID";
const POLL: Duration = Duration::from_millis(20);

/// Where our programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    operator: PathBuf,
    sandbox: PathBuf,
    generator: PathBuf,
}

impl Programs {
    /// Those beside this executable: built together, they speak the same words.
    pub fn beside_this() -> Result<Self, CliError> {
        let this = std::env::current_exe()?;
        Self::in_folder(this.parent().unwrap_or(Path::new(".")))
    }

    /// Those of a folder.
    pub fn in_folder(folder: &Path) -> Result<Self, CliError> {
        // The sandbox is told in one argument which program an image stands for, and writes it into
        // a list as JSON.
        if folder.to_str().is_none() {
            return Err(CliError::Refused(format!(
                "could not use the programs in {folder:?}: its name is not UTF-8; move them to another folder"
            )));
        }
        let find = |name: &str| {
            let path = folder.join(name);
            if path.is_file() {
                return Ok(path);
            }
            Err(CliError::Refused(format!(
                "{name} is not in {}; `make demo` builds all programs of the demo into one folder",
                folder.display()
            )))
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

/// What the demo's operator fills in and allows: nothing here is anybody's, so a manifest may name
/// what it likes.
#[must_use]
pub fn operator_defaults() -> Defaults {
    Defaults {
        region: REGION.into(),
        regions: vec![REGION.into()],
        image: Some(IMAGE.into()),
        subnets: vec![SUBNET.into()],
        security_groups: vec![SECURITY_GROUP.into()],
        allow_list: AllowList::everything(),
        max_records_per_second: 200_000,
        max_tasks: 100,
        max_warm_mib_per_second: 200,
    }
}

/// Where the sandbox writes down what was asked of AWS, each distinct call once.
#[must_use]
pub fn recorded_calls(supervisor: &Supervisor) -> PathBuf {
    supervisor.log_path("calls").with_extension("jsonl")
}

/// Starts the sandbox under a new key and waits for its address. Advantage is on: the account is
/// not anybody's, and warm throughput needs it.
pub async fn start_sandbox(
    supervisor: &Supervisor,
    programs: &Programs,
    speed: u32,
) -> Result<SandboxAddress, CliError> {
    let state = sandbox_state(supervisor.state());
    make_private_folder(&state)?;
    let file = state.join("address.json");
    // An earlier run's address would be believed.
    if file.exists() {
        std::fs::remove_file(&file)?;
    }
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
    in_clean_environment(&mut command);
    let access_key_id = new_access_key_id();
    command.env(ACCESS_KEY_VARIABLE, &access_key_id);
    supervisor.start(SANDBOX, command).await?;
    let waiting = async {
        loop {
            if let Some(death) = supervisor.death_of(SANDBOX) {
                return Err(LocalClusterError::from(death));
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
        Ok(address) => Ok(address?),
        Err(_) => Err(LocalClusterError::NotReady {
            role: SANDBOX.into(),
            seconds: SANDBOX_TIMEOUT.as_secs(),
            log: supervisor.log_path(SANDBOX),
            tail: log_tail(&supervisor.log_path(SANDBOX)),
        }
        .into()),
    }
}

/// Starts the operator under its own kubeconfig, with nothing of AWS in reach but the sandbox.
pub async fn start_operator(
    supervisor: &Supervisor,
    programs: &Programs,
    kubeconfig: &Path,
    sandbox: &SandboxAddress,
) -> Result<(), CliError> {
    let role = |name: &str| format!("arn:aws:iam::{ACCOUNT}:role/{name}");
    let Defaults {
        region: _,
        regions,
        image,
        subnets,
        security_groups,
        allow_list,
        max_records_per_second,
        max_tasks,
        max_warm_mib_per_second,
    } = operator_defaults();
    let mut command = Command::new(&programs.operator);
    command
        .args(["run", "--account", ACCOUNT, "--ecs-cluster", CLUSTER])
        .args([
            "--task-role-arn",
            &role("kinesis-demo-task"),
            "--execution-role-arn",
            &role("kinesis-demo-execution"),
        ])
        .args(["--admin-address", "127.0.0.1:0", "--local-timings", "--log-format", "text"])
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
    in_clean_environment(&mut command);
    command.env("KUBECONFIG", kubeconfig).envs(aws_variables(sandbox, REGION));
    supervisor.start(OPERATOR, command).await?;
    Ok(())
}

/// An access key id that nobody can guess: 122 random bits.
fn new_access_key_id() -> String {
    format!("SANDBOX{}", uuid::Uuid::new_v4().simple().to_string().to_uppercase())
}

/// Without what the user's shell holds for other purposes: AWS profiles and keys, settings of an operator, proxies that would stand before
/// loopback.
fn in_clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().to_ascii_uppercase();
        let is_foreign =
            ["AWS_", "KINESISDEMO_", "POD_", "SANDBOX_"].iter().any(|prefix| text.starts_with(prefix));
        if is_foreign || text.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
}
