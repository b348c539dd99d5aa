"""What goes wrong between us and a daemon that speaks gRPC or ttrpc, in words of the error tree."""

from rtscope.errors import (
    BackendDeniedError,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
)

OK = 0
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
PERMISSION_DENIED = 7
UNIMPLEMENTED = 12
UNAVAILABLE = 14
UNAUTHENTICATED = 16

# Source: gRPC's documentation, "Status codes and their use in gRPC".
_NAMES = (
    "ok",
    "cancelled",
    "unknown error",
    "invalid argument",
    "deadline exceeded",
    "not found",
    "already exists",
    "permission denied",
    "resource exhausted",
    "failed precondition",
    "aborted",
    "out of range",
    "unimplemented",
    "internal error",
    "unavailable",
    "data loss",
    "unauthenticated",
)
_KINDS: dict[int, type[BackendError]] = {
    DEADLINE_EXCEEDED: BackendTimeoutError,
    PERMISSION_DENIED: BackendDeniedError,
    UNAVAILABLE: BackendUnavailableError,
    UNAUTHENTICATED: BackendDeniedError,
}
_MESSAGE_LIMIT = 2000


class RpcError(BackendError):
    """The daemon answered the call with an error of its own.

    Attributes:
        code: gRPC's status code: 5 is not found, 12 unimplemented.
    """

    def __init__(
        self, message: str, hint: str | None = None, *, code: int, backend: str, endpoint: str
    ) -> None:
        super().__init__(message, hint, backend=backend, endpoint=endpoint)
        self.code = code


class Peer:
    """Who is asked: builds the errors of one endpoint."""

    __slots__ = ("backend", "endpoint")

    def __init__(self, backend: str, endpoint: str) -> None:
        self.backend = backend
        self.endpoint = endpoint

    def error(self, kind: type[BackendError], why: str, hint: str | None = None) -> BackendError:
        """An error of the tree that says what, where and why."""
        where = f"{self.backend} at {self.endpoint}"
        return kind(f"{where}: {why}", hint, backend=self.backend, endpoint=self.endpoint)

    def silent(self, what: str = "no answer in time") -> BackendError:
        """The deadline passed."""
        return self.error(BackendTimeoutError, what)

    def gone(self, why: str = "the connection was closed") -> BackendError:
        """The peer went away."""
        return self.error(BackendUnavailableError, why)

    def malformed(self, why: str) -> BackendError:
        """What came is not an answer."""
        return self.error(BackendError, why)

    def status(self, code: int, message: str) -> BackendError:
        """The error that the daemon answered with."""
        name = _NAMES[code] if 0 <= code < len(_NAMES) else f"status {code}"
        text = message[:_MESSAGE_LIMIT]
        why = f"{name}: {text}" if text else name
        kind = _KINDS.get(code)
        if kind is not None:
            return self.error(kind, why)
        return RpcError(
            f"{self.backend} at {self.endpoint}: {why}",
            code=code,
            backend=self.backend,
            endpoint=self.endpoint,
        )
