"""What the lists lack, asked of each pod and container where somebody needs it."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from rtscope.backends.base import Draft, Targets, reason_of
from rtscope.backends.channel import NOT_FOUND, RpcError
from rtscope.backends.cri.client import CriClient
from rtscope.backends.cri.convert import detailed, detailed_sandbox
from rtscope.backends.cri.fanout import Fanout
from rtscope.errors import BackendError
from rtscope.model.records import ContainerRecord, Sandbox
from rtscope.model.refs import Ref
from rtscope.model.state import Reason, State


class _HasRef(Protocol):
    @property
    def ref(self) -> Ref: ...


_R = TypeVar("_R", bound=_HasRef)


class Details:
    """Completes records; one whose status does not come stays as the list had it."""

    def __init__(self, client: CriClient, draft: Draft, targets: Targets) -> None:
        self._client = client
        self._draft = draft
        self._targets = targets
        self._is_verbose = "specs" in targets.needs

    def of_sandboxes(self, sandboxes: Sequence[Sandbox]) -> list[Sandbox]:
        """With the pid of each, where specs are needed."""
        if not self._is_verbose:
            return list(sandboxes)
        self._draft.asked(f"PodSandboxStatus of {len(sandboxes)} pods")

        def ask(sandbox: Sandbox, limit_s: float) -> Sandbox:
            return detailed_sandbox(sandbox, self._client.sandbox_status(sandbox.ref.id, limit_s))

        return self._complete(sandboxes, ask, "pid")

    def of_containers(self, records: Sequence[ContainerRecord]) -> list[ContainerRecord]:
        """With times, exit and log path; and, where specs are needed, what those say."""
        lacking = [record for record in records if self._lacks(record)]
        if not lacking:
            return list(records)
        self._draft.asked(f"ContainerStatus of {len(lacking)} containers")

        def ask(record: ContainerRecord, limit_s: float) -> ContainerRecord:
            container_id, verbose = record.ref.id, self._is_verbose
            answer = self._client.container_status(container_id, limit_s, verbose=verbose)
            return detailed(record, answer)

        completed = {record.ref: record for record in self._complete(lacking, ask, "finished_at")}
        return [completed.get(record.ref, record) for record in records]

    def _lacks(self, record: ContainerRecord) -> bool:
        """A running container's times are the kernel's to tell."""
        needs = self._targets.needs
        if "specs" in needs or "log_path" in needs:
            return True
        return "finished_at" in needs and record.state is State.STOPPED

    def _complete(
        self, records: Sequence[_R], ask: Callable[[_R, float], _R], missing: str
    ) -> list[_R]:
        fanout = Fanout(ask, self._targets.deadlines.request_s)
        answers = fanout.run(records, may_thread=self._targets.may_thread)
        completed = []
        for record, answer in zip(records, answers, strict=True):
            if isinstance(answer, BackendError):
                self._missed(record.ref.id, answer, missing)
                completed.append(record)
            else:
                completed.append(answer)
        return completed

    def _missed(self, subject: str, error: BackendError, missing: str) -> None:
        is_gone = isinstance(error, RpcError) and error.code == NOT_FOUND
        reason = Reason.VANISHED if is_gone else reason_of(error)
        self._draft.gap(missing, reason, error.message, subject)
