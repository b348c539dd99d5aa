"""The parser, and from a command line to the module that runs it."""

import importlib
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

from rtscope import __version__
from rtscope.cli import COMMANDS
from rtscope.cli.flags import add_common, blank
from rtscope.cli.terminal import columns
from rtscope.errors import ExitCode, UsageError

DESCRIPTION = """\
Every container runtime of a Linux node in one view: dockerd, containerd, CRI, podman, shims, OCI
runtimes and the kernel are asked at once, each under a deadline of its own, and joined into one row
per container. Without a verb: the interactive view on a terminal, `ps` elsewhere."""

EPILOG = """\
exit codes: 0 ok; 2 usage; 3 not found or ambiguous; 4 incomplete (--strict); 5 everything named
failed, or nothing could be read; 6 the same for lack of rights; 70 a bug of rtscope"""


class Command(Protocol):
    """What a module of a verb offers."""

    __doc__: str | None

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declares the verb's own flags."""
        ...

    def run(self, args: Namespace) -> int:
        """Does it; returns an exit code."""
        ...


class Formatter(RawDescriptionHelpFormatter):
    """Texts as they are written; the width without argparse's import of shutil."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(columns() or 100, 100) - 2)


if TYPE_CHECKING:
    from _typeshed import SupportsWrite


class Parser(ArgumentParser):
    """Raises UsageError where argparse would print and leave."""

    def error(self, message: str) -> NoReturn:
        """A wrong command line."""
        raise UsageError(message, f"{self.prog} --help")

    def print_help(self, file: "SupportsWrite[str] | None" = None) -> None:
        """The help; an error of the stream is passed on, which newer versions of argparse hide."""
        (file or sys.stdout).write(self.format_help())


def command(verb: str) -> Command:
    """The module of a verb."""
    return cast(Command, importlib.import_module(f"rtscope.cli.{verb}"))


def build(only: str | None = None) -> Parser:
    """The parser of the whole command line.

    Args:
        only: Fill in this verb alone; the others are known by name, which is all that parsing a
            command line of this verb needs. None: all of them.
    """
    parser = Parser(
        prog="rtscope",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", "-V", action="version", version=f"rtscope {__version__}")
    add_common(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for verb, summary in COMMANDS:
        if only not in (None, verb):
            verbs.add_parser(verb, help=summary, add_help=False)
            continue
        module = command(verb)
        child = verbs.add_parser(
            verb,
            help=summary,
            description=(module.__doc__ or "").strip(),
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        module.add_arguments(child)
    return parser


def verb_of(argv: Sequence[str]) -> str | None:
    """The verb of a command line that begins with one."""
    names = {verb for verb, _ in COMMANDS}
    return argv[0] if argv and argv[0] in names else None


def dispatch(argv: Sequence[str]) -> int:
    """Parses and runs; returns the exit code.

    Raises:
        UsageError: the command line is wrong.
    """
    args, rest = build(verb_of(argv)).parse_known_args(list(argv), blank())
    if rest:
        words = ["rtscope", args.verb, "--help"] if args.verb else ["rtscope", "--help"]
        raise UsageError(f"unrecognized arguments: {' '.join(rest)}", " ".join(words))
    if args.verb is None:
        from rtscope.cli import tui

        return tui.run(args, argv)
    return int(command(args.verb).run(args)) or ExitCode.OK
