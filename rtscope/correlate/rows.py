"""One group of records becomes one container."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rtscope.correlate.asked import Answers
from rtscope.correlate.expect import Asked, Expectation, conflict, expected, view_of, worst
from rtscope.correlate.groups import MONITORS, SANDBOXED, Group, state_dir_of
from rtscope.correlate.kernel import Kernel, is_waiting
from rtscope.model.inventory import Claim, Container, LayerView
from rtscope.model.observation import Endpoint, Node
from rtscope.model.records import ContainerRecord, Pod, Process, Sandbox, Shim
from rtscope.model.refs import Ref
from rtscope.model.state import Engine, Layer, State

KERNEL_SOURCE = "procfs:///proc"
_IN_TRANSITION = frozenset({"restarting", "removing", "stopping"})
_ENGINE_OF_KIND = {
    "docker": Engine.DOCKER,
    "dockerfs": Engine.DOCKER,
    "podman": Engine.PODMAN,
    "podmanfs": Engine.PODMAN,
    "cri": Engine.CRI,
    "containerd": Engine.CONTAINERD,
}


class Row:
    """The facts of one container while they are put together."""

    def __init__(
        self, group: Group, kernel: Kernel, answers: Answers, node: Node, sandboxes: "Sandboxes"
    ) -> None:
        self.group = group
        self._kernel = kernel
        self._answers = answers
        self._node = node
        self._sandboxes = sandboxes
        self.records = _ranked(group)
        self.spec: Mapping[str, str] = next(
            (b.spec for _, b in group.bundles if b.spec is not None), {}
        )
        self.init = kernel.init_of(group)
        self.shim = kernel.shim_of(group, self.init)
        self.engine = _engine(self)
        self.oci_runtime = _oci_runtime(self)
        self.is_sandboxed = self.oci_runtime in SANDBOXED or _is_kata(self.shim)
        self.state = self._state()

    def first(self, name: str) -> Any:
        """The field's value from the highest record that has one."""
        for record in self.records:
            value = getattr(record, name)
            if value not in (None, ""):
                return value
        return None

    def _state(self) -> State:
        if self._kernel.is_read and not self.is_sandboxed:
            if self.init is not None:
                return self._live_state(self.init)
            if self._is_starting():
                return State.RUNNING
            return self._dead_state()
        return self._claimed_state()

    def _live_state(self, init: Process) -> State:
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
        ) and any(True for _ in self.group.shims)

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
        for claims in (self.group.oci, self.group.tasks, self.group.containers):
            for _, record in claims:
                if record.state not in (None, State.UNKNOWN):
                    found: State = record.state
                    return found
        return State.UNKNOWN

    def state_dirs(self) -> Iterator[str]:
        """Containerd's state directories that hold its bundle or record."""
        for _, bundle in self.group.bundles:
            yield bundle.ref.origin
        for _, record in self.group.containers:
            if record.layer == Layer.CONTAINER:
                yield record.ref.origin

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
        return None

    def build(self, key: str) -> Container:
        """The container, with verdicts."""
        ref, endpoint = self.primary()
        views = self._views()
        verdict, problem = worst(views.values())
        task = next((t for _, t in self.group.tasks if t.state is State.STOPPED), None)
        oom = self.first("oom_killed")
        is_over = self.state is State.STOPPED
        pod = self._pod()
        return Container(
            key=key,
            id=ref.id,
            name=self._name(ref),
            engine=self.engine,
            verdict=verdict,
            origin=ref.origin,
            namespace=self.namespace(),
            endpoint=endpoint.address if endpoint is not None else None,
            refs=tuple(dict.fromkeys(self._refs())),
            image_ref=self.first("image_ref")
            or self.spec.get("annotation.io.kubernetes.cri.image-name"),
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
            exit_reason="OOM" if oom else self.first("exit_reason"),
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
            pod=pod,
            nested_in=self._nested_in(),
            uid=self._uid(),
            log_path=self.first("log_path"),
            is_sandbox=self.is_sandbox(),
            processes=self._kernel.below(self.init) if self.init is not None else (),
            layers=views,
            problem=problem,
        )

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
        item, shim = self.group.shims[0]
        place = state_dir_of(shim.bundle_dir)
        origin = shim.graph_root or (place[0] if place else shim.containerd_address or "shims")
        return Ref(origin=origin, namespace=shim.namespace or "", id=shim.id or ""), item.endpoint

    def _refs(self) -> Iterator[Ref]:
        for item in self.group.items:
            if not isinstance(item.record, Shim):
                yield item.record.ref

    def is_sandbox(self) -> bool:
        """A pause container, by any layer's word."""
        if self.group.sandboxes or any(r.is_sandbox for r in self.records):
            return True
        return self.spec.get("annotation.io.kubernetes.cri.container-type") == "sandbox"

    def _name(self, ref: Ref) -> str | None:
        name = self.first("name") or self.spec.get("annotation.io.kubernetes.cri.container-name")
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

    def _started_at(self) -> datetime | None:
        if (
            self.init is not None
            and self._node.btime is not None
            and self.state is not State.CREATED
        ):
            seconds = self._node.btime + self.init.key.start / self._node.clk_tck
            return datetime.fromtimestamp(0, UTC) + timedelta(seconds=round(seconds, 2))
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

    def _pod(self) -> Pod | None:
        for record in self.records:
            if record.pod is not None:
                return record.pod
        for _, sandbox in self.group.sandboxes:
            return _pod_of(sandbox)
        name = self.spec.get("annotation.io.kubernetes.cri.sandbox-name")
        if name is None:
            return None
        return Pod(
            name=name,
            namespace=self.spec.get("annotation.io.kubernetes.cri.sandbox-namespace"),
            uid=self.spec.get("annotation.io.kubernetes.cri.sandbox-uid"),
            sandbox_id=self.spec.get("annotation.io.kubernetes.cri.sandbox-id"),
        )

    def _views(self) -> dict[Layer, LayerView]:
        claims = self._claims()
        expectation = self._expectation()
        asked = Asked(
            unknown=self._answers.unknown_layers(
                self.group, self.engine, self.shim, self.state_dirs()
            )
        )
        if self.init is None and self.state is State.RUNNING and not self.is_sandboxed:
            late = "it was not there yet when /proc was read"
            asked = Asked(
                unknown={**dict.fromkeys((Layer.PROCESS, Layer.CGROUP), late), **asked.unknown}
            )
        moves = self._state_raw() in _IN_TRANSITION
        views = {}
        for layer in Layer:
            said = claims.get(layer, ())
            clash = None
            if not moves and layer not in (Layer.SHIM, Layer.SANDBOX, Layer.CONTAINER):
                pid = self.init.key.pid if self.init is not None else None
                clash = conflict(said, self.state, None if self.is_sandboxed else pid)
            views[layer] = view_of(layer, said, expectation, asked, clash)
        return views

    def _expectation(self) -> Expectation:
        found = expected(
            self.engine,
            self.state,
            has_init=self.init is not None,
            is_sandboxed=self.is_sandboxed,
        )
        always, may = found.always, found.may
        if self.is_sandbox():
            # A pause container is the sandbox's: CRI lists it as no container of its own.
            always, may = always - {Layer.ENGINE}, may | {Layer.ENGINE}
        if self._state_raw() in _IN_TRANSITION:
            always, may = always & {Layer.ENGINE}, may | always | frozenset(Layer)
        if self.init is not None and _has_no_cgroup(self.init):
            always, may = always - {Layer.CGROUP}, may | {Layer.CGROUP}
        return Expectation(always=always, may=may | {Layer.KUBELET, Layer.SANDBOX})

    def _claims(self) -> dict[Layer, tuple[Claim, ...]]:
        found: dict[Layer, list[Claim]] = {}
        for item, record in self.group.containers:
            found.setdefault(record.layer, []).append(_claim(item.source, record))
        for source, sandbox in self._own_or_pods_sandbox():
            found.setdefault(Layer.SANDBOX, []).append(
                Claim(source=source, state=sandbox.state, state_raw=sandbox.state_raw)
            )
        for item, task in self.group.tasks:
            is_over = task.state is State.STOPPED
            found.setdefault(Layer.TASK, []).append(
                Claim(
                    source=item.source,
                    state=task.state,
                    state_raw=task.state_raw,
                    pid=None if is_over else task.pid,
                    exit_code=task.exit_code,
                    finished_at=task.finished_at,
                )
            )
        for item, state in self.group.oci:
            is_over = state.state is State.STOPPED
            found.setdefault(Layer.OCI, []).append(
                Claim(
                    source=item.source,
                    state=state.state,
                    state_raw=state.state_raw,
                    pid=None if is_over else state.pid,
                    pid_start=None if is_over else state.pid_start,
                    created_at=state.created_at,
                )
            )
        self._kernel_claims(found)
        return {layer: tuple(claims) for layer, claims in found.items()}

    def _kernel_claims(self, found: dict[Layer, list[Claim]]) -> None:
        if self.shim is not None:
            found[Layer.SHIM] = [
                Claim(
                    source=KERNEL_SOURCE,
                    state_raw=self.shim.process_state,
                    pid=self.shim.key.pid,
                    pid_start=self.shim.key.start,
                )
            ]
        if self.init is None:
            return
        found[Layer.PROCESS] = [
            Claim(
                source=KERNEL_SOURCE,
                state=None if self.is_sandboxed else self._live_state(self.init),
                state_raw=self.init.state,
                pid=self.init.key.pid,
                pid_start=self.init.key.start,
            )
        ]
        if self.init.cgroup not in (None, "/"):
            found[Layer.CGROUP] = [
                Claim(source=KERNEL_SOURCE, state_raw="frozen" if self.init.is_frozen else None)
            ]

    def _own_or_pods_sandbox(self) -> Iterator[tuple[str, Sandbox]]:
        if self.group.sandboxes:
            for item, sandbox in self.group.sandboxes:
                yield item.source, sandbox
            return
        pod = self._pod()
        if pod is not None and pod.sandbox_id is not None:
            yield from self._sandboxes.of(pod.sandbox_id)


