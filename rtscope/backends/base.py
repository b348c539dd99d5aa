"""The protocols that a backend implements, and the draft that it collects its answer in."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from rtscope.config.deadlines import Deadlines
from rtscope.config.settings import Settings
from rtscope.errors import (
    BackendDeniedError,
    BackendError,
    BackendTimeoutError,
    BackendUnavailableError,
)
from rtscope.model.facts import fact, field, field_names, replace
from rtscope.model.observation import Endpoint, Gap, Node, Observation
from rtscope.model.records import (
    Bundle,
    ContainerRecord,
    Daemon,
    Event,
    Image,
    KubeletPod,
    OciState,
    Process,
    Sandbox,
    Shim,
    Task,
)
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host


@fact
class Targets:
    """What an observation is to be made of.

    Attributes:
        host: The node's file systems and /proc; the only way to read them.
        kernel: What procfs saw a moment ago: processes, shims, daemons. None before it was read.
        scope: None: everything. Else only these refs.
        needs: Facts that a cheap list lacks and a column asks for: `finished_at`,
            `restart_count`, `log_path`, `images`, `specs`.
        may_thread: False where no thread can be started: ask one after another.
    """

    node: Node
    host: Host
    deadlines: Deadlines = field(default_factory=Deadlines)
    kernel: Observation | None = None
    scope: tuple[Ref, ...] | None = None
    needs: frozenset[str] = frozenset()
    may_thread: bool = True


class Backend(Protocol):
    """Reads one kind of source.

    `wave` is 1 for daemons, 2 for what needs only the process scan (shims, OCI roots, state
    directories); neither waits for the other. `connect` opens nothing that could block: the
    first request does, under its deadline.
    """

    name: ClassVar[str]
    wave: ClassVar[int]

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one endpoint."""
        ...

    def observe(self, targets: Targets) -> Observation:
        """What arrived, plus gaps. Raises on misuse only."""
        ...

    def close(self) -> None:
        """Let go of connections. Safe to call twice."""
        ...


@runtime_checkable
class Discovering(Protocol):
    """A backend that finds its own endpoints: how a plug-in takes part in discovery."""

    @classmethod
    def discover(cls, kernel: Observation, host: Host, settings: Settings) -> Iterable[Endpoint]:
        """The endpoints of this kind on the node, without connecting to any."""
        ...


@runtime_checkable
class Documents(Protocol):
    """A backend that can fetch the raw document of one record."""

    def document(self, ref: Ref, targets: Targets) -> Any:
        """The source's own document, JSON-able. Raises BackendError."""
        ...


Record = (
    Bundle
    | ContainerRecord
    | Daemon
    | Event
    | Image
    | KubeletPod
    | OciState
    | Process
    | Sandbox
    | Shim
    | Task
)

_FIELD_OF: dict[type, str] = {
    Bundle: "bundles",
    ContainerRecord: "containers",
    Daemon: "daemons",
    Event: "events",
    Image: "images",
    KubeletPod: "kubelet_pods",
    OciState: "oci_states",
    Process: "processes",
    Sandbox: "sandboxes",
    Shim: "shims",
    Task: "tasks",
}

_ENDPOINT_FIELDS = frozenset(field_names(Endpoint))


def reason_of(error: BackendError) -> Reason:
    """The word for an error of the tree."""
    if isinstance(error, BackendDeniedError):
        return Reason.DENIED
    if isinstance(error, BackendTimeoutError):
        return Reason.SILENT
    if isinstance(error, BackendUnavailableError):
        return Reason.REFUSED
    return Reason.MALFORMED


_STATE_OF = {
    Reason.DENIED: EndpointState.DENIED,
    Reason.SILENT: EndpointState.SILENT,
    Reason.REFUSED: EndpointState.DEAD,
    Reason.ABSENT: EndpointState.ABSENT,
    Reason.INACTIVE: EndpointState.INACTIVE,
    Reason.BLOCKED: EndpointState.BLOCKED,
}


class Draft:
    """An observation in the making: records and gaps as they arrive, then frozen."""

    def __init__(self, endpoint: Endpoint, targets: Targets) -> None:
        self._endpoint = endpoint
        self._targets = targets
        self._records: dict[str, list[Any]] = {}
        self._gaps: list[Gap] = []
        self._asked: list[str] = []
        self._changes: dict[str, Any] = {}
        self._started_at = datetime.now(UTC)
        self._t0 = time.monotonic()

    def add(self, *records: Record) -> None:
        """Keep what arrived."""
        for record in records:
            self._records.setdefault(_FIELD_OF[type(record)], []).append(record)

    def asked(self, request: str) -> None:
        """Note a request that is about to be made."""
        self._asked.append(request)

    def connected(self, connect_ms: float) -> None:
        """Note how long the connection took."""
        self._changes["connect_ms"] = round(connect_ms, 3)

    def answered(self, first_answer_ms: float | None = None) -> None:
        """Note the first answer; by default it came just now, counted from the draft's start."""
        if "first_answer_ms" in self._changes:
            return
        if first_answer_ms is None:
            first_answer_ms = (time.monotonic() - self._t0) * 1000
        self._changes["first_answer_ms"] = round(first_answer_ms, 3)
        is_slow = first_answer_ms > self._targets.deadlines.slow_s * 1000
        self._changes.setdefault("state", EndpointState.SLOW if is_slow else EndpointState.OK)

    def describe(self, **changes: Any) -> None:
        """Set fields of the endpoint: `version`, `origin`, `state`."""
        unknown = changes.keys() - _ENDPOINT_FIELDS
        if unknown:
            raise TypeError(f"no such field of Endpoint: {', '.join(sorted(unknown))}")
        self._changes.update(changes)

    def gap(self, missing: str, reason: Reason, detail: str = "", subject: str = "daemon") -> None:
        """Note what this source could not say."""
        self._gaps.append(
            Gap(
                source=self._endpoint.source,
                subject=subject,
                missing=missing,
                reason=reason,
                detail=detail,
            )
        )

    @contextmanager
    def gap_on_error(self, missing: str, subject: str = "daemon") -> Iterator[None]:
        """Turn an error of the tree into a gap; before the first answer it is the endpoint's state.

        Anything else passes: it is a bug of ours, and only `collect` may catch that.
        """
        try:
            yield
        except BackendError as error:
            reason = reason_of(error)
            detail = error.message if error.hint is None else f"{error.message} ({error.hint})"
            self.gap(missing, reason, detail, subject)
            if subject == "daemon" and "first_answer_ms" not in self._changes:
                self._changes.setdefault("state", _STATE_OF.get(reason, EndpointState.MALFORMED))
            elif subject == "daemon" and reason is Reason.SILENT:
                self._changes["state"] = EndpointState.SILENT

    def observation(self) -> Observation:
        """What was collected, stamped with the end of the reading."""
        return Observation(
            source=self._endpoint.source,
            kind=self._endpoint.kind,
            node=self._targets.node,
            started_at=self._started_at,
            taken_at=datetime.now(UTC),
            taken_boottime_ns=time.clock_gettime_ns(time.CLOCK_BOOTTIME),
            endpoint=replace(self._endpoint, asked=tuple(self._asked), **self._changes),
            scope=self._targets.scope,
            gaps=tuple(self._gaps),
            **{name: tuple(records) for name, records in self._records.items()},
        )
