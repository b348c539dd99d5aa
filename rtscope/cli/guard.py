"""Every way a command can end, as an exit code and at most a line or two on stderr."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from rtscope.cli.terminal import say
from rtscope.errors import ExitCode, RtscopeError
from rtscope.render.escape import visible


class TerminatedError(BaseException):
    """SIGTERM or SIGHUP arrived."""


def guarded(argv: Sequence[str]) -> int:
    """Runs the command line; no exception and no traceback gets past."""
    _prepare_streams()
    try:
        with _on_term():
            from rtscope.cli.parser import dispatch

            code = dispatch(argv)
            sys.stdout.flush()
            return code
    except RtscopeError as error:
        return _expected(error)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except TerminatedError:
        return ExitCode.TERMINATED
    except BrokenPipeError:
        _drop_stdout()
        return ExitCode.BROKEN_PIPE
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
            _drop_stdout()
            say(f"rtscope: cannot write the output: {error.strerror}")
            return ExitCode.UNREADABLE
        return _bug(error, argv)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else ExitCode.OK
    except Exception as error:  # noqa: BLE001 - the last line of defence: no traceback for users
        return _bug(error, argv)


def _expected(error: RtscopeError) -> int:
    say(f"rtscope: {visible(error.message)}")
    if error.hint:
        say(f"  {visible(error.hint)}")
    return error.exit_code


def _bug(error: BaseException, argv: Sequence[str]) -> int:
    """One line; the traceback where it was asked for."""
    import traceback

    text = visible(f"{type(error).__name__}: {error}")
    trace = "".join(traceback.format_exception(error))
    log = _log_file(argv)
    wants_trace = any(word in ("-v", "--verbose") for word in argv)
    if wants_trace:
        for line in trace.splitlines():
            say(visible(line))
    where = ""
    if log is not None:
        where = f"; traceback in {visible(log)}" if _append(log, trace) else ""
    elif not wants_trace:
        where = "; -v shows the traceback"
    say(f"rtscope: internal error: {text}{where}")
    return ExitCode.INTERNAL


def _log_file(argv: Sequence[str]) -> str | None:
    for index, word in enumerate(argv):
        if word == "--log-file" and index + 1 < len(argv):
            return argv[index + 1]
        if word.startswith("--log-file="):
            return word.partition("=")[2]
    return None


def _append(path: str, text: str) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with open(fd, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return False
    return True


def _prepare_streams() -> None:
    """What cannot be encoded is escaped instead of raising; a closed stream becomes /dev/null.

    Otherwise the next file or socket would get the number of stdout, and our output with it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - stays
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(ValueError, OSError):
                reconfigure(errors="backslashreplace")


def _drop_stdout() -> None:
    """Nobody reads any more: later flushes must not fail again."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


@contextlib.contextmanager
def _on_term() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command like an interrupt does, with a code of their own."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TerminatedError

    taken: list[signal.Signals] = []
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup's ignored HUP stays ignored
                signal.signal(number, stop)
                taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
