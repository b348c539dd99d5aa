"""Asks every source once, each in a thread of its own, and comes back in time whatever happens."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from rtscope.backends.base import Draft, Targets
from rtscope.backends.registry import backend_of, preload
from rtscope.config.settings import Settings
from rtscope.correlate.discover import discover
from rtscope.correlate.discover_roots import shim_endpoints
from rtscope.correlate.settle import settled
from rtscope.errors import BackendError, RtscopeError
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel

RENDER_SHARE = 0.1
"""Part of the verb's limit that is kept for joining and printing."""

_REASON_OF = {
    EndpointState.STOPPED: Reason.SILENT,
    EndpointState.BLOCKED: Reason.BLOCKED,
    EndpointState.DEAD: Reason.REFUSED,
    EndpointState.DENIED: Reason.DENIED,
    EndpointState.INACTIVE: Reason.INACTIVE,
    EndpointState.ABSENT: Reason.ABSENT,
}

Heard = Callable[[Observation], None]
Answers = queue.SimpleQueue[tuple[int, Observation]]

_AHEAD = -1
"""The number of what is asked before there is a list to count in."""

_DIRECTORIES = frozenset({"oci", "dockerfs"})


def collect(
    settings: Settings,
    *,
    needs: frozenset[str] = frozenset(),
    on_observation: Heard | None = None,
) -> tuple[Observation, ...]:
    """Everything the node says within the verb's limit; the kernel's observation first.

    A source that is not done by then is in the answer as silent; its thread is left behind, and the
    caller leaves by `os._exit`.
    """
    end = time.monotonic() + settings.deadlines.verb_s * (1 - RENDER_SHARE)
    host = Host(settings.host_root, remembers=True)
    node = read_node(host)
    targets = Targets(node=node, host=host, deadlines=settings.deadlines, needs=needs)
    ahead = Ahead(targets)
    kernel = observe_kernel(host, node, ahead.ask)
    targets = replace(targets, kernel=kernel)
    round_ = Round(targets, end, on_observation, ahead)
    if on_observation is not None:
        on_observation(kernel)
    found = _with_specs(round_.ask(discover(kernel, host, settings)), targets, end)
    return settled(kernel, found, targets)


def observe_endpoint(endpoint: Endpoint, targets: Targets) -> Observation:
    """One source; whatever it throws becomes a gap, and what must not be dialled is not."""
    if endpoint.skip is not None:
        return skipped(endpoint, targets)
    try:
        backend = backend_of(endpoint.kind).connect(endpoint, targets.deadlines)
        try:
            observation: object = backend.observe(targets)
        finally:
            with contextlib.suppress(Exception):
                backend.close()
    except BackendError as error:
        return _not_read(endpoint, targets, error)
    except RtscopeError as error:
        return _failed(endpoint, targets, Reason.UNSUPPORTED, error.message)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plug-in must not end the listing
        return _failed(endpoint, targets, Reason.MALFORMED, f"{endpoint.kind} backend: {error!r}")
    if not isinstance(observation, Observation):
        what = f"{endpoint.kind} backend: its answer is no observation"
        return _failed(endpoint, targets, Reason.MALFORMED, what)
    return observation


def skipped(endpoint: Endpoint, targets: Targets) -> Observation:
    """What stands for a source that was left alone, with the reason."""
    draft = Draft(endpoint, targets)
    state = endpoint.skip or EndpointState.UNKNOWN
    draft.describe(state=state)
    reason = _REASON_OF.get(state)
    if reason is not None and reason is not Reason.ABSENT:
        draft.gap("everything", reason, endpoint.skip_detail)
    return draft.observation()


def silent(endpoint: Endpoint, targets: Targets, detail: str) -> Observation:
    """What stands for a source that is not done when time is up."""
    draft = Draft(endpoint, targets)
    draft.describe(state=EndpointState.SILENT)
    draft.gap("everything", Reason.SILENT, detail)
    return draft.observation()


def _not_read(endpoint: Endpoint, targets: Targets, error: BackendError) -> Observation:
    draft = Draft(endpoint, targets)
    _note(draft, error)
    return draft.observation()


def _note(draft: Draft, error: BackendError) -> None:
    """As the draft notes it when a backend does it itself."""
    with draft.gap_on_error("everything"):
        raise error


def _failed(endpoint: Endpoint, targets: Targets, reason: Reason, detail: str) -> Observation:
    draft = Draft(endpoint, targets)
    draft.describe(state=EndpointState.MALFORMED)
    draft.gap("everything", reason, detail)
    return draft.observation()


