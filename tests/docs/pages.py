"""Parses the documentation for its tests. In: the Markdown files. Out: their links, anchors, code and commands.

Only reads.
"""

import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md", "foundation/README.md", "charts/kinesis-demo-operator/README.md")]
    + list((ROOT / "docs").rglob("*.md"))
)
# Generated from the programs' types by xtask, which has a test for them.
GENERATED = {"crd.md", "conditions.md", "metrics.md", "operator.md", "cli.md"}


def name(page):
    return str(page.relative_to(ROOT))


def text(page):
    return page.read_text(encoding="utf-8")


def blocks(page):
    """Every code block as (language, text), without the indentation of a surrounding list."""
    for indent, language, body in re.findall(r"^( *)```(\w*)\n(.*?)^ *```$", text(page), re.MULTILINE | re.DOTALL):
        yield language, "\n".join(line.removeprefix(indent) for line in body.splitlines())


def prose(page):
    """The page without its code blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text(page), flags=re.MULTILINE | re.DOTALL)


def spans(page):
    """Everything in backticks within the prose, with line breaks removed."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(page))]


def links(page):
    """The targets of all links, except in code, which may look like a link."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "``", prose(page)))


def anchors(page):
    """The anchors of a page's headings, as hosting sites generate them."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        bare = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", bare.lower()).replace(" ", "-")
        while slug in found:
            slug += "-1"
        found.add(slug)
    return found


def commands(page):
    """Every shell command of a page as a list of words, without here-documents and leading variable assignments."""
    for language, body in blocks(page):
        if language in ("", "sh", "bash"):
            yield from commands_of(body)


def commands_of(body):
    body = re.sub(r"<<'(\w+)'\n.*?^\s*\1$", "", body, flags=re.MULTILINE | re.DOTALL)
    for line in re.sub(r"\\\n\s*", " ", body).splitlines():
        line = re.sub(r"\s#.*$", "", line)
        for part in re.split(r"\s(?:\||&&)\s|\$\(", line):
            try:
                words = shlex.split(part.rstrip(") "))
            except ValueError:
                # An unbalanced quote that started before a `$(`.
                words = part.split()
            while words and re.fullmatch(r"[A-Za-z_]+=.*", words[0]):
                words = words[1:]
            if words:
                yield words
