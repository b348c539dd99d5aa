"""Shims in a view that stays open: asked once, then only where their answer may no longer hold.

A shim that stands still would be asked for nothing, and each question that it does not answer stays
in its queue. So a timer never asks; a new container, an init that is gone, and a shim that stopped
or went on do.
"""

from rtscope.backends.base import Draft, Targets
from rtscope.backends.shim.bundles import BundleReader, state_dirs
from rtscope.correlate.collect import observe_endpoint
from rtscope.correlate.fold import fold
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Bundle
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import State

_HELD_UP = frozenset({"T", "t", "D"})


class Shims:
    """What the shims of one node said, kept up to date."""

    __slots__ = ("_answer", "_kernel", "_specs")

    def __init__(self) -> None:
        self._answer: Observation | None = None
        self._kernel: Observation | None = None
        self._specs: dict[Ref, Bundle] = {}

    def observe(self, endpoint: Endpoint, targets: Targets) -> Observation:
        """All of them the first time; later only those in doubt, laid over the last answer."""
        kernel = targets.kernel
        if self._answer is None or self._kernel is None or kernel is None:
            self._answer = observe_endpoint(endpoint, targets)
        else:
            self._answer = self._again(endpoint, targets, self._answer, self._kernel, kernel)
        self._kernel = kernel
        return self._answer

    def _again(
        self,
        endpoint: Endpoint,
        targets: Targets,
        answer: Observation,
        before: Observation,
        kernel: Observation,
    ) -> Observation:
        present = _bundle_refs(endpoint, targets)
        known = {bundle.ref for bundle in answer.bundles}
        kept = replace(
            answer,
            bundles=tuple(b for b in answer.bundles if b.ref in present),
            tasks=tuple(task for task in answer.tasks if task.ref in present),
            gaps=tuple(g for g in answer.gaps if _is_of(g.subject, present)),
            taken_at=kernel.taken_at,
            taken_boottime_ns=kernel.taken_boottime_ns,
        )
        wanted = (doubtful(kept, before, kernel) | (present - known)) & present
        if not wanted:
            return kept
        return fold(kept, observe_endpoint(endpoint, replace(targets, scope=tuple(sorted(wanted)))))

    def described(self, observations: tuple[Observation, ...], targets: Targets) -> Observation:
        """The shims' observation with the bundles' own files where nobody describes a container."""
        mine = next(o for o in observations if o.kind == "shim")
        told = {record.ref for o in observations for record in o.containers}
        told |= {sandbox.ref for o in observations for sandbox in o.sandboxes}
        bare = {bundle.ref for bundle in mine.bundles if bundle.ref not in told}
        unread = tuple(sorted(bare - self._specs.keys()))
        if unread:
            wider = replace(targets, scope=unread, needs=targets.needs | {"specs"})
            read = observe_endpoint(mine.endpoint, wider)
            self._specs.update((bundle.ref, bundle) for bundle in read.bundles)
        self._specs = {ref: b for ref, b in self._specs.items() if ref in bare}
        if not self._specs:
            return mine
        return replace(mine, bundles=tuple(self._specs.get(b.ref, b) for b in mine.bundles))


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


def _bundle_refs(endpoint: Endpoint, targets: Targets) -> set[Ref]:
    """Every bundle that is there now; their files are not opened."""
    reader = BundleReader(targets.host, targets.node.euid, Draft(endpoint, targets))
    return {ref for state in state_dirs(targets.kernel) for ref, _ in reader.paths(state)}


def _is_of(subject: str, present: set[Ref]) -> bool:
    return subject == "daemon" or any(ref.id in subject for ref in present)
