//! `kubectl kinesisdemo`: parses the arguments, installs the TLS provider, runs one command, prints
//! errors, and exits with the command's code.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_local_cluster::tls::install_crypto_provider;
use kubectl_kinesisdemo::command_line::{Args, run};
use kubectl_kinesisdemo::exit_status::ExitStatus;
use kubectl_kinesisdemo::render::printable::printable;
use kubectl_kinesisdemo::terminal::{LogWriter, wants_colours};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Args::parse();
    install_crypto_provider();
    // kube logs every unsuccessful response, and waiting for a server to become ready causes many.
    // Our own errors contain what matters.
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error,kube_client=off"));
    let is_coloured = std::io::stderr().is_terminal() && wants_colours();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| LogWriter).with_ansi(is_coloured).init();
    match run(arguments.command).await {
        Ok(ending) => ending.into(),
        Err(error) if error.is_closed_pipe() => ExitStatus::Success.into(),
        Err(error) => {
            // Errors repeat what the cluster said.
            eprintln!("error: {}", printable(&error_chain(&error)));
            if let Some(next) = error.next_step() {
                eprintln!("next: {next}");
            }
            ExitStatus::Error.into()
        }
    }
}