class Ahead:
    """The question to the shims, put while the other half of /proc is read.

    They are many and take longest; whether one may be asked, its own state decides.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self.answers: Answers = queue.SimpleQueue()
        self.is_asked = False

    def ask(self, kernel: Observation) -> None:
        """Ask all shims of this half-read node; later, where no thread can start."""
        for endpoint in shim_endpoints(kernel, self._targets.host):
            _preload(endpoint.kind)
            targets = replace(self._targets, kernel=kernel)
            self.is_asked = _start(self.answers, {_AHEAD: endpoint}, targets)


class Round:
    """One question to every endpoint, side by side."""

    def __init__(
        self,
        targets: Targets,
        end: float,
        on_observation: Heard | None,
        ahead: Ahead | None = None,
    ) -> None:
        self._targets = targets
        self._end = end
        self._on_observation = on_observation
        self._has_asked_shims = ahead is not None and ahead.is_asked
        self._answers: Answers = queue.SimpleQueue() if ahead is None else ahead.answers

    def ask(self, endpoints: Sequence[Endpoint]) -> list[Observation]:
        """Observations in the order of the endpoints."""
        got: dict[int, Observation] = {}
        waiting: dict[int, int] = {}
        together: dict[object, dict[int, Endpoint]] = {}
        # What is not dialled, and what needs only files, is quick: daemons first.
        for number in sorted(range(len(endpoints)), key=lambda n: _rank(endpoints[n])):
            endpoint = endpoints[number]
            if endpoint.skip is not None:
                got[number] = self._heard(skipped(endpoint, self._targets))
            elif endpoint.kind == "shim" and self._has_asked_shims:
                waiting[_AHEAD] = number
            else:
                together.setdefault(self._thread_of(endpoint), {})[number] = endpoint
        unthreaded: list[int] = []
        for members in together.values():
            for endpoint in members.values():
                _preload(endpoint.kind)
            if _start(self._answers, members, self._targets):
                waiting.update((number, number) for number in members)
            else:
                unthreaded.extend(members)
        self._in_turn(unthreaded, endpoints, got)
        self._gather(waiting, got)
        for number in waiting.values():
            if number not in got:
                limit = self._targets.deadlines.verb_s
                detail = f"{endpoints[number].address}: not done within {limit:g} s"
                got[number] = self._heard(silent(endpoints[number], self._targets, detail))
        return [got[number] for number in range(len(endpoints))]

    def _thread_of(self, endpoint: Endpoint) -> object:
        """Equal for endpoints that one thread reads: directories of a file system that answers.

        Threads that only read files stand in each other's way: one of them at a time can run.
        """
        if endpoint.kind in _DIRECTORIES and not self._targets.host.may_block(endpoint.address):
            with contextlib.suppress(OSError):
                return self._targets.host.stat(endpoint.address).st_dev
        return endpoint.source, endpoint.kind, endpoint.address

    def _heard(self, observation: Observation) -> Observation:
        if self._on_observation is not None:
            self._on_observation(observation)
        return observation

    def _in_turn(
        self, numbers: Iterable[int], endpoints: Sequence[Endpoint], got: dict[int, Observation]
    ) -> None:
        """Where no thread can start: one source after another, while there is time."""
        alone = replace(self._targets, may_thread=False)
        for number in numbers:
            if time.monotonic() < self._end:
                got[number] = self._heard(observe_endpoint(endpoints[number], alone))
            else:
                observation = _failed(
                    endpoints[number], alone, Reason.UNSUPPORTED, "no thread available"
                )
                got[number] = self._heard(observation)

    def _gather(self, waiting: Mapping[int, int], got: dict[int, Observation]) -> None:
        """Take answers until all are there, by the number that they were asked under."""
        left = set(waiting)
        while left:
            try:
                asked_as, observation = self._answers.get(
                    timeout=max(0.0, self._end - time.monotonic())
                )
            except queue.Empty:
                return
            if asked_as in left:
                left.discard(asked_as)
                got[waiting[asked_as]] = self._heard(observation)


def _preload(kind: str) -> None:
    """Imports a backend here: two threads that import from one package can lock up.

    Source: observed, Python 3.11, `_DeadlockError` of importlib.
    """
    with contextlib.suppress(Exception):
        preload(kind)


def _start(answers: Answers, members: Mapping[int, Endpoint], targets: Targets) -> bool:
    """Ask these endpoints in a thread, one after another; False where none can start."""

    def work() -> None:
        for number, endpoint in members.items():
            answers.put((number, observe_endpoint(endpoint, targets)))

    name = next(iter(members.values())).source
    try:
        threading.Thread(target=work, daemon=True, name=name).start()
    except RuntimeError:
        return False
    return True


def _rank(endpoint: Endpoint) -> int:
    order = ("containerd", "cri", "docker", "podman", "shim")
    return order.index(endpoint.kind) if endpoint.kind in order else len(order)


def _with_specs(
    found: Sequence[Observation], targets: Targets, end: float
) -> tuple[Observation, ...]:
    """The bundles' own files for containers that nobody described, if there is time.

    Asked for by scope, so that no shim is asked twice.
    """
    described: set[Ref] = set()
    for observation in found:
        described |= {record.ref for record in observation.containers}
        described |= {sandbox.ref for sandbox in observation.sandboxes}
    answer = []
    for observation in found:
        bare = tuple(bundle.ref for bundle in observation.bundles if bundle.ref not in described)
        if observation.kind == "shim" and bare and time.monotonic() < end:
            wider = replace(targets, scope=bare, needs=targets.needs | {"specs"})
            specs = observe_endpoint(observation.endpoint, wider)
            known = {bundle.ref: bundle for bundle in specs.bundles}
            bundles = tuple(known.get(bundle.ref, bundle) for bundle in observation.bundles)
            answer.append(replace(observation, bundles=bundles))
        else:
            answer.append(observation)
    return tuple(answer)