class Sandboxes:
    """The node's CRI sandboxes by id."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._by_id: dict[str, list[tuple[str, Sandbox]]] = {}
        for group in groups:
            for item, sandbox in group.sandboxes:
                self._by_id.setdefault(sandbox.ref.id, []).append((item.source, sandbox))

    def of(self, sandbox_id: str) -> list[tuple[str, Sandbox]]:
        """(source, sandbox) of every record of it."""
        return self._by_id.get(sandbox_id, [])


def _ranked(group: Group) -> list[ContainerRecord]:
    """Records from the highest layer down; an engine's own answer before its state directory."""
    order = {"cri": 0, "docker": 1, "podman": 1, "dockerfs": 2, "podmanfs": 2}
    pairs = sorted(
        group.containers,
        key=lambda pair: (
            pair[1].layer != Layer.ENGINE,
            order.get(pair[0].endpoint.kind, 3),
            not pair[1].is_complete,
        ),
    )
    return [record for _, record in pairs]


def _engine(row: Row) -> Engine:
    """The highest layer that has a record; of a silent engine what its bundle and labels say."""
    kinds = {item.endpoint.kind for item, _ in row.group.containers}
    if "cri" in kinds or row.group.sandboxes:
        return Engine.CRI
    if "podmanfs" in kinds and any("io.kubernetes.pod.name" in r.labels for r in row.records):
        # CRI-O keeps its containers in the same storage as podman.
        return Engine.CRI
    for kind in ("docker", "dockerfs", "podman", "podmanfs"):
        if kind in kinds:
            return _ENGINE_OF_KIND[kind]
    for _, shim in row.group.shims:
        if shim.kind in MONITORS:
            return Engine.CRI if (shim.name or "").startswith("k8s_") else Engine.PODMAN
    return _inferred_engine(row)


