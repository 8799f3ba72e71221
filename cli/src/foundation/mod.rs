//! `foundation deploy|status|delete`: the CloudFormation stack that KinesisDemo needs in an AWS account. In: arguments, credentials. Out: a stack,
//! the chart's Helm values on stdout, progress on stderr. Talks to CloudFormation, ECS and STS, and before a deletion to Kubernetes.
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

/// What is asked of CloudFormation.
#[async_trait]
trait Stacks: Send + Sync {
    /// The stack of that name or ID. A stack that is gone is found by its ID only.
    async fn fetch(&self, name_or_id: &str) -> FoundationResult<Option<Stack>>;
    /// The stack's events after the one of that ID, oldest first; all of them without one.
    async fn fetch_events(&self, stack_id: &str, after: Option<&str>) -> FoundationResult<Vec<StackEvent>>;
    /// What the last operation's validation found wrong, before anything was made: of each its resource and the reason.
    async fn fetch_invalid(&self, stack_id: &str) -> FoundationResult<Vec<String>>;
    /// The ECS cluster that the stack made and that is still there.
    async fn fetch_cluster(&self, stack_id: &str) -> FoundationResult<Option<String>>;
    /// Begins the creation of a stack that deletes itself if it fails. Returns its ID.
    async fn create(&self, name: &str, wanted: &Wanted) -> FoundationResult<String>;
    async fn update(&self, stack_id: &str, wanted: &Wanted) -> FoundationResult<Update>;
    /// Begins the deletion.
    async fn delete(&self, stack_id: &str) -> FoundationResult<()>;
}

/// What is asked of ECS.
#[async_trait]
trait Services: Send + Sync {
    /// The cluster's services and tasks that have not stopped, for people.
    async fn fetch_live(&self, cluster: &str) -> FoundationResult<Vec<String>>;
}

/// What a stack is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    /// None: the value that the stack has.
    parameters: Vec<(String, Option<String>)>,
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Update {
    Begun,
    NothingToChange,
}

/// The stack that a command is about, and where it is.
struct Site<'a> {
    stacks: &'a dyn Stacks,
    account: String,
    region: String,
    stack_name: String,
    /// The flags that name it in another command, where they are not the defaults.
    flags: String,
    /// Takes a line of progress.
    tell: &'a (dyn Fn(&str) + Sync),
}

impl Site<'_> {
    /// Another of our commands about the same stack.
    fn command(&self, verb: &str) -> String {
        format!("kubectl kinesisdemo foundation {verb}{}", self.flags)
    }

    /// Refuses what is not ours: an update would replace it, and a deletion remove it.
    fn claim(&self, stack: &Stack) -> FoundationResult<()> {
        if stack.is_foundation() {
            return Ok(());
        }
        let why = format!("the stack {} is not a KinesisDemo foundation and is left alone", stack.name);
        Err(FoundationError::refused(why, "choose another --stack-name"))
    }
}

/// Does what the command line asks for.
pub async fn run(arguments: Foundation) -> Result<Ending, CliError> {
    let place = match &arguments.verb {
        Verb::Deploy(deploy) => &deploy.place,
        Verb::Status(status) => &status.place,
        Verb::Delete(delete) => &delete.place,
    };
    // Before anything is asked of AWS.
    let named = match &arguments.verb {
        Verb::Deploy(deploy) => template::checked(deploy.parameters.clone())?,
        _ => BTreeMap::new(),
    };
    let account = aws::connect(place.region.as_deref()).await?;
    let site = Site {
        stacks: &account.stacks,
        account: account.id.clone(),
        region: account.region.clone(),
        stack_name: place.stack_name.clone(),
        flags: flags(place),
        tell: &|line| eprintln!("{line}"),
    };
    let endpoint = account.endpoint.as_ref().map(|url| format!(", at {url}")).unwrap_or_default();
    (site.tell)(&format!(
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

fn flags(place: &StackLocation) -> String {
    let stack = (place.stack_name != DEFAULT_STACK).then(|| format!(" --stack-name {}", place.stack_name));
    let region = place.region.as_ref().map(|region| format!(" --region {region}"));
    [stack, region].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_command_names_the_same_stack() {
        let place = |stack: &str, region: Option<&str>| StackLocation {
            stack_name: stack.into(),
            region: region.map(Into::into),
        };
        assert_eq!(flags(&place("kinesis-demo", None)), "");
        assert_eq!(flags(&place("load", Some("eu-west-1"))), " --stack-name load --region eu-west-1");
    }
}
