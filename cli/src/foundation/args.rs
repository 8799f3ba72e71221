//! The arguments of `foundation`. Parsing only; the parameters listed in the help come from the
//! template.

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
    /// Create or update the stack, wait until the operation ends, and print the chart's Helm values
    /// on stdout.
    ///
    /// Interrupting this command only stops watching: the stack operation continues in AWS, and the
    /// same command resumes watching it. Progress is on stderr, so that `kubectl kinesisdemo
    /// foundation deploy > foundation-values.yaml` works.
    #[command(after_help = template::listing())]
    Deploy(Deploy),
    /// Show the stack: its status, its outputs, its parameters.
    Status(Status),
    /// Delete the stack and wait until nothing of it is left. Fails while runs are active.
    ///
    /// A run is active if the stack's ECS cluster has a service or a task that has not stopped, or
    /// if the Kubernetes cluster has, in any namespace, a KinesisDemo of this account and Region
    /// that is not over. Interrupting this command only stops watching: the deletion continues in
    /// AWS, and the same command resumes watching it.
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
    pub location: StackLocation,
    /// A template parameter (listed below); repeatable. Parameters that are not given keep the
    /// stack's current value, or the default for a new stack.
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
pub struct Status {
    #[command(flatten)]
    pub location: StackLocation,
    /// The output format.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: StackOutput,
}

/// The output format of a stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum StackOutput {
    #[default]
    Text,
    /// Includes the account, the Region, and when the current status began.
    Json,
    /// Only the Helm values for the chart.
    Values,
}

#[derive(Debug, clap::Args)]
pub struct Delete {
    #[command(flatten)]
    pub location: StackLocation,
    /// The kubeconfig file. Default: $KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context. Default: the current one.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Check only AWS for active runs.
    #[arg(long, conflicts_with_all = ["kubeconfig", "context"])]
    pub skip_kubernetes: bool,
}

/// CreateStack's rule (API reference, `StackName`), checked before any call to AWS.
fn stack_name(text: &str) -> Result<String, String> {
    let rest_fits = text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-');
    match text.chars().next() {
        Some(first) if first.is_ascii_alphabetic() && rest_fits && text.len() <= 128 => Ok(text.to_owned()),
        _ => Err("it must be a letter, then letters, digits and hyphens, at most 128 characters".into()),
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it must have the form KEY=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        foundation: Foundation,
    }

    fn parsed(line: &str) -> Result<Verb, clap::Error> {
        Line::try_parse_from(line.split_whitespace()).map(|line| line.foundation.verb)
    }

    #[test]
    fn a_parameter_value_may_contain_an_equals_sign() {
        let line = "foundation deploy --region us-east-1 --parameter A=b --parameter C=d=e --parameter F=";
        let Verb::Deploy(Deploy { location, parameters }) = parsed(line).unwrap() else { panic!() };
        assert_eq!(
            (location.stack_name.as_str(), location.region.as_deref()),
            ("kinesis-demo", Some("us-east-1"))
        );
        let pairs: Vec<(&str, &str)> =
            parameters.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(pairs, [("A", "b"), ("C", "d=e"), ("F", "")]);
        assert!(parsed("foundation deploy --parameter A").is_err());
        assert!(parsed("foundation deploy --parameter =a").is_err());
    }

    #[test]
    fn stack_names_follow_cloudformations_rule() {
        assert!(parsed("foundation status --stack-name load-2 -o values").is_ok());
        for name in ["2load", "load_2", "load.2", &"a".repeat(129)] {
            assert!(parsed(&format!("foundation status --stack-name {name}")).is_err(), "{name}");
        }
    }

    #[test]
    fn skip_kubernetes_excludes_the_cluster_flags() {
        assert!(parsed("foundation delete --skip-kubernetes").is_ok());
        assert!(parsed("foundation delete --context kind-demo").is_ok());
        assert!(parsed("foundation delete --context kind-demo --skip-kubernetes").is_err());
    }
}
