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

use async_trait::async_trait;

pub use error::FoundationError;

use self::args::{DEFAULT_STACK, Foundation, StackLocation, Verb};
use self::runs::{ClusterRuns, Runs};
use self::stack::{Stack, StackEvent};
use crate::ending::Ending;
use crate::error::CliError;

type FoundationResult<T> = Result<T, FoundationError>;

/// The CloudFormation calls.
#[async_trait]
trait Stacks: Send + Sync {
    /// The stack with that name or ID. A deleted stack can be found only by its ID.
    async fn fetch(&self, name_or_id: &str) -> FoundationResult<Option<Stack>>;
    /// The stack's events after the one with that ID, oldest first; all events if `after` is None.
    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>>;
    /// The errors that the last operation's validation found before it created anything: each with
    /// its resource and reason.
    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>>;
    /// The ECS cluster that the stack created, if it still exists.
    async fn fetch_cluster(&self, stack_id: &str) -> FoundationResult<Option<String>>;
    /// Starts the creation of a stack that deletes itself if it fails. Returns its ID.
    async fn create(&self, name: &str, desired: &DesiredStack) -> FoundationResult<String>;
    async fn update(&self, stack_id: &str, desired: &DesiredStack) -> FoundationResult<Update>;
    /// Starts the deletion.
    async fn delete(&self, stack_id: &str) -> FoundationResult<()>;
}

/// The ECS calls.
#[async_trait]
trait Services: Send + Sync {
    /// Descriptions of the cluster's services and tasks that have not stopped.
    async fn fetch_live(&self, cluster: &str) -> FoundationResult<Vec<String>>;
}

/// The desired parameters and tags of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct DesiredStack {
    /// None keeps the stack's current value.
    parameters: Vec<(String, Option<String>)>,
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Update {
    Started,
    NothingToChange,
}

/// The stack that a command works on, and where it is.
struct Site<'a> {
    stacks: &'a dyn Stacks,
    account: String,
    region: String,
    stack_name: String,
    /// The flags that select this stack in another command, where they differ from the defaults.
    flags: String,
    /// Receives the progress lines.
    progress: &'a (dyn Fn(&str) + Sync),
}

impl Site<'_> {
    /// Another of our commands for the same stack.
    fn command(&self, verb: &str) -> String {
        format!("kubectl kinesisdemo foundation {verb}{}", self.flags)
    }

    /// Fails for a stack that is not ours: an update would replace its resources, and a deletion
    /// remove them.
    fn claim(&self, stack: &Stack) -> FoundationResult<()> {
        if stack.is_foundation() {
            return Ok(());
        }
        let why = format!("the stack {} is not a KinesisDemo foundation and was not changed", stack.name);
        Err(FoundationError::refused(why, "choose another --stack-name"))
    }
}

/// Runs the command.
pub async fn run(arguments: Foundation) -> Result<Ending, CliError> {
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
    let site = Site {
        stacks: &account.stacks,
        account: account.id.clone(),
        region: account.region.clone(),
        stack_name: location.stack_name.clone(),
        flags: flags(location),
        progress: &|line| eprintln!("{line}"),
    };
    let endpoint = account.endpoint.as_ref().map(|url| format!(", at {url}")).unwrap_or_default();
    (site.progress)(&format!(
        "account {}, Region {}, stack {}{endpoint}",
        site.account, site.region, site.stack_name
    ));
    match arguments.verb {
        Verb::Deploy(_) => {
            let values = deploy::deploy(&site, &named).await?;
            print(&values)?;
        }
        Verb::Status(arguments) => print(&status::status(&site, arguments.output).await?)?,
        Verb::Delete(arguments) => {
            let runs = (!arguments.skip_kubernetes)
                .then_some(ClusterRuns { kubeconfig: arguments.kubeconfig, context: arguments.context });
            let runs = runs.as_ref().map(|runs| runs as &dyn Runs);
            delete::delete(&site, &account.services, runs).await?;
        }
    }
    Ok(Ending::Done)
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
