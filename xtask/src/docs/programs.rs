//! docs/reference/operator.md and cli.md. In: the definitions of the command lines. Out: what
//! `--help` prints, for each program and each of its commands.

use anyhow::{Context, ensure};
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};

const OPERATOR: &str = "# The operator's command line

Generated from `--help` by `make generate`; do not edit. The chart sets these flags from its values
([the chart's README](../../charts/kinesis-demo-operator/README.md)). AWS credentials, and an endpoint other than AWS's, come from the AWS SDK's own
environment variables (`AWS_ENDPOINT_URL`, `AWS_REGION`, …), Kubernetes from `KUBECONFIG` or the Pod's ServiceAccount.

Exit codes: 0 success; 1 an error, printed on stderr (`drain`: resources remain; `check`: a check failed; `run`: the leadership was lost, or the operator could
not start); 2 the command line is invalid.
";

const CLI: &str = "# kubectl kinesisdemo

Generated from `--help` by `make generate`; do not edit. `make build` puts the program `kubectl-kinesisdemo` into `target/release`; anywhere on
`PATH`, it is the kubectl plugin `kubectl kinesisdemo`.
";

/// The width of the pages' lines, whatever the terminal's is.
const WIDTH: usize = 100;

/// The page of the operator.
pub fn operator_page() -> anyhow::Result<String> {
    page(OPERATOR, &kinesis_demo_operator::cli::Cli::command(), "kinesis-demo-operator")
}

/// The page of the kubectl plugin.
pub fn cli_page() -> anyhow::Result<String> {
    page(CLI, &kubectl_kinesisdemo::command_line::Args::command(), "kubectl kinesisdemo")
}

fn page(head: &str, program: &Command, called: &str) -> anyhow::Result<String> {
    let mut lines = vec![head.to_owned(), format!("```\n{}\n```\n", help(program, program, &[])?)];
    add_commands(&mut lines, program, program, called, &[])?;
    Ok(lines.join("\n"))
}

/// Adds a section for each command below `command`, which `words` name.
fn add_commands(
    lines: &mut Vec<String>,
    program: &Command,
    command: &Command,
    called: &str,
    words: &[&str],
) -> anyhow::Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        let name = below.get_name();
        let words = [words, &[name]].concat();
        let called = format!("{called} {name}");
        let mark = "#".repeat(words.len() + 1);
        lines.push(format!("{mark} {called}\n\n```\n{}\n```\n", help(program, below, &words)?));
        add_commands(lines, program, below, &called, &words)?;
    }
    Ok(())
}

/// What `--help` prints for the command that `words` name.
fn help(program: &Command, command: &Command, words: &[&str]) -> anyhow::Result<String> {
    let arguments = [&[program.get_name()], words, &["--help"]].concat();
    let shown = program.clone().term_width(WIDTH).try_get_matches_from(&arguments).err();
    let shown = shown.with_context(|| format!("{} prints no help", arguments.join(" ")))?;
    ensure!(shown.kind() == ErrorKind::DisplayHelp, "{} fails: {shown}", arguments.join(" "));
    let text = without_values(shown.render().to_string(), command);
    Ok(text.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n"))
}

/// clap shows the values that the environment variables have at the moment; the page must not.
fn without_values(mut help: String, command: &Command) -> String {
    for variable in command.get_arguments().filter_map(|argument| argument.get_env()) {
        if let Some(value) = std::env::var_os(variable) {
            let (name, value) = (variable.to_string_lossy(), value.to_string_lossy().into_owned());
            help = help.replace(&format!("[env: {name}={value}]"), &format!("[env: {name}=]"));
        }
    }
    help
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    #[test]
    fn each_command_has_a_section_with_its_help() {
        let path = Arg::new("path").long("path").env("PATH").help("Folders");
        let program = Command::new("tool")
            .about("Does things")
            .subcommand(Command::new("outer").about("Outer").subcommand(Command::new("inner").arg(path)))
            .subcommand(Command::new("secret").hide(true));
        assert_eq!(
            page("# Tool\n", &program, "tool").unwrap(),
            "# Tool

```
Does things

Usage: tool [COMMAND]

Commands:
  outer  Outer
  help   Print this message or the help of the given subcommand(s)

Options:
  -h, --help  Print help
```

## tool outer

```
Outer

Usage: tool outer [COMMAND]

Commands:
  inner
  help   Print this message or the help of the given subcommand(s)

Options:
  -h, --help  Print help
```

### tool outer inner

```
Usage: tool outer inner [OPTIONS]

Options:
      --path <path>  Folders [env: PATH=]
  -h, --help         Print help
```
"
        );
    }
}
