"""The error tree and the exit codes: the two things every part of rtscope agrees on."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script may rely on. The numbers are an API and never change their meaning."""

    OK = 0
    FINDINGS = 1
    USAGE = 2
    NOT_FOUND = 3
    INCOMPLETE = 4
    UNREADABLE = 5
    DENIED = 6
    NO_EFFECT = 7
    INTERNAL = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    TERMINATED = 143


class RtscopeError(Exception):
    """An expected failure: one line `what at where: why`, and the step that helps.

    Attributes:
        message: Lower case, no full stop.
        hint: The command or flag that helps; None if there is none.
    """

    exit_code: ExitCode = ExitCode.UNREADABLE

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RtscopeError):
    """The command line, a configuration file or an environment variable cannot be used."""

    exit_code = ExitCode.USAGE


class NotFoundError(RtscopeError):
    """A selector names nothing, or more than one thing."""

    exit_code = ExitCode.NOT_FOUND


class BackendError(RtscopeError):
    """A source answered wrongly, or not at all.

    Attributes:
        backend: The kind of source: `docker`, `containerd`, …
        endpoint: Its address.
    """

    def __init__(
        self, message: str, hint: str | None = None, *, backend: str = "", endpoint: str = ""
    ) -> None:
        super().__init__(message, hint)
        self.backend = backend
        self.endpoint = endpoint


class BackendUnavailableError(BackendError):
    """Nobody listens there, or the peer went away."""


class BackendTimeoutError(BackendError):
    """The deadline passed without an answer."""


class BackendDeniedError(BackendError):
    """The right is missing; the hint names the owner and the mode."""

    exit_code = ExitCode.DENIED