def _inferred_engine(row: Row) -> Engine:
    namespaces = {b.ref.namespace for _, b in row.group.bundles}
    namespaces |= {s.namespace for _, s in row.group.shims if s.namespace}
    namespaces |= {r.ref.namespace for r in row.records if r.layer == Layer.CONTAINER}
    if "moby" in namespaces:
        return Engine.DOCKER
    labels = row.records[0].labels if row.records else {}
    if "io.cri-containerd.kind" in labels or any(
        key.startswith("annotation.io.kubernetes.cri.") for key in row.spec
    ):
        return Engine.CRI
    if namespaces or row.group.tasks:
        return Engine.CONTAINERD
    return Engine.OCI if row.group.oci else Engine.UNKNOWN


def _oci_runtime(row: Row) -> str | None:
    for _, state in row.group.oci:
        return state.oci_runtime
    named = row.first("oci_runtime") or next(
        (b.oci_runtime for _, b in row.group.bundles if b.oci_runtime), None
    )
    if named is None:
        named = next((s.oci_runtime for _, s in row.group.shims if s.oci_runtime), None)
    return None if named is None else str(named).rsplit("/", 1)[-1]


def _is_kata(shim: Shim | None) -> bool:
    return shim is not None and shim.kind.startswith("kata")


def _has_no_cgroup(init: Process) -> bool:
    return init.cgroup in (None, "/")


def _pod_of(sandbox: Sandbox) -> Pod:
    return Pod(
        name=sandbox.pod_name,
        namespace=sandbox.pod_namespace,
        uid=sandbox.pod_uid,
        sandbox_id=sandbox.ref.id,
    )


def _claim(source: str, record: ContainerRecord) -> Claim:
    is_live = record.state in (State.RUNNING, State.PAUSED, None)
    return Claim(
        source=source,
        state=record.state,
        state_raw=record.state_raw,
        pid=record.pid if is_live else None,
        exit_code=record.exit_code,
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


def _one_of(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)
