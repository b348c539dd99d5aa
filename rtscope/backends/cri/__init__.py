"""The container runtime interface: what containerd, CRI-O and cri-dockerd tell a kubelet."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from rtscope.backends.base import Backend, Draft, Targets, reason_of
from rtscope.backends.channel import NOT_FOUND, UNIMPLEMENTED, Channel, RpcError, connect
from rtscope.backends.channel.failure import Peer
from rtscope.backends.rights import reach
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import ContainerRecord, Sandbox
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from rtscope.procfs.host import Host

if TYPE_CHECKING:
    from rtscope.backends.cri.client import CriClient
    from rtscope.backends.cri.convert import Store

_R = TypeVar("_R", ContainerRecord, Sandbox)
_CONTAINERD = "containerd"
_CONTAINERD_NAMESPACE = "k8s.io"


class CriBackend:
    """`Version` first and alone, then the two lists. Neither `Status` nor events are asked.

    A status for each container or pod is asked only where a column needs what the lists lack.
    """

    name: ClassVar[str] = "cri"
    wave: ClassVar[int] = 1

    def __init__(self, endpoint: Endpoint, deadlines: Deadlines) -> None:
        self._endpoint = endpoint
        self._deadlines = deadlines
        self._peer = Peer(self.name, endpoint.address)
        self._channel: Channel | None = None

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """A backend for one socket; the first request connects."""
        return cls(endpoint, deadlines)

    def observe(self, targets: Targets) -> Observation:
        """Every pod and container, or those in `targets.scope`."""
        draft = Draft(self._endpoint, targets)
        with draft.gap_on_error("containers"):
            client = self._client(self._open(draft, targets.host))
            runtime = self._ask_version(client, draft)
            if runtime is not None:
                self._list(client, self._store(runtime), draft, targets)
        return draft.observation()

    def document(self, ref: Ref, targets: Targets) -> Any:
        """What `crictl inspect` or `crictl inspectp` shows."""
        from rtscope.backends.cri.convert import document_from

        client = self._client(self._open(Draft(self._endpoint, targets), targets.host))
        limit_s = self._deadlines.request_s
        try:
            return document_from(client.container_status(ref.id, limit_s, verbose=True))
        except RpcError as error:
            if error.code != NOT_FOUND:
                raise
        return document_from(client.sandbox_status(ref.id, limit_s))

    def close(self) -> None:
        """Let go of the connection."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _open(self, draft: Draft, host: Host) -> Channel:
        if self._channel is not None and self._channel.is_usable:
            return self._channel
        self.close()
        address = self._endpoint.address.removeprefix("unix://")
        if "://" not in address:
            address = reach(host, address, self._peer)
        # Imported here, or the first connection would seem 9 ms slower than the daemon is.
        import rtscope.backends.channel.lean  # noqa: F401

        started_at = time.monotonic()
        self._channel = connect(
            address,
            connect_timeout_s=self._deadlines.connect_s,
            backend=self.name,
            endpoint=self._endpoint.address,
        )
        draft.connected((time.monotonic() - started_at) * 1000)
        return self._channel

    def _client(self, channel: Channel) -> "CriClient":
        from rtscope.backends.cri.client import CriClient

        return CriClient(channel, self._peer)

    def _ask_version(self, client: "CriClient", draft: Draft) -> str | None:
        """The runtime's name; None where no CRI is spoken: containerd's plugin may be disabled."""
        draft.asked("Version")
        started_at = time.monotonic()
        try:
            answer = client.version(self._deadlines.first_answer_s)
        except RpcError as error:
            if error.code != UNIMPLEMENTED:
                raise
            draft.gap("containers", Reason.UNSUPPORTED, "containerd has no CRI plugin")
            draft.describe(state=EndpointState.ABSENT)
            return None
        draft.answered((time.monotonic() - started_at) * 1000)
        version = answer.runtime_version.removeprefix("v")
        draft.describe(version=f"{answer.runtime_name} {version}".strip() or None)
        return str(answer.runtime_name)

    def _list(self, client: "CriClient", store: "Store", draft: Draft, targets: Targets) -> None:
        from rtscope.backends.cri.details import Details

        try:
            sandboxes = self._ask_sandboxes(client, store, draft)
            records = self._ask_containers(client, store, draft, sandboxes)
        except BackendError as error:
            if reason_of(error) is not Reason.SILENT:
                draft.describe(state=EndpointState.MALFORMED)
            raise
        details = Details(client, draft, targets)
        draft.add(*details.of_sandboxes(_wanted(sandboxes, targets)))
        draft.add(*details.of_containers(_wanted(records, targets)))

    def _ask_sandboxes(
        self, client: "CriClient", store: "Store", draft: Draft
    ) -> Sequence[Sandbox]:
        from rtscope.backends.cri.convert import sandbox_from

        draft.asked("ListPodSandbox")
        try:
            answer = client.sandboxes(self._deadlines.request_s)
        except RpcError as error:
            # The daemon is well enough to say no: its containers are worth the next question.
            draft.gap("sandboxes", reason_of(error), error.message, subject="pods")
            draft.describe(state=EndpointState.MALFORMED)
            return ()
        return [sandbox_from(item, store) for item in answer.items]

    def _ask_containers(
        self, client: "CriClient", store: "Store", draft: Draft, sandboxes: Sequence[Sandbox]
    ) -> Sequence[ContainerRecord]:
        from rtscope.backends.cri.convert import record_from

        draft.asked("ListContainers")
        answer = client.containers(self._deadlines.request_s)
        by_id = {sandbox.ref.id: sandbox for sandbox in sandboxes}
        return [record_from(item, store, by_id) for item in answer.containers]

    def _store(self, runtime: str) -> "Store":
        from rtscope.backends.cri.convert import Store

        endpoint = self._endpoint
        is_containerd = runtime == _CONTAINERD
        namespace = endpoint.namespace or (_CONTAINERD_NAMESPACE if is_containerd else "")
        return Store(
            origin=endpoint.origin or endpoint.address,
            namespace=namespace,
            below=endpoint.below or (endpoint.address if is_containerd else None),
            below_namespace=namespace if is_containerd else None,
            owner_uid=endpoint.owner_uid,
        )


def _wanted(records: Sequence[_R], targets: Targets) -> list[_R]:
    return [r for r in records if targets.scope is None or r.ref in targets.scope]


_CONFORMS: type[Backend] = CriBackend
