//! The operator's program: parses the arguments, installs the TLS provider, runs the command and
//! sets the exit code.

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
            start::run(*args).await
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
