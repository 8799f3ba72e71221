//! Parses, prepares the process, runs.

use std::process::ExitCode;

use clap::Parser;
use kinesis_demo_generator::args::Args;
use kinesis_demo_generator::error::chain;
use tracing::error;
use tracing_subscriber::EnvFilter;

/// Enough for the pace and the requests at once; more would only take turns on a small task's share of a processor.
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
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(kinesis_demo_generator::run(args));
            // A look-up that cannot be cancelled does not hold up the end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!(error = chain(failure.as_ref()), "generator failed");
            ExitCode::FAILURE
        }
    }
}
