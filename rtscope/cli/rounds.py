"""Reading the node again and again without asking every shim each time.

The first round asks all of them. Later ones ask only about containers that are new, whose init is
gone, or whose shim stopped or went on: what a shim said of the others still holds, since the kernel
shows the same init alive.
"""

import time

from rtscope.backends.base import Targets
from rtscope.config.settings import Settings
from rtscope.correlate.collect import RENDER_SHARE, Round, collect, observe_endpoint
from rtscope.correlate.discover import discover
from rtscope.correlate.fold import fold
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel

_HELD_UP = frozenset({"T", "t", "D"})


class Rounds:
    """One node, read several times."""

    __slots__ = ("_host", "_kernel", "_needs", "_settings", "_shims")

    def __init__(self, settings: Settings, needs: frozenset[str]) -> None:
        self._settings = settings
        self._needs = needs
        self._host = Host(settings.host_root)
        self._kernel: Observation | None = None
        self._shims: Observation | None = None

    def take(self) -> tuple[Observation, ...]:
        """The next round's observations, the kernel's first."""
        if self._shims is None or self._kernel is None:
            observations = collect(self._settings, needs=self._needs)
            self._kernel = observations[0]
            self._shims = next((o for o in observations if o.kind == "shim"), None)
            return observations
        return self._again(self._kernel, self._shims)

    def _again(self, before: Observation, shims: Observation) -> tuple[Observation, ...]:
        deadlines = self._settings.deadlines
        end = time.monotonic() + deadlines.verb_s * (1 - RENDER_SHARE)
        node = read_node(self._host)
        kernel = observe_kernel(self._host, node)
        targets = Targets(
            node=node, host=self._host, deadlines=deadlines, kernel=kernel, needs=self._needs
        )
        endpoints = discover(kernel, self._host, self._settings)
        others = [endpoint for endpoint in endpoints if endpoint.kind != "shim"]
        found = Round(targets, end, None).ask(others)
        endpoint = next((e for e in endpoints if e.kind == "shim"), shims.endpoint)
        recorded = {c.ref for o in found if o.kind == "containerd" for c in o.containers}
        self._kernel = kernel
        self._shims = self._shims_again(endpoint, targets, before, shims, recorded)
        return (kernel, *found, self._shims)

    def _shims_again(
        self,
        endpoint: Endpoint,
        targets: Targets,
        before: Observation,
        shims: Observation,
        recorded: set[Ref],
    ) -> Observation:
        kernel = targets.kernel
        assert kernel is not None
        kept = replace(
            shims,
            bundles=tuple(b for b in shims.bundles if self._host.exists(b.path)),
            taken_at=kernel.taken_at,
            taken_boottime_ns=kernel.taken_boottime_ns,
        )
        known = {bundle.ref for bundle in kept.bundles}
        kept = replace(
            kept,
            tasks=tuple(task for task in kept.tasks if task.ref in known),
            gaps=tuple(gap for gap in kept.gaps if _is_of(gap.subject, known)),
        )
        wanted = doubtful(kept, before, kernel) | (recorded - known)
        if not wanted:
            return kept
        scoped = replace(targets, scope=tuple(sorted(wanted)))
        return fold(kept, observe_endpoint(endpoint, scoped))


def _is_of(subject: str, known: set[Ref]) -> bool:
    return subject == "daemon" or any(ref.id in subject for ref in known)


def doubtful(shims: Observation, before: Observation, now: Observation) -> set[Ref]:
    """The containers of which what their shim last said may no longer hold. Pure."""
    live = {process.key.pid for process in now.processes}
    turned = _held(before) ^ _held(now)
    refs = {
        task.ref
        for task in shims.tasks
        if (task.state is not State.STOPPED and task.pid not in live) or task.shim in turned
    }
    answered = {task.ref for task in shims.tasks}
    silent = {bundle.ref for bundle in shims.bundles} - answered
    return refs | silent if turned else refs


def _held(kernel: Observation) -> set[ProcessKey]:
    return {shim.key for shim in kernel.shims if shim.process_state in _HELD_UP}
