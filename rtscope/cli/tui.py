"""`rtscope` without a verb: the interactive view on a terminal, the list elsewhere."""

import gc
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
    from rtscope.cli.reading import DEMO_PLACE, effective_of, reading_of
    from rtscope.tui import app

    gc.enable()
    effective = effective_of(args)
    reading = reading_of(args)
    recording = reading.observations() if reading.place is not None else None
    return int(
        app.run(
            effective.settings,
            recording=recording,
            recorded_from=args.from_file,
            is_demo=reading.place == DEMO_PLACE,
            is_read_only=effective.is_read_only,
            log_file=args.log_file,
            refresh_s=args.interval or effective.refresh_s,
            theme=effective.theme,
            keys=effective.keys,
        )
    )
