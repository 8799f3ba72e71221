//! The arguments of `foundation`. Parsing only; the parameters told in the help are the template's own.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use super::template;

#[derive(Debug, clap::Args)]
pub struct Foundation {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make or update the stack, follow it to its end, and print the Helm values for the chart on stdout.
    ///
    /// Interrupted, it only stops watching: the stack goes on in AWS, and the same command goes on watching. Progress is on stderr, so
    /// that `kubectl kinesisdemo foundation deploy > foundation-values.yaml` works.
    #[command(after_help = template::listing())]
    Deploy(Deploy),
    /// Show the stack: its status, its outputs, its parameters.
    Status(Status),
    /// Delete the stack and wait until nothing of it is left. Refuses while runs live.
    ///
    /// A run lives if the stack's ECS cluster has a service or a task that has not stopped, or if the Kubernetes cluster has a KinesisDemo of
    /// this account and Region that is not over, in any namespace. Interrupted, it only stops watching: the deletion goes on in AWS, and
    /// the same command goes on watching.
    Delete(Delete),
}

/// Which stack.
#[derive(Clone, Debug, clap::Args)]
pub struct StackLocation {
    /// The CloudFormation stack.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STACK, value_parser = stack_name)]
    pub stack_name: String,
    /// The AWS Region. Default: AWS_REGION, or the profile's.
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
}

pub const DEFAULT_STACK: &str = "kinesis-demo";

#[derive(Debug, clap::Args)]
pub struct Deploy {
    #[command(flatten)]
    pub place: StackLocation,
    /// A parameter of the template (below), repeatable. Those not named keep the value that the stack has; of a new stack, their default.
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub place: StackLocation,
    /// How to print.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StackOutput,
}

/// How a stack is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StackOutput {
    #[default]
    Text,
    /// With account, Region, and since when it has its status.
    Json,
    /// The Helm values for the chart, and nothing else.
    Values,
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    pub place: StackLocation,
    /// The kubeconfig file. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. Default: the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Ask AWS only whether runs live.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub skip_kubernetes: bool,
}

/// CreateStack's own rule (API reference, `StackName`), told before anything is asked of AWS.
fn stack_name(text: &str) -> Result<String, String> {
    let rest_fits = text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    match text.chars().next() {
        Some(first) if first.is_ascii_alphabetic() && rest_fits && text.len() <= 128 => Ok(text.to_owned()),
        _ => Err("a letter, then letters, digits and hyphens, 128 characters at the most".into()),
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it has the form KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn parsed(line: &str) -> Result<Verb, clap::Error> {
        match Args::try_parse_from(line.split_whitespace())?.command {
            Command::Foundation(foundation) => Ok(foundation.verb),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn parameters_are_pairs_and_a_value_may_have_an_equals_sign() {
        let line = "x foundation deploy --region us-east-1 --parameter A=b --parameter C=d=e --parameter F=";
        let Verb::Deploy(Deploy { place, parameters }) = parsed(line).unwrap() else { panic!() };
        assert_eq!((place.stack_name.as_str(), place.region.as_deref()), ("kinesis-demo", Some("us-east-1")));
        let pairs: Vec<(&str, &str)> =
            parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "b"), ("C", "d=e"), ("F", "")]);
        assert!(parsed("x foundation deploy --parameter A").is_err());
        assert!(parsed("x foundation deploy --parameter =a").is_err());
    }

    #[test]
    fn a_stack_has_the_name_that_cloudformation_takes() {
        assert!(parsed("x foundation status --stack-name load-2 -o values").is_ok());
        for name in ["2load", "load_2", "load.2", &"a".repeat(129)] {
            assert!(parsed(&format!("x foundation status --stack-name {name}")).is_err(), "{name}");
        }
    }

    #[test]
    fn a_cluster_is_named_or_skipped() {
        assert!(parsed("x foundation delete --skip-kubernetes").is_ok());
        assert!(parsed("x foundation delete --context kind-demo").is_ok());
        assert!(parsed("x foundation delete --context kind-demo --skip-kubernetes").is_err());
    }
}
