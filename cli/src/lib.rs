//! The command line for KinesisDemo objects, and the local cluster for the demo.
//!
//! ```text
//! args ─► commands (list, watch, start, stop, rerun, logs …) ─► cluster ─► API server
//!     ├─► foundation ─► CloudFormation, ECS
//!     └─► demo ─► local_cluster (API server, its process record) + operator + sandbox ─► report
//! ```
//!
//! [`local_cluster`] starts Kubernetes; the tests of the other crates use it too.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod args;
pub mod cluster;
pub mod commands;
pub mod demo;
pub mod ending;
pub mod error;
pub mod follow;
#[cfg(feature = "foundation")]
pub mod foundation;
pub mod kept;
pub mod local_cluster;
pub mod manifest;
pub mod output;
pub mod render;
pub mod screen;

use args::Command;
use ending::Ending;
use error::CliError;

/// Chooses the TLS implementation for the whole process. Dependencies may compile in both ring and
/// aws-lc, and rustls then has no default, so this must be called first. A second call changes
/// nothing.
pub fn install_crypto() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// Runs the command.
pub async fn run(command: Command) -> Result<Ending, CliError> {
    match command {
        Command::List(arguments) => commands::show::list(arguments).await,
        Command::Status(arguments) => commands::show::status(arguments).await,
        Command::Watch(arguments) => commands::show::watch(arguments).await,
        Command::Start(arguments) => commands::start::start(arguments).await,
        Command::Stop(arguments) => commands::requests::stop(arguments).await,
        Command::Rerun(arguments) => commands::requests::rerun(arguments).await,
        Command::Logs(arguments) => commands::logs::logs(arguments).await,
        Command::Cleanup(arguments) => commands::cleanup::cleanup(arguments).await,
        #[cfg(feature = "foundation")]
        Command::Foundation(arguments) => foundation::run(arguments).await,
        #[cfg(not(feature = "foundation"))]
        Command::Foundation { .. } => Err(CliError::Refused(
            "this program was built without `foundation`, for the local demo only; `make build` builds one that includes it"
                .into(),
        )),
        Command::Demo(arguments) => demo::run(arguments).await,
        Command::DemoDown(arguments) => demo::down(arguments).await,
    }
}
