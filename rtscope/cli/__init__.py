"""The command line: `main` for the console script, `run` for whoever wants an exit code back.

`main` never returns: it flushes and leaves by `os._exit`, so that no thread that is stuck in a
sick daemon can hold the prompt. `run(argv)` does the same work and returns, which is what tests
and embedding programs call.
"""

import gc
import os
import sys
from collections.abc import Sequence

from rtscope import __version__
from rtscope.errors import ExitCode

COMMANDS: tuple[tuple[str, str], ...] = (
    ("ps", "list containers of every engine, one row each"),
    ("tree", "draw the chain from daemon to process"),
    ("sources", "show every endpoint: how it was found, how it answered"),
    ("observe", "save what the node says to a file, redacted"),
    ("config", "print the effective configuration and where each value came from"),
    ("completion", "print a completion script for bash, zsh or fish"),
    ("version", "print the version, and those of Python and of the libraries"),
)
"""Verb and summary; the module `rtscope.cli.VERB` has `add_arguments` and `run`."""

_OOM_SCORE_ADJ = "/proc/self/oom_score_adj"


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of the console script; ends the process."""
    sys.dont_write_bytecode = True
    # One answer is given and the process ends: looking for garbage costs a tenth of it. What goes
    # on, the view and --watch, turns it on again.
    gc.disable()
    words = list(sys.argv[1:] if argv is None else argv)
    if words not in (["--version"], ["-V"]):
        _offer_to_oom_killer()
    code = run(words)
    _leave(code)


def run(argv: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; prints, but never ends the process."""
    if list(argv) in (["--version"], ["-V"]):
        print(f"rtscope {__version__}")
        return ExitCode.OK
    from rtscope.cli.guard import guarded

    return guarded(argv)


def _offer_to_oom_killer() -> None:
    """Be the first to go when the node runs out of memory. Source: proc_pid_oom_score_adj(5)."""
    try:
        fd = os.open(_OOM_SCORE_ADJ, os.O_WRONLY)
    except OSError:
        return
    try:
        os.write(fd, b"1000")
    except OSError:
        pass
    finally:
        os.close(fd)


def _leave(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # was closed before we started
            continue
        try:
            stream.flush()
        except (OSError, ValueError):
            code = code or ExitCode.BROKEN_PIPE
    os._exit(code)
