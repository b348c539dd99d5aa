"""One group of records becomes one container."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from rtscope.correlate.engines import (
    CRI_ANNOTATION,
    engine_of,
    kind_of,
    oci_runtime_of,
    ranked,
    store_of,
)
from rtscope.correlate.expect import Kind, worst
from rtscope.correlate.groups import MONITORS, SANDBOXED, Group, state_dir_of
from rtscope.correlate.kernel import Kernel, is_waiting
from rtscope.correlate.pods import Pods
from rtscope.model.inventory import Container, LayerView
from rtscope.model.observation import Endpoint, Node
from rtscope.model.records import KubeletPod, Pod, Process, Sandbox, Shim
from rtscope.model.refs import ProcessKey, Ref
from rtscope.model.state import Layer, State

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STRAYS_ORIGIN = "/proc"
"""Origin of a row that only the kernel knows."""


class Row:
    """The facts of one container while they are put together."""

    def __init__(
        self,
        group: Group,
        kernel: Kernel,
        node: Node,
        pods: Pods,
        strays: Sequence[Process] = (),
    ) -> None:
        """Args: strays are processes of a container that no record explains, parents first."""
        self.group = group
        self._kernel = kernel
        self._node = node
        self._pods = pods
        self.records = ranked(group)
        self.spec: Mapping[str, str] = next(
            (b.spec for _, b in group.bundles if b.spec is not None), {}
        )
        self.init = strays[0] if strays else kernel.init_of(group)
        self.shim = None if group.is_remote else kernel.shim_of(group, self.init)
        self.left_over = () if self.init is not None else kernel.left_over(group)
        owner = None if self.init is None else self.init.owner
        self.engine = engine_of(group, self.records, self.spec, owner)
        self.kind = kind_of(group, self.engine, owner)
        self.oci_runtime = oci_runtime_of(group, self.records)
        is_kata = self.shim is not None and self.shim.kind.startswith("kata")
        self.is_read_by_user = node.euid != 0
        self.is_sandboxed = is_kata or self.oci_runtime in SANDBOXED
        self.state = self._state()

    def first(self, name: str) -> Any:
        """The field's value from the highest record that has one."""
        for record in self.records:
            value = getattr(record, name)
            if value not in (None, ""):
                return value
        return None

    def _state(self) -> State:
        if self.group.is_remote or self.is_sandboxed or self._has_no_process():
            return self._claimed_state()
        if self.init is not None:
            return self.live_state(self.init)
        if not self._kernel.is_read:
            return self._claimed_state()
        return State.RUNNING if self._is_starting() else self._dead_state()

    def _has_no_process(self) -> bool:
        """A pod without a pause container: nothing in the kernel stands for it."""
        return self.kind is Kind.CRIO and self.is_sandbox() and not self.group.has_lower_layer

    def live_state(self, init: Process) -> State:
        """What the kernel shows of a live init."""
        if init.is_frozen:
            return State.PAUSED
        says_created = any(state.state is State.CREATED for _, state in self.group.oci)
        if is_waiting(init) or says_created:
            return State.CREATED
        return State.RUNNING

    def _is_starting(self) -> bool:
        """A shim, asked after /proc was read, names an init that was not there yet."""
        return any(
            task.state is State.RUNNING
            and task.pid is not None
            and task.pid not in self._kernel.processes
            for _, task in self.group.tasks
        )

    def _dead_state(self) -> State:
        words = [task.state for _, task in self.group.tasks]
        words += [state.state for _, state in self.group.oci]
        words += [record.state for record in self.records if record.state is not None]
        words += [s.state for _, s in self.group.sandboxes if s.state is not None]
        if words and all(word is State.CREATED for word in words):
            return State.CREATED
        if not words and self.group.containers and not self.group.has_lower_layer:
            return State.CREATED
        return State.STOPPED

    def _claimed_state(self) -> State:
        lowest: list[State | None] = [state.state for _, state in self.group.oci]
        lowest += [task.state for _, task in self.group.tasks]
        lowest += [record.state for record in reversed(self.records)]
        lowest += [sandbox.state for _, sandbox in self.group.sandboxes]
        return next((s for s in lowest if s not in (None, State.UNKNOWN)), None) or State.UNKNOWN

    def stores(self) -> Iterator[str]:
        """Where it is kept: containerd's state directories and addresses, podman's graph roots."""
        for _, bundle in self.group.bundles:
            yield bundle.ref.origin
        for _, record in self.group.containers:
            if record.layer == Layer.CONTAINER:
                yield record.ref.origin
        paths = [state.bundle_dir for _, state in self.group.oci]
        for _, shim in self.group.shims:
            yield from filter(None, (shim.containerd_address, shim.graph_root))
            paths.append(shim.bundle_dir)
        for path in paths:
            place = store_of(path)
            if place is not None:
                yield place

    def namespace(self) -> str | None:
        """Containerd's namespace, where containerd holds it."""
        for _, bundle in self.group.bundles:
            return bundle.ref.namespace
        for record in self.records:
            if record.layer == Layer.CONTAINER or record.ref.namespace:
                return record.ref.namespace
        for item, record in self.group.containers:
            if record.below_namespace or item.endpoint.kind in ("docker", "dockerfs"):
                return record.below_namespace or item.endpoint.namespace
        if self.group.sandboxes:
            return self.group.sandboxes[0][1].ref.namespace or None
        named = [shim.namespace for _, shim in self.group.shims]
        named += [state.ref.namespace for _, state in self.group.oci]
        return next((name for name in named if name), None)

    def build(self, key: str, views: Mapping[Layer, LayerView]) -> Container:
        """The container, with the verdicts on its layers."""
        ref, endpoint = self.primary()
        verdict, problem = worst(views.values())
        task = next((t for _, t in self.group.tasks if t.state is State.STOPPED), None)
        oom = self.first("oom_killed")
        is_over = self.state is State.STOPPED
        return Container(
            key=key,
            id=ref.id,
            name=self._name(ref),
            engine=self.engine,
            verdict=verdict,
            origin=ref.origin,
            namespace=self.namespace(),
            endpoint=endpoint.address if endpoint is not None else None,
            refs=self.refs,
            image_ref=self._image_ref(),
            image_id=self.first("image_id"),
            command=self.first("command") or self.spec.get("args"),
            state=self.state,
            state_raw=self._state_raw(),
            pid=self.init.key.pid if self.init is not None else None,
            pid_start=self.init.key.start if self.init is not None else None,
            created_at=self._created_at(),
            started_at=self._started_at(),
            finished_at=_one_of(task and task.finished_at, self.first("finished_at"))
            if is_over
            else None,
            exit_code=_one_of(task and task.exit_code, self.first("exit_code"))
            if is_over
            else None,
            exit_reason=("OOM" if oom else self.first("exit_reason")) if is_over else None,
            oom_killed=oom,
            restart_count=self.first("restart_count"),
            health=self.first("health"),
            oci_runtime=self.oci_runtime,
            runtime_type=self.first("runtime_type")
            or next((b.runtime_type for _, b in self.group.bundles if b.runtime_type), None),
            shim_pid=self.shim.key.pid if self.shim is not None else None,
            shim_key=self.shim.key if self.shim is not None else None,
            bundle_dir=self._bundle_dir(),
            cgroup_path=self._cgroup_path(),
            labels=self._labels(),
            pod=self.pod(),
            nested_in=self._nested_in(),
            uid=self._uid(),
            log_path=self.first("log_path"),
            is_sandbox=self.is_sandbox(),
            processes=self.processes,
            layers=views,
            problem=problem,
        )

    def _image_ref(self) -> str | None:
        """As it was asked for; a CRI may have nothing but the image's digest."""
        named = [record.image_ref for record in self.records if record.image_ref]
        named += filter(None, (self.spec.get(f"{CRI_ANNOTATION}image-name"),))
        return next((name for name in named if not name.startswith("sha256:")), None) or next(
            iter(named), None
        )

    @cached_property
    def processes(self) -> tuple[ProcessKey, ...]:
        """Live processes of it, the init first."""
        return self.left_over if self.init is None else self._kernel.below(self.init)

    def primary(self) -> tuple[Ref, Endpoint | None]:
        """The record that names the row: the engine's own, else the strongest below it."""
        for item, record in self.group.containers:
            if record is self.records[0]:
                return record.ref, item.endpoint
        for item, sandbox in self.group.sandboxes:
            return sandbox.ref, item.endpoint
        for item, bundle in self.group.bundles:
            return bundle.ref, item.endpoint
        for item, state in self.group.oci:
            return state.ref, item.endpoint
        for item, task in self.group.tasks:
            return task.ref, item.endpoint
        if not self.group.shims:
            found = (self.init.container_id or "") if self.init is not None else ""
            return Ref(origin=STRAYS_ORIGIN, namespace="", id=found), None
        item, shim = self.group.shims[0]
        place = state_dir_of(shim.bundle_dir)
        origin = shim.graph_root or (place[0] if place else shim.containerd_address or "shims")
        return Ref(origin=origin, namespace=shim.namespace or "", id=shim.id or ""), item.endpoint

    @cached_property
    def refs(self) -> tuple[Ref, ...]:
        """The names of all its records."""
        records = (item.record for item in self.group.items)
        return tuple(dict.fromkeys(r.ref for r in records if not isinstance(r, Shim)))

    def is_sandbox(self) -> bool:
        """A pause container, by any layer's word."""
        if self.group.sandboxes or any(r.is_sandbox for r in self.records):
            return True
        return self.spec.get(f"{CRI_ANNOTATION}container-type") == "sandbox"

    def _name(self, ref: Ref) -> str | None:
        name = self.first("name") or self.spec.get(f"{CRI_ANNOTATION}container-name")
        if name:
            return str(name)
        for _, shim in self.group.shims:
            if shim.kind in MONITORS and shim.name:
                return shim.name
        for _, sandbox in self.group.sandboxes:
            if sandbox.pod_name:
                return sandbox.pod_name
        return ref.id

    def _state_raw(self) -> str | None:
        for record in self.records:
            if record.state_raw:
                return record.state_raw
        claims: Sequence[Any] = (*self.group.sandboxes, *self.group.tasks, *self.group.oci)
        return next((record.state_raw for _, record in claims if record.state_raw), None)

    def _created_at(self) -> datetime | None:
        found = self.first("created_at")
        if found is None:
            others: Sequence[Any] = (*self.group.sandboxes, *self.group.oci)
            found = next((r.created_at for _, r in others if r.created_at is not None), None)
        return found if isinstance(found, datetime) else None

    def init_started_at(self) -> datetime | None:
        """When the live init was forked."""
        return None if self.init is None else self._started(self.init.key)

    def shim_started_at(self) -> datetime | None:
        """When the shim was; it may serve the containers of a pod one after another."""
        return None if self.shim is None else self._started(self.shim.key)

    def _started(self, key: ProcessKey) -> datetime | None:
        """Source: proc_pid_stat(5), field 22."""
        if self._node.btime is None or not self._node.clk_tck:
            return None
        seconds = self._node.btime + key.start / self._node.clk_tck
        try:
            return _EPOCH + timedelta(seconds=round(seconds, 2))
        except OverflowError:
            return None  # a recording may say anything

    def _started_at(self) -> datetime | None:
        if self.init is not None and self.state is not State.CREATED:
            forked = self.init_started_at()
            if forked is not None:
                return forked
        found = self.first("started_at")
        return found if isinstance(found, datetime) else None

    def _bundle_dir(self) -> str | None:
        for _, bundle in self.group.bundles:
            return bundle.path
        found = next((s.bundle_dir for _, s in self.group.oci if s.bundle_dir), None)
        return (
            found
            or self.first("bundle_dir")
            or next((s.bundle_dir for _, s in self.group.shims if s.bundle_dir), None)
        )

    def _cgroup_path(self) -> str | None:
        if self.init is not None and self.init.cgroup:
            return self.init.cgroup
        found = next((s.cgroup_path for _, s in self.group.oci if s.cgroup_path), None)
        return found or self.first("cgroup_path")

    def _labels(self) -> Mapping[str, str]:
        for record in self.records:
            if record.labels:
                return record.labels
        return next((s.labels for _, s in self.group.sandboxes if s.labels), {})

    def _nested_in(self) -> str | None:
        pids = {item.endpoint.nested_in for item in self.group.items}
        pids |= {shim.nested_in for _, shim in self.group.shims}
        found = next((pid for pid in pids if pid is not None), None)
        return None if found is None else str(found)

    def _uid(self) -> int | None:
        for item in self.group.items:
            owner = item.space[-1] if item.space[0] != "remote" else None
            if isinstance(owner, int):
                return owner
        return None

    def pod(self) -> Pod | None:
        """The pod, by the highest layer that names it."""
        for record in self.records:
            if record.pod is not None:
                return record.pod
        for _, sandbox in self.group.sandboxes:
            return _pod_of(sandbox)
        name = self.spec.get(f"{CRI_ANNOTATION}sandbox-name")
        if name is None:
            return None if self.group.is_remote else self._pods.pod_of_cgroup(self.init)
        return Pod(
            name=name,
            namespace=self.spec.get(f"{CRI_ANNOTATION}sandbox-namespace"),
            uid=self.spec.get(f"{CRI_ANNOTATION}sandbox-uid"),
            sandbox_id=self.spec.get(f"{CRI_ANNOTATION}sandbox-id"),
        )

    def kubelet_pods(self) -> Iterator[tuple[str, KubeletPod]]:
        """Directories that the kubelet keeps for its pod."""
        pod = self.pod()
        if pod is not None and not self.group.is_remote and self._nested_in() is None:
            yield from self._pods.of_uid(pod.uid)

    def sandboxes(self) -> Iterator[tuple[str, Sandbox]]:
        """Its own sandbox, where it is a pause container; else its pod's."""
        if self.group.sandboxes:
            for item, sandbox in self.group.sandboxes:
                yield item.source, sandbox
            return
        pod = self.pod()
        if pod is not None and pod.sandbox_id is not None and not self.group.is_remote:
            yield from self._pods.of(pod.sandbox_id)


def _pod_of(sandbox: Sandbox) -> Pod:
    return Pod(
        name=sandbox.pod_name,
        namespace=sandbox.pod_namespace,
        uid=sandbox.pod_uid,
        sandbox_id=sandbox.ref.id,
    )


def _one_of(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
