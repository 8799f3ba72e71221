//! `foundation deploy|status|delete`: the CloudFormation stack that KinesisDemo needs in an AWS
//! account. In: arguments, credentials. Out: a stack, the chart's Helm values on stdout, progress
//! on stderr. Calls CloudFormation, ECS and STS, and before a deletion also Kubernetes.
//!
//! ```text
//! args ─► deploy | status | delete ─► Stacks, Services (aws) ─► AWS
//!            │          │                 runs ─► Kubernetes
//!            └─ follow ─┴─ stack, template (pure)
//! ```

pub mod args;
mod aws;
mod context;
mod delete;
mod deploy;
mod error;
#[cfg(test)]
mod fake;
mod follow;
mod runs;
mod stack;
mod status;
mod template;

use std::collections::BTreeMap;
use std::io::Write;

pub use error::{FoundationError, FoundationResult};

use self::args::{DEFAULT_STACK, Foundation, StackLocation, Verb};
use self::context::StackContext;
use self::runs::{ClusterRuns, Runs};
use crate::exit_status::ExitStatus;

/// Runs the command.
pub async fn run(arguments: Foundation) -> FoundationResult<ExitStatus> {
    let location = match &arguments.verb {
        Verb::Deploy(deploy) => &deploy.location,
        Verb::Status(status) => &status.location,
        Verb::Delete(delete) => &delete.location,
    };
    // Check the parameters before any call to AWS.
    let named = match &arguments.verb {
        Verb::Deploy(deploy) => template::checked(deploy.parameters.clone())?,
        _ => BTreeMap::new(),
    };
    let account = aws::connect(location.region.as_deref()).await?;
    let context = StackContext {
        stacks: &account.stacks,
        account: account.id.clone(),
        region: account.region.clone(),
        stack_name: location.stack_name.clone(),
        flags: flags(location),
        progress: &|line| eprintln!("{line}"),
    };
    let endpoint = account.endpoint.as_ref().map(|url| format!(", at {url}")).unwrap_or_default();
    (context.progress)(&format!(
        "account {}, Region {}, stack {}{endpoint}",
        context.account, context.region, context.stack_name
    ));
    match arguments.verb {
        Verb::Deploy(_) => {
            let values = deploy::deploy(&context, &named).await?;
            print(&values)?;
        }
        Verb::Status(arguments) => print(&status::status(&context, arguments.output).await?)?,
        Verb::Delete(arguments) => {
            let runs = (!arguments.skip_kubernetes)
                .then_some(ClusterRuns { kubeconfig: arguments.kubeconfig, context: arguments.context });
            let runs = runs.as_ref().map(|runs| runs as &dyn Runs);
            delete::delete(&context, &account.services, runs).await?;
        }
    }
    Ok(ExitStatus::Success)
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn flags(location: &StackLocation) -> String {
    let stack =
        (location.stack_name != DEFAULT_STACK).then(|| format!(" --stack-name {}", location.stack_name));
    let region = location.region.as_ref().map(|region| format!(" --region {region}"));
    [stack, region].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggested_commands_select_the_same_stack() {
        let location = |stack: &str, region: Option<&str>| StackLocation {
            stack_name: stack.into(),
            region: region.map(Into::into),
        };
        assert_eq!(flags(&location("kinesis-demo", None)), "");
        assert_eq!(flags(&location("load", Some("eu-west-1"))), " --stack-name load --region eu-west-1");
    }
}
