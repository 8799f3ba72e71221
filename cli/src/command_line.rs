//! The command line as a whole: parses it, and runs one command.

use clap::{Parser, Subcommand};

use crate::error::CliError;
use crate::exit_status::ExitStatus;
#[cfg(feature = "foundation")]
use crate::foundation::{self, FoundationError};
use crate::{args, commands, dashboard, demo};

/// Shown by `--help`; scripts rely on them.
const EXIT_CODES: &str = "Exit codes:
  0    success (a watched run: Succeeded)
  1    an error, printed on stderr
  2    the command line is invalid
  3    the run ended as Failed
  4    the run ended as Aborted
  5    demo: resources remain in the sandbox
  130  interrupted (demo: after everything was stopped and removed)";

/// Starts, watches and stops viral events on Amazon Kinesis on-demand streams.
#[derive(Debug, Parser)]
#[command(name = "kubectl-kinesisdemo", bin_name = "kubectl kinesisdemo", version, about, after_help = EXIT_CODES)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List KinesisDemos.
    List(args::List),
    /// Show one KinesisDemo: its run, its phases, and what blocks it.
    Status(args::One),
    /// Watch one KinesisDemo until its run ends: in a view that fills the terminal, otherwise one
    /// line per change.
    Watch(args::Watch),
    /// Create a KinesisDemo, by server-side apply, and watch its run.
    Start(args::Start),
    /// Abort a run: stop the traffic, then remove all resources of the run. Waits until this is
    /// done.
    Stop(args::Stop),
    /// Start the next run of a finished KinesisDemo, and watch it.
    Rerun(args::Rerun),
    /// Show runs on a page in the browser: while they go on, past ones, several side by side.
    ///
    /// The page is served on loopback with your own Kubernetes credentials. A file that only you
    /// can read logs your browser in.
    Dashboard(args::Dashboard),
    /// Show the Kubernetes Events of one KinesisDemo, oldest first: the operator's actions, and
    /// errors from AWS.
    ///
    /// The generator tasks' own logs are not shown. They are in CloudWatch Logs, in the log group
    /// that `status.resources` names.
    Logs(args::Logs),
    /// Report one run, finished or not: figures, phases, totals, settings, what was left. As one
    /// HTML file, as Markdown for a pull request, or as JSON.
    Report(args::Report),
    /// Compare two runs, differences first: a cold and a warm one, or two runs of one KinesisDemo.
    Compare(args::Compare),
    /// Estimate what a run of a manifest costs on AWS: by component, from the cheapest case to the
    /// dearest, and in other ways of paying. Needs no cluster and no account.
    Estimate(args::Estimate),
    /// Delete KinesisDemos and wait until their AWS resources are deleted.
    Cleanup(args::Cleanup),
    /// Deploy, show or delete the CloudFormation stack that KinesisDemo needs in an AWS account:
    /// network, ECS cluster, image repositories, roles.
    ///
    /// Uses the same credentials as the AWS CLI: from the environment, the profile in AWS_PROFILE,
    /// or single sign-on.
    #[cfg(feature = "foundation")]
    Foundation(foundation::args::Foundation),
    /// Not included in this program, which `make demo` built; `make build` includes it.
    #[cfg(not(feature = "foundation"))]
    Foundation {
        /// Accepted and ignored.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
        words: Vec<String>,
    },
    /// Run a viral event on this machine, with its own Kubernetes API server and local AWS. Needs
    /// no account and no cluster.
    Demo(args::Demo),
    /// Stop the demo that `demo --keep` left running. Does nothing if there is none.
    DemoDown(args::DemoDown),
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Cli(#[from] CliError),
    #[cfg(feature = "foundation")]
    #[error(transparent)]
    Foundation(#[from] FoundationError),
}

impl CommandError {
    /// What the user can do about it, if known.
    #[must_use]
    pub fn next_step(&self) -> Option<String> {
        match self {
            Self::Cli(error) => error.next_step(),
            #[cfg(feature = "foundation")]
            Self::Foundation(error) => error.next_step(),
        }
    }

    /// Whether the reader of our output has gone, as in `kubectl kinesisdemo list | head`.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        let output = match self {
            Self::Cli(CliError::Output(error)) => error,
            #[cfg(feature = "foundation")]
            Self::Foundation(FoundationError::Output(error)) => error,
            _ => return false,
        };
        output.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// Runs the command.
pub async fn run(command: Command) -> Result<ExitStatus, CommandError> {
    let status = match command {
        Command::List(arguments) => commands::show::list(arguments).await?,
        Command::Status(arguments) => commands::show::status(arguments).await?,
        Command::Watch(arguments) => commands::show::watch(arguments).await?,
        Command::Start(arguments) => commands::start::start(arguments).await?,
        Command::Stop(arguments) => commands::requests::stop(arguments).await?,
        Command::Rerun(arguments) => commands::requests::rerun(arguments).await?,
        Command::Dashboard(arguments) => dashboard::run(arguments).await?,
        Command::Logs(arguments) => commands::logs::logs(arguments).await?,
        Command::Report(arguments) => commands::report::report(arguments).await?,
        Command::Compare(arguments) => commands::report::compare(arguments).await?,
        Command::Estimate(arguments) => commands::estimate::estimate(&arguments)?,
        Command::Cleanup(arguments) => commands::cleanup::cleanup(arguments).await?,
        #[cfg(feature = "foundation")]
        Command::Foundation(arguments) => foundation::run(arguments).await?,
        #[cfg(not(feature = "foundation"))]
        Command::Foundation { .. } => Err(CliError::Refused(
            "this program was built without `foundation`, for the local demo only; `make build` builds one that includes it"
                .into(),
        ))?,
        Command::Demo(arguments) => demo::run(arguments).await?,
        Command::DemoDown(arguments) => demo::down(arguments).await?,
    };
    Ok(status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn command_line_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn start_accepts_a_file_or_a_name_but_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x start -f a.yaml").is_ok());
        assert!(parse("x start --name a --warm-throughput 100 --region us-east-1").is_ok());
        assert!(parse("x start").is_err());
        assert!(parse("x start -f a.yaml --name b").is_err());
        assert!(parse("x start --name a --warm-throughput 0").is_err());
        assert!(parse("x start --name a --warm-throughput 10241").is_err());
    }

    #[test]
    fn dashboard_accepts_names_or_a_replay_but_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x dashboard").is_ok());
        assert!(parse("x dashboard cold warm -n demos --port 8080 --read-only --no-open").is_ok());
        assert!(parse("x dashboard --replay run.json --speed 60").is_ok());
        assert!(parse("x dashboard cold --replay run.json").is_err());
        assert!(parse("x dashboard --replay run.json -n demos").is_err());
        assert!(parse("x dashboard --speed 60").is_err());
        assert!(parse("x dashboard a b c d e").is_err());
    }

    #[test]
    fn a_report_is_of_a_name_or_of_a_file() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x report a").is_ok());
        assert!(parse("x report a --run 3 -o html --output-file a.html").is_ok());
        assert!(parse("x report --file a.yaml").is_ok());
        assert!(parse("x report").is_err());
        assert!(parse("x report a --run 0").is_err());
        assert!(parse("x compare a b/3 -o json").is_ok());
        assert!(parse("x compare --file a.yaml --file b.yaml").is_ok());
        assert!(parse("x compare a b --file c.yaml").is_ok());
        for wrong in ["a", "a b c", "a b/x", "a b/0", "a /1", "a b/1/2"] {
            assert!(parse(&format!("x compare {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn cleanup_accepts_names_or_all_but_not_both() {
        let parse = |line: &str| Args::try_parse_from(line.split_whitespace());
        assert!(parse("x cleanup a b").is_ok());
        assert!(parse("x cleanup --all -A").is_ok());
        assert!(parse("x cleanup").is_err());
        assert!(parse("x cleanup a --all").is_err());
        assert!(parse("x cleanup a -A").is_err());
    }
}
