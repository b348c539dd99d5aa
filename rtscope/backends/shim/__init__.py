"""Asks every shim for its tasks, and reads the bundles that they run."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from rtscope.backends.base import Backend, Draft, Targets, reason_of
from rtscope.backends.channel.failure import NOT_FOUND, UNIMPLEMENTED, RpcError
from rtscope.backends.shim.bundles import LINUX_V1, BundleReader, state_dirs
from rtscope.backends.shim.fanout import Question, ask_all
from rtscope.backends.shim.serving import ShimIndex
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Bundle, Shim, Task
from rtscope.model.state import EndpointState, Reason

_SERVICE_OF: Mapping[str, str] = {
    "task.v2": "containerd.task.v2.Task",
    "task.v3": "containerd.task.v3.Task",
    LINUX_V1: "containerd.runtime.linux.shim.v1.Shim",
}
_OTHER_SERVICE: Mapping[str, str] = {
    "containerd.task.v2.Task": "containerd.task.v3.Task",
    "containerd.task.v3.Task": "containerd.task.v2.Task",
}

_Served = tuple[Bundle, Shim | None]


class ShimBackend:
    """All shims of the node are one endpoint: they are asked together, each once."""

    name: ClassVar[str] = "shim"
    wave: ClassVar[int] = 2

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for all shims."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Bundles of every state directory, and a task from every shim that answers."""
        draft = Draft(self._endpoint, targets)
        reader = BundleReader(targets.host, targets.node.euid, draft)
        served = [
            (bundle if shim is not None else reader.without_shim(bundle), shim)
            for bundle, shim in ShimIndex(targets.kernel).pair(_bundles(reader, draft, targets))
        ]
        draft.add(*(bundle for bundle, _ in served))
        if targets.scope is not None and "specs" in targets.needs:
            # What is described, not asked: no shim is asked twice in a run.
            return draft.observation()
        inquiry = _Inquiry(draft, targets, self._deadlines.shim_s)
        for group in _groups_of(served, draft):
            inquiry.prepare(group)
        inquiry.ask()
        return draft.observation()

    def close(self) -> None:
        """Nothing is kept open."""


def _bundles(reader: BundleReader, draft: Draft, targets: Targets) -> list[Bundle]:
    wanted = None if targets.scope is None else frozenset(targets.scope)
    with_spec = wanted is not None or "specs" in targets.needs
    bundles = []
    for state in state_dirs(targets.kernel):
        for ref, path in reader.paths(state):
            if wanted is None or ref in wanted:
                bundle = reader.bundle(ref, path, with_spec=with_spec)
                if bundle is not None:
                    bundles.append(bundle)
    draft.asked("bundles")
    if reader.has_listed:
        draft.answered()
    else:
        draft.describe(state=EndpointState.ABSENT)
    return bundles


def _groups_of(served: Sequence[_Served], draft: Draft) -> list[list[_Served]]:
    """What one shim serves, for each shim that may be asked; the rest are gaps."""
    groups: dict[str, list[_Served]] = {}
    for bundle, shim in served:
        held = _held_up(shim)
        if held is not None:
            draft.gap("task", held[0], held[1], subject=bundle.ref.id)
        elif bundle.shim_address is None:
            detail = f"{bundle.path}: names no socket of a shim"
            draft.gap("task", Reason.ABSENT, detail, subject=bundle.ref.id)
        elif bundle.shim_api not in _SERVICE_OF:
            detail = f"shim at {bundle.shim_address} speaks {bundle.shim_api}"
            draft.gap("task", Reason.UNSUPPORTED, detail, subject=bundle.ref.id)
        else:
            groups.setdefault(bundle.shim_address, []).append((bundle, shim))
    return list(groups.values())


def _held_up(shim: Shim | None) -> tuple[Reason, str] | None:
    """Why a shim is not asked: its process cannot answer, and its queue would only fill."""
    if shim is None:
        return None
    if shim.process_state in ("T", "t"):
        return Reason.SILENT, f"shim {shim.key.pid} stopped (state {shim.process_state})"
    if shim.process_state == "D":
        where = f", {shim.wchan}" if shim.wchan else ""
        return Reason.BLOCKED, f"shim {shim.key.pid} blocked in the kernel (state D{where})"
    return None


class _Inquiry:
    """Puts `State` to every shim, and once more where it knows another version of the API."""

    def __init__(self, draft: Draft, targets: Targets, limit_s: float) -> None:
        # Protobuf takes 15 ms to import: not before there is a shim to ask.
        self._draft = draft
        self._targets = targets
        self._limit_s = limit_s
        self._served: dict[tuple[str, str], _Served] = {}
        self._questions: list[Question] = []

    def prepare(self, group: Sequence[_Served]) -> None:
        """Note the question for one shim."""
        from rtscope.backends.shim.convert import encode_state_request

        first = group[0][0]
        address, api = first.shim_address or "", first.shim_api or ""
        for bundle, shim in group:
            self._served[address, bundle.ref.id] = (bundle, shim)
        self._questions.append(
            Question(
                address=address,
                service=_SERVICE_OF[api],
                method="State",
                payloads={b.ref.id: encode_state_request(b.ref.id) for b, _ in group},
            )
        )

    def ask(self) -> None:
        """Ask, and keep what comes."""
        if not self._questions:
            return
        self._draft.asked(f"State of {len(self._served)} tasks")
        again = self._round(self._questions)
        if again:
            self._round(again, is_last=True)

    def _round(self, questions: Sequence[Question], *, is_last: bool = False) -> list[Question]:
        """One fan-out; the questions that should be put to another version."""
        again = []
        replies = ask_all(questions, self._targets.host, self._limit_s)
        for question in questions:
            other = _OTHER_SERVICE.get(question.service)
            unknown = {}
            for container_id, answer in replies[question.address].items():
                if other and not is_last and _is_unimplemented(answer):
                    unknown[container_id] = question.payloads[container_id]
                else:
                    self._keep(self._served[question.address, container_id], answer)
            if other and unknown:
                again.append(
                    Question(
                        address=question.address, service=other, method="State", payloads=unknown
                    )
                )
        return again

    def _keep(self, served: _Served, answer: bytes | BackendError) -> None:
        bundle, shim = served
        if isinstance(answer, BackendError):
            is_gone = isinstance(answer, RpcError) and answer.code == NOT_FOUND
            reason = Reason.VANISHED if is_gone else reason_of(answer)
            self._gap(served, reason, answer.message, answer.hint)
            return
        task = _task_from(answer, bundle, shim)
        if task is None:
            why = f"shim at {bundle.shim_address}: the answer is not protobuf"
            self._gap(served, Reason.MALFORMED, why)
        else:
            self._draft.add(task)

    def _gap(self, served: _Served, reason: Reason, why: str, hint: str | None = None) -> None:
        bundle, shim = served
        if shim is not None:
            # The pid stands second: it tells whose gap it is where two containers share an id.
            why = f"shim {shim.key.pid} {why.removeprefix('shim ')}"
        detail = why if hint is None else f"{why} ({hint})"
        self._draft.gap("task", reason, detail, subject=bundle.ref.id)


def _is_unimplemented(answer: bytes | BackendError) -> bool:
    return isinstance(answer, RpcError) and answer.code == UNIMPLEMENTED


def _task_from(answer: bytes, bundle: Bundle, shim: Shim | None) -> Task | None:
    from google.protobuf.message import DecodeError

    from rtscope.backends.shim.convert import task_from

    try:
        return task_from(answer, bundle.ref, bundle.path, None if shim is None else shim.key)
    except DecodeError:
        return None


_CONFORMS: type[Backend] = ShimBackend
