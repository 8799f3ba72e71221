"""docs/reference/operator.md and cli.md. In: the programs' own --help. Out: pages. Runs the programs with --help and nothing else."""

import os
import pathlib
import re
import subprocess


class Unavailable(Exception):
    """A program is not here, or not of these sources."""


OPERATOR = """# The operator's command line

Generated from `--help` by `hack/docs/generate`; do not edit. The chart sets these flags from its values
([the chart's README](../../charts/kinesis-demo-operator/README.md)). AWS credentials, and an endpoint other than AWS's, come from the AWS SDK's own
environment variables (`AWS_ENDPOINT_URL`, `AWS_REGION`, …), Kubernetes from `KUBECONFIG` or the Pod's ServiceAccount.

Exit codes: 0 success; 1 an error, printed on stderr (`drain`: resources remain; `check`: a check failed; `run`: the leadership was lost, or the operator could
not start); 2 the command line is invalid.
"""

CLI = """# kubectl kinesisdemo

Generated from `--help` by `hack/docs/generate`; do not edit. `make build` puts the program `kubectl-kinesisdemo` into `target/release`; anywhere on
`PATH`, it is the kubectl plugin `kubectl kinesisdemo`.
"""


def operator_page(root):
    return written(OPERATOR, find(root, "kinesis-demo-operator", "src/cli.rs"), "kinesis-demo-operator")


def cli_page(root):
    sources = ("cli/src/command_line.rs", "cli/src/args.rs", "cli/src/foundation/args.rs", "foundation/template.yaml")
    return written(CLI, find(root, "kubectl-kinesisdemo", *sources), "kubectl kinesisdemo")


def find(root, name, *arguments):
    """The newest build of a program, if it is newer than the sources of its arguments."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))
    named = os.environ.get("KINESISDEMO_PROGRAMS")
    folders = [pathlib.Path(named)] if named else [target / "debug", target / "release"]
    built = [folder / name for folder in folders if (folder / name).exists()]
    if not built:
        raise Unavailable(f"no {name} in {', '.join(map(str, folders))} (make build)")
    newest = max(built, key=lambda path: path.stat().st_mtime)
    for source in arguments:
        if newest.stat().st_mtime < (root / source).stat().st_mtime:
            raise Unavailable(f"{newest} is older than {source} (make build)")
    return newest


def written(head, program, called):
    """The page of a program: its help, then the help of each command and its subcommands."""
    overview = help_of(program)
    lines = [head, "```", overview, "```", "", *below(program, called, "##", overview)]
    return "\n".join(lines)


def below(program, called, mark, overview, words=()):
    """The sections of the commands that a help names."""
    for command in commands(overview):
        help_text = help_of(program, *words, command)
        yield from (f"{mark} {called} {command}", "", "```", help_text, "```", "")
        yield from below(program, f"{called} {command}", mark + "#", help_text, (*words, command))


def commands(overview):
    found = re.search(r"^Commands:\n((?:  .*\n)+)", overview, re.MULTILINE)
    names = re.findall(r"^  (\S+)", found[1] if found else "", re.MULTILINE)
    return [name for name in names if name != "help"]


def help_of(program, *command):
    # Without the environment: clap shows the values of variables that are set.
    ended = subprocess.run([program, *command, "--help"], env={}, check=True, capture_output=True, text=True)
    return "\n".join(line.rstrip() for line in ended.stdout.strip().splitlines())
