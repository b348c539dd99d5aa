"""Save what every source of the node says, as one JSON file that `--from FILE` reads back.

Environment values, and labels, annotations and arguments that look like credentials, are removed
first; the file lists what was removed from where. It is readable by its owner alone, complete or
not there at all. FILE may end in .gz; `-` is stdout.
"""

from argparse import ArgumentParser, Namespace

from rtscope.cli.flags import add_common
from rtscope.cli.reading import exit_code, reading_of, say_notes
from rtscope.cli.terminal import note
from rtscope.render.columns import COLUMNS, needs_of


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `observe`."""
    parser.add_argument("file", metavar="FILE", help="where to; `-` is stdout")
    parser.add_argument("--keep-secrets", action="store_true", help="remove nothing")
    add_common(parser)


def run(args: Namespace) -> int:
    """Reads the node and saves what was said."""
    from rtscope.capture.file import save
    from rtscope.capture.redact import redact

    reading = reading_of(args, needs_of(COLUMNS) | {"images", "specs"})
    observations = reading.observations()
    if args.keep_secrets:
        save(args.file, observations)
        note("nothing was removed (--keep-secrets): the file may hold passwords")
    else:
        clean, removed = redact(observations)
        save(args.file, clean, removed)
        note(f"{len(removed)} values that look like credentials were removed")
    inventory = reading.joined(observations)
    say_notes(inventory, args)
    return exit_code(inventory, args)
