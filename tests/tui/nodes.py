"""Nodes for the view: healthy and sick ones, and a source that plays them."""

import threading
from dataclasses import replace
from typing import Any

from rtscope.correlate.join import join
from rtscope.errors import RtscopeError
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Gap, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.gauges import Gauges
from rtscope.tui.live import Look
from tests.generate import TAKEN_AT, generated_observations, hex_id

STOPPED_SHIM = hex_id("docker", 0)
UNRECORDED = hex_id("docker", 1)
LOST_INIT = hex_id("podman", 2)
HOSTILE = hex_id("docker", 2)
ESCAPES = "\x1b[2J\x1b]0;pwned\x07evil\x9b31m"


def sick_observations(count: int = 40) -> tuple[Observation, ...]:
    """A shim that is stopped, a container that containerd lost, a state file of a dead init, a
    hostile name, a dockerd that is gone and a podman that is slow.
    """
    return (*map(_sick, generated_observations(count)), _dead())


def _sick(observation: Observation) -> Observation:
    if observation.kind == "procfs":
        return _sick_kernel(observation)
    if observation.kind == "shim":
        gap = Gap(
            source=observation.source,
            subject=STOPPED_SHIM,
            missing="task",
            reason=Reason.SILENT,
            detail="shim 2003 stopped (state T)",
        )
        tasks = tuple(t for t in observation.tasks if t.ref.id != STOPPED_SHIM)
        return replace(observation, tasks=tasks, gaps=(*observation.gaps, gap))
    if observation.kind == "containerd":
        kept = tuple(c for c in observation.containers if c.ref.id != UNRECORDED)
        return replace(observation, containers=kept)
    if observation.kind == "docker":
        named = tuple(
            replace(c, name=ESCAPES, labels={**c.labels, "note": ESCAPES})
            if c.ref.id == HOSTILE
            else c
            for c in observation.containers
        )
        return replace(observation, containers=named)
    if observation.kind == "podman":
        slow = replace(observation.endpoint, state=EndpointState.SLOW, first_answer_ms=412.0)
        return replace(observation, endpoint=slow)
    return observation


def _sick_kernel(kernel: Observation) -> Observation:
    shims = tuple(
        replace(shim, process_state="T", wchan="do_signal_stop")
        if shim.id == STOPPED_SHIM
        else shim
        for shim in kernel.shims
    )
    processes = tuple(p for p in kernel.processes if p.container_id != LOST_INIT)
    return replace(kernel, shims=shims, processes=processes)


def _dead() -> Observation:
    kernel = generated_observations(1)[0]
    endpoint = Endpoint(
        kind="docker",
        address="/srv/old/docker.sock",
        found_by=("/etc/rtscope.toml",),
        state=EndpointState.DEAD,
        skip=EndpointState.DEAD,
        skip_detail="nobody listens on this path",
    )
    gap = Gap(
        source=endpoint.source,
        subject="daemon",
        missing="containers",
        reason=Reason.REFUSED,
        detail="nobody listens on this path",
    )
    return replace(
        kernel,
        source=endpoint.source,
        kind="docker",
        endpoint=endpoint,
        processes=(),
        daemons=(),
        shims=(),
        gaps=(gap,),
    )


def inventory_of(observations: tuple[Observation, ...]) -> Inventory:
    """A recording's inventory."""
    return replace(join(observations), recorded_at=TAKEN_AT)


class PlayedNode:
    """A live node that a test moves: what it says is what the test put there.

    Attributes:
        held: Sources that do not answer until they are released.
        asked: Source -> how often it was asked.
        documents: What `document` gives; None is an error.
    """

    def __init__(self, observations: tuple[Observation, ...]) -> None:
        self.observations = {o.source: o for o in observations}
        self.held: dict[str, threading.Event] = {}
        self.failing: set[str] = set()
        self.asked: dict[str, int] = {}
        self.looks = 0
        self.documents: Any = None
        self._kernel: Observation | None = None

    @property
    def kernel(self) -> Observation:
        return next(o for o in self.observations.values() if o.kind == "procfs")

    def put(self, observation: Observation) -> None:
        self.observations[observation.source] = observation

    def change(self, kind: str, **changes: Any) -> None:
        """Changes the observation of a kind of source."""
        old = next(o for o in self.observations.values() if o.kind == kind)
        self.put(replace(old, **changes))

    def hold(self, source: str) -> threading.Event:
        self.held[source] = threading.Event()
        return self.held[source]

    def look(self, *, is_full: bool) -> Look:
        self.looks += 1
        kernel = self.kernel
        before, self._kernel = self._kernel, kernel
        endpoints = tuple(o.endpoint for o in self.observations.values() if o.kind != "procfs")
        return Look(
            kernel=kernel,
            is_changed=before is not kernel,
            endpoints=endpoints,
            gauges=Gauges(busy=self.looks * 10, total=self.looks * 80, memory_percent=43.0),
        )

    def observe(self, endpoint: Endpoint, kernel: Observation) -> Observation:
        self.asked[endpoint.source] = self.asked.get(endpoint.source, 0) + 1
        event = self.held.get(endpoint.source)
        if event is not None:
            event.wait(30)
        if endpoint.source in self.failing:
            raise ValueError("a mistake of ours")
        return self.observations[endpoint.source]

    def completed(
        self, observations: tuple[Observation, ...], kernel: Observation
    ) -> tuple[Observation, ...]:
        return observations

    def document(self, endpoint: Endpoint, ref: Ref, kernel: Observation) -> Any:
        if self.documents is None:
            raise RtscopeError(f"{endpoint.kind} has none")
        return self.documents
