"""Writes docs/rtscope.1 from the parser and the text below.

python docs/make_man.py            # writes it
python docs/make_man.py --check    # exits 1 where it is not current
"""

import argparse
import os
import re
import sys

from rtscope import __version__
from rtscope.cli import COMMANDS
from rtscope.cli.parser import DESCRIPTION, build
from rtscope.render.filters import KEYS
from rtscope.render.words import LEGEND

PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rtscope.1")

SELECTORS = """\
NAME|A container's name, its id, or a prefix of either. An exact match beats a prefix.
docker:NAME, podman:NAME, cri:NAME|The same among the containers of one engine.
ns:NAMESPACE/ID|In one of containerd's namespaces.
pod:NAMESPACE/POD/CONTAINER|By Kubernetes' names; without CONTAINER all of the pod.
pid:N|The container that the process N belongs to, or that the shim N serves.
key:KEY|By the row's key, as in JSON; always unique."""

EXIT_CODES = """\
0|Success; also when some sources failed but output was given: notes on stderr say which and why.
2|Usage.
3|Not found, or ambiguous.
4|Incomplete, under --strict.
5|Every endpoint that was named failed, or nothing could be read.
6|The same, all of it for lack of rights.
70|A bug of rtscope: one line; the traceback with -v or in --log-file.
130, 143, 141|Interrupted, terminated, standard output closed."""

FILES = """\
/etc/rtscope.toml, $XDG_CONFIG_HOME/rtscope/rtscope.toml|Configuration; rtscope config prints \
what is in effect and where each value came from.
/usr/share/doc/rtscope/schema|JSON schemas of the documents (docs/schema in the sources)."""

ENVIRONMENT = """\
DOCKER_HOST, DOCKER_CONTEXT, CONTAINERD_ADDRESS, CONTAINER_RUNTIME_ENDPOINT, CONTAINER_HOST|Read \
as the original clients read them.
RTSCOPE_HOST_ROOT|As --host-root.
NO_COLOR|No colour, whatever the terminal can do."""

EXAMPLES = """\
rtscope ps -a --all-runtimes|Every container of this node, in every state.
rtscope ps --problems|Only where layers disagree or do not answer.
rtscope ps -f state=running -f engine=docker,podman -o json|For scripts.
rtscope ps -o 'jsonpath={range .containers[*]}{.name}{"\\t"}{.pid}{"\\n"}{end}'|Two fields each.
rtscope tree docker:web|The chain of one container, from dockerd to its processes.
rtscope sources|Which daemon or shim does not answer.
rtscope observe node.json.gz; rtscope ps --from node.json.gz|Look at a node later, elsewhere."""


def escaped(text: str) -> str:
    """Text for troff: no hyphenation of minus signs, no line that begins with a control."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def terms(text: str) -> list[str]:
    """`term|explanation` lines as tagged paragraphs."""
    lines: list[str] = []
    for line in text.splitlines():
        term, _, explanation = line.rpartition("|")
        lines += [".TP", f".B {escaped(term)}", escaped(explanation)]
    return lines


def options(parser: argparse.ArgumentParser) -> list[str]:
    """The options of a parser, group by group."""
    lines: list[str] = []
    for action in parser._actions:  # argparse has no public way to list them
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction):
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        choices = "|".join(map(str, action.choices)) if action.choices else ""
        value = choices or action.metavar or action.dest.upper()
        if action.option_strings and action.nargs != 0:
            names = f"{names} {value}"
        lines += [".TP", f".B {escaped(names)}", escaped((action.help or choices) % {})]
    return lines


def subparser(parser: argparse.ArgumentParser, verb: str) -> argparse.ArgumentParser:
    """The parser of one verb."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found: argparse.ArgumentParser = action.choices[verb]
            return found
    raise KeyError(verb)


def page() -> str:
    """The whole page."""
    parser = build()
    common = {name for action in parser._actions for name in action.option_strings}
    lines = [
        f'.TH RTSCOPE 1 "" "rtscope {__version__}" "User Commands"',
        ".SH NAME",
        "rtscope \\- every container runtime of a Linux node in one view",
        ".SH SYNOPSIS",
        ".B rtscope",
        "[\\fIOPTION\\fR]... [\\fIVERB\\fR [\\fIOPTION\\fR]... [\\fIARGUMENT\\fR]...]",
        ".SH DESCRIPTION",
        escaped(DESCRIPTION),
        ".SH VERBS",
    ]
    for verb, summary in COMMANDS:
        child = subparser(parser, verb)
        lines += [f".SS rtscope {verb}", escaped(f"{summary.capitalize()}."), ".PP"]
        lines += [".nf", escaped((child.description or "").strip()), ".fi"]
        child._actions = [a for a in child._actions if not common.intersection(a.option_strings)]
        lines += options(child)
    lines += [".SH OPTIONS", "Every verb that reads has these, before or after its name."]
    lines += options(parser)
    lines += [".SH LAYERS", ".nf", escaped(LEGEND), ".fi"]
    lines += [".SH FILTERS", escaped(f"Keys of --filter: {', '.join(KEYS)}."), ".PP"]
    for title, text in (
        ("SELECTORS", SELECTORS),
        ("EXIT STATUS", EXIT_CODES),
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
        ("EXAMPLES", EXAMPLES),
    ):
        lines += [f".SH {title}", *terms(text)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Writes the page, or says whether the one on disk is current."""
    text = page()
    if "--check" in sys.argv[1:]:
        with open(PATH, encoding="utf-8") as file:
            return 0 if file.read() == text else 1
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
