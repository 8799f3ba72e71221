//! `foundation status`. In: a stack. Out: the text to print. Reads only.

use std::fmt::Write;

use serde_json::json;

use super::args::StackOutput;
use super::context::StackContext;
use super::error::{FoundationError, FoundationResult};
use super::stack::{Stack, VALUES_OUTPUT, since};

/// The text for stdout.
pub(super) async fn status(context: &StackContext<'_>, output: StackOutput) -> FoundationResult<String> {
    let stack = context.stacks.fetch(&context.stack_name).await?.ok_or_else(|| {
        FoundationError::refused(
            format!(
                "there is no stack {} in account {} and Region {}",
                context.stack_name, context.account, context.region
            ),
            format!(
                "create it with `{}`, or choose another with --region and --stack-name",
                context.command("deploy")
            ),
        )
    })?;
    if output == StackOutput::Values {
        let why = || format!("the stack {} is {} and has no Helm values", stack.name, stack.status);
        let next = || format!("run `{}` to complete it", context.command("deploy"));
        return stack.values().map(str::to_owned).ok_or_else(|| FoundationError::refused(why(), next()));
    }
    let events = context.stacks.fetch_events(&stack.id, None).await?;
    let since = since(&stack, &events);
    Ok(match output {
        StackOutput::Json => {
            let mut document = json!(stack);
            document["account"] = json!(context.account);
            document["region"] = json!(context.region);
            document["since"] = json!(since);
            format!("{document:#}\n")
        }
        _ => text(context, &stack, since),
    })
}

fn text(context: &StackContext<'_>, stack: &Stack, since: Option<jiff::Timestamp>) -> String {
    let mut text = String::new();
    let since = since.map(|at| format!(" since {}", at.strftime("%Y-%m-%d %H:%M:%SZ"))).unwrap_or_default();
    let reason = stack.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let _ = writeln!(text, "{} is {}{since}{reason}", stack.name, stack.status);
    let _ = writeln!(text, "{}", stack.id);
    if !stack.is_foundation() {
        let _ = writeln!(text, "This stack is not a KinesisDemo foundation.");
    }
    let values = format!("({} --output values)", context.command("status"));
    for (title, pairs) in [("Outputs", &stack.outputs), ("Parameters", &stack.parameters)] {
        let width = pairs.keys().map(String::len).max().unwrap_or_default();
        let _ = writeln!(text, "\n{title}{}", if pairs.is_empty() { ": none" } else { "" });
        for (key, value) in pairs {
            let value = if key == VALUES_OUTPUT { &values } else { value };
            let _ = writeln!(text, "{}", format!("  {key:<width$}  {value}").trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::foundation::fake::{Cloud, STACK_ID, stack_event};

    async fn shown(cloud: &Cloud, output: StackOutput) -> FoundationResult<String> {
        cloud.with_context(async |context| status(context, output).await).await
    }

    fn deployed() -> Cloud {
        let cloud = Cloud::with_stack("CREATE_COMPLETE");
        cloud.add_event(stack_event("CREATE_COMPLETE", None));
        cloud.edit(|stack| {
            stack.outputs.insert("Registry".into(), "111122223333.dkr.ecr.us-east-1.amazonaws.com".into());
            stack.parameters.insert("Network".into(), "Public".into());
            stack.parameters.insert("EksClusterName".into(), String::new());
        });
        cloud
    }

    #[tokio::test]
    async fn text_has_status_outputs_and_parameters() {
        let expected = format!(
            "kinesis-demo is CREATE_COMPLETE since 2026-11-23 10:00:00Z\n{STACK_ID}\n\n\
             Outputs\n  HelmValues  (kubectl kinesisdemo foundation status --output values)\n  \
             Registry    111122223333.dkr.ecr.us-east-1.amazonaws.com\n\n\
             Parameters\n  EksClusterName\n  Network         Public\n"
        );
        assert_eq!(shown(&deployed(), StackOutput::Text).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn json_includes_account_region_and_since() {
        let text = shown(&deployed(), StackOutput::Json).await.unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&document["stackName"], &document["status"], &document["account"], &document["since"]),
            (
                &json!("kinesis-demo"),
                &json!("CREATE_COMPLETE"),
                &json!("111122223333"),
                &json!("2026-11-23T10:00:00Z")
            )
        );
        assert_eq!(document["parameters"]["Network"], "Public");
        assert_eq!(document["outputs"]["HelmValues"], "image: {}\n");
    }

    #[tokio::test]
    async fn values_output_contains_only_the_values() {
        assert_eq!(shown(&deployed(), StackOutput::Values).await.unwrap(), "image: {}\n");
        let cloud = Cloud::with_stack("CREATE_IN_PROGRESS");
        cloud.edit(|stack| stack.outputs.clear());
        let error = shown(&cloud, StackOutput::Values).await.unwrap_err();
        assert_eq!(error.to_string(), "the stack kinesis-demo is CREATE_IN_PROGRESS and has no Helm values");
    }

    #[tokio::test]
    async fn a_missing_stack_is_an_error_with_the_next_step() {
        let error = shown(&Cloud::default(), StackOutput::Text).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no stack kinesis-demo in account 111122223333 and Region us-east-1"
        );
        assert!(
            error.next_step().unwrap().starts_with("create it with `kubectl kinesisdemo foundation deploy`")
        );
    }
}
