//! The operator's program: parses the arguments, installs the TLS provider, runs the command and
//! sets the exit code.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use clap::Parser;
use kinesis_demo_operator::cli::{Cli, Command};
use kinesis_demo_operator::{check, crd, drain, start, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    // kube and the AWS SDK must use the same provider. The first one installed is the default of
    // both.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let result = match cli.command {
        Command::Run(args) => {
            telemetry::start(args.log_format, &args.log);
            let restarts = args.restart_in_place;
            match start::run(*args).await {
                Err(lost) if restarts && start::has_lost_leadership(&lost) => Err(begin_again(lost)),
                result => result,
            }
        }
        Command::Drain(args) => drain::drain(args).await,
        Command::Check(args) => check::check(args).await,
        Command::Crd => crd::yaml().map(|text| print!("{text}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Replaces this process by a new one of the same program and arguments: no thread, task or
/// connection of the old one is left that could still write. Returns only if that fails.
fn begin_again(lost: anyhow::Error) -> anyhow::Error {
    tracing::warn!(error = format!("{lost:#}"), "leadership was lost: beginning again");
    let mut arguments = std::env::args_os();
    let (Some(name), Ok(program)) = (arguments.next(), std::env::current_exe()) else { return lost };
    let failed = std::process::Command::new(program).arg0(name).args(arguments).exec();
    lost.context(format!("begin again ({failed})"))
}
