"""What each source says of one container, by layer."""

from collections import defaultdict

from rtscope.correlate.groups import Item
from rtscope.correlate.rows import Row
from rtscope.model.inventory import Claim
from rtscope.model.records import ContainerRecord, OciState, Sandbox, Shim, Task
from rtscope.model.state import Layer, State

KERNEL_SOURCE = "procfs:///proc"

_WITH_PID = frozenset({State.RUNNING, State.PAUSED, State.CREATED, State.UNKNOWN, None})


def claims_of(row: Row) -> dict[Layer, tuple[Claim, ...]]:
    """Layer -> claims, in the order of their sources."""
    found: dict[Layer, list[Claim]] = defaultdict(list)
    for item, record in row.group.containers:
        pid = _on_the_node(row, item, record.pid)
        found[Layer(record.layer)].append(_of_record(item.source, record, pid))
    for source, sandbox in row.sandboxes():
        found[Layer.SANDBOX].append(_of_sandbox(source, sandbox))
    for source, _ in row.kubelet_pods():
        found[Layer.KUBELET].append(Claim(source=source))
    for item, task in row.group.tasks:
        found[Layer.TASK].append(_of_task(item.source, task))
    for item, state in row.group.oci:
        found[Layer.OCI].append(_of_oci(item.source, state))
    if row.shim is not None and not row.group.is_remote:
        found[Layer.SHIM].append(_of_shim(row.shim))
    for layer, claim in _of_processes(row):
        found[layer].append(claim)
    return {layer: tuple(claims) for layer, claims in found.items()}


def _on_the_node(row: Row, item: Item, pid: int | None) -> int | None:
    """A pid as the node counts: an engine in a container records those of its own namespace."""
    if pid is None or item.endpoint.nested_in is None or row.init is None:
        return pid if item.endpoint.nested_in is None else None
    return row.init.key.pid if pid in row.init.ns_pids else None


def _of_record(source: str, record: ContainerRecord, pid: int | None) -> Claim:
    return Claim(
        source=source,
        state=record.state,
        state_raw=record.state_raw,
        pid=pid if record.state in _WITH_PID else None,
        exit_code=record.exit_code,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


def _of_sandbox(source: str, sandbox: Sandbox) -> Claim:
    return Claim(
        source=source,
        state=sandbox.state,
        state_raw=sandbox.state_raw,
        created_at=sandbox.created_at,
    )


def _of_task(source: str, task: Task) -> Claim:
    """A stopped task keeps its last pid, which says nothing any more."""
    return Claim(
        source=source,
        state=task.state,
        state_raw=task.state_raw,
        pid=task.pid if task.state in _WITH_PID else None,
        exit_code=task.exit_code,
        finished_at=task.finished_at,
    )


def _of_oci(source: str, state: OciState) -> Claim:
    is_live = state.state in _WITH_PID
    return Claim(
        source=source,
        state=state.state,
        state_raw=state.state_raw,
        pid=state.pid if is_live else None,
        pid_start=state.pid_start if is_live else None,
        created_at=state.created_at,
    )


def _of_shim(shim: Shim) -> Claim:
    return Claim(
        source=KERNEL_SOURCE,
        state_raw=shim.process_state,
        pid=shim.key.pid,
        pid_start=shim.key.start,
    )


def _of_processes(row: Row) -> list[tuple[Layer, Claim]]:
    """The live init and its cgroup; where it is gone, what it left behind."""
    init = row.init
    if init is None:
        return [
            (Layer.PROCESS, Claim(source=KERNEL_SOURCE, pid=key.pid, pid_start=key.start))
            for key in row.left_over[:1]
        ]
    process = Claim(
        source=KERNEL_SOURCE,
        state=None if row.is_sandboxed else row.live_state(init),
        state_raw=init.state,
        pid=init.key.pid,
        pid_start=init.key.start,
    )
    if init.cgroup in (None, "/"):
        return [(Layer.PROCESS, process)]
    frozen = Claim(source=KERNEL_SOURCE, state_raw="frozen" if init.is_frozen else None)
    return [(Layer.PROCESS, process), (Layer.CGROUP, frozen)]
