"""`rtscope` without a verb: the interactive view on a terminal, the list elsewhere."""

import sys
from argparse import Namespace
from collections.abc import Sequence

from rtscope.cli.terminal import is_terminal


def run(args: Namespace, argv: Sequence[str]) -> int:
    """Opens the view, the only place that loads Textual.

    The view gets the settings, and the whole configuration as `args.effective`.
    """
    if not is_terminal() or not sys.stdin.isatty():
        from rtscope.cli.parser import dispatch

        return dispatch(["ps", *argv])
    from rtscope.cli.reading import effective_of
    from rtscope.tui import app

    args.effective = effective_of(args)
    return int(app.run(args.effective.settings, args))
