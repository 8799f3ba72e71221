//! Parses the arguments, sets up logging and the runtime, and runs the generator.

use std::process::ExitCode;

use clap::Parser;
use kinesis_demo_api::error_chain::error_chain;
use kinesis_demo_generator::args::Args;
use tracing::error;
use tracing_subscriber::EnvFilter;

/// One thread for the pacer and one for requests; more would only compete for a small task's share
/// of a processor.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("warn,kinesis_demo_generator=info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_env_filter(filter)
        .with_writer(std::io::stdout)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(kinesis_demo_generator::run(args));
            // Does not wait for blocking tasks, such as a DNS lookup that cannot be cancelled.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(error = error_chain(failure.as_ref()), "generator failed");
            ExitCode::FAILURE
        }
    }
}
