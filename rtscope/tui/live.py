"""The node that the view looks at: live, or a recording that never changes."""

from collections.abc import Sequence
from typing import Any, Protocol

from rtscope.backends.base import Documents, Targets
from rtscope.backends.registry import backend_of
from rtscope.config.settings import Settings
from rtscope.correlate.again import Shims
from rtscope.correlate.collect import observe_endpoint
from rtscope.correlate.discover import discover
from rtscope.errors import RtscopeError
from rtscope.model.facts import fact
from rtscope.model.observation import Endpoint, Node, Observation
from rtscope.model.refs import Ref
from rtscope.procfs.gauges import Gauges, read_gauges
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.pulse import Pulse
from rtscope.procfs.scan import observe_kernel

NEEDS = frozenset({"finished_at", "restart_count"})


@fact(eq=False)
class Look:
    """One look at the kernel.

    Attributes:
        kernel: The same object as before where nothing moved.
        endpoints: What discovery found; None where it was not asked for.
    """

    kernel: Observation
    is_changed: bool = True
    endpoints: tuple[Endpoint, ...] | None = None
    gauges: Gauges | None = None


class NodeSource(Protocol):
    """What the schedule asks, each from a thread of its own."""

    def look(self, *, is_full: bool) -> Look:
        """The kernel's side; `is_full` asks for a whole look and for discovery."""
        ...

    def observe(self, endpoint: Endpoint, kernel: Observation) -> Observation:
        """One source; never raises for what a daemon does."""
        ...

    def completed(
        self, observations: tuple[Observation, ...], kernel: Observation
    ) -> tuple[Observation, ...]:
        """The observations with what only their sum shows to be missing."""
        ...

    def document(self, endpoint: Endpoint, ref: Ref, kernel: Observation) -> Any:
        """The raw document of one record. Raises RtscopeError."""
        ...


class LiveNode:
    """This machine, or the one below `--host-root`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._host = Host(settings.host_root)
        self._node: Node | None = None
        self._kernel: Observation | None = None
        self._pulse: Pulse | None = None
        self._shims = Shims()

    def look(self, *, is_full: bool) -> Look:
        gauges = read_gauges(self._host)
        before = self._kernel
        if not is_full and before is not None and self._is_calm():
            return Look(kernel=before, is_changed=False, gauges=gauges)
        self._node = read_node(self._host)
        kernel = observe_kernel(self._host, self._node)
        is_changed = before is None or meaning_of(before) != meaning_of(kernel)
        self._kernel, self._pulse = kernel, Pulse(kernel)
        endpoints = None
        if is_full or is_changed:
            endpoints = discover(kernel, self._host, self._settings)
        return Look(kernel=kernel, is_changed=is_changed, endpoints=endpoints, gauges=gauges)

    def _is_calm(self) -> bool:
        try:
            return self._pulse is not None and self._pulse.is_same(self._host)
        except OSError:
            return False

    def _targets(self, kernel: Observation) -> Targets:
        return Targets(
            node=kernel.node,
            host=self._host,
            deadlines=self._settings.deadlines,
            kernel=kernel,
            needs=NEEDS,
        )

    def observe(self, endpoint: Endpoint, kernel: Observation) -> Observation:
        if endpoint.kind == "shim":
            return self._shims.observe(endpoint, self._targets(kernel))
        return observe_endpoint(endpoint, self._targets(kernel))

    def completed(
        self, observations: tuple[Observation, ...], kernel: Observation
    ) -> tuple[Observation, ...]:
        if not any(o.kind == "shim" for o in observations):
            return observations
        told = self._shims.described(observations, self._targets(kernel))
        return tuple(told if o.kind == "shim" else o for o in observations)

    def document(self, endpoint: Endpoint, ref: Ref, kernel: Observation) -> Any:
        backend = backend_of(endpoint.kind).connect(endpoint, self._settings.deadlines)
        try:
            if not isinstance(backend, Documents):
                raise RtscopeError(f"{endpoint.kind} has no documents")
            return backend.document(ref, self._targets(kernel))
        finally:
            backend.close()


class Recorded:
    """Observations that were read from a file."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        kernels = [o for o in observations if o.kind == "procfs"]
        self._kernel = kernels[0] if kernels else observations[0]
        self._by_source = {o.source: o for o in observations if o is not self._kernel}

    def look(self, *, is_full: bool) -> Look:
        endpoints = tuple(o.endpoint for o in self._by_source.values())
        return Look(kernel=self._kernel, is_changed=is_full, endpoints=endpoints)

    def observe(self, endpoint: Endpoint, kernel: Observation) -> Observation:
        return self._by_source[endpoint.source]

    def completed(
        self, observations: tuple[Observation, ...], kernel: Observation
    ) -> tuple[Observation, ...]:
        return observations

    def document(self, endpoint: Endpoint, ref: Ref, kernel: Observation) -> Any:
        raise RtscopeError("a recording holds no raw documents")


def meaning_of(kernel: Observation) -> tuple[Any, ...]:
    """What counts of a look: whether a process runs or sleeps changes all the time."""
    return (
        kernel.shims,
        kernel.daemons,
        [
            (p.key, p.ppid, p.comm, p.state if p.state in "TtDZ" else "", p.cgroup, p.is_frozen)
            for p in kernel.processes
        ],
        [(gap.subject, gap.missing, gap.reason) for gap in kernel.gaps],
    )


def said(observation: Observation) -> tuple[Any, ...]:
    """What counts of an answer: latencies change with each one."""
    endpoint = observation.endpoint
    return (
        endpoint.state,
        endpoint.version,
        endpoint.daemon,
        endpoint.skip,
        observation.containers,
        observation.tasks,
        observation.sandboxes,
        observation.bundles,
        observation.oci_states,
        observation.kubelet_pods,
        observation.gaps,
    )
