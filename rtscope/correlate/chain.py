"""The chain as a tree: node, daemons, namespaces and pods, shims, containers, processes."""

from collections import defaultdict, deque
from collections.abc import Iterator

from rtscope.correlate.groups import state_dir_of
from rtscope.correlate.kernel import children_of
from rtscope.correlate.nodes import TreeNode
from rtscope.correlate.rows import STRAYS_ORIGIN
from rtscope.model.facts import replace
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Endpoint
from rtscope.model.records import Daemon, Process, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import ANSWERED, EndpointState, Engine, Layer, Verdict

_DAEMON_NAMES = {
    "docker": "dockerd",
    "containerd": "containerd",
    "podman": "podman",
    "cri": "cri",
}
_NOT_DAEMONS = frozenset({"oci", "shim", "dockerfs", "podmanfs", "kubelet"})
_COMMAND_CHARS = 200
_ROOT = "node"
OWNERS = {
    "lxc": "LXC",
    "nspawn": "systemd-nspawn",
    "buildkit": "BuildKit",
    "libvirt-lxc": "libvirt",
}


def tree(inventory: Inventory) -> tuple[TreeNode, ...]:
    """Every node, the root first; parents come before their children."""
    return tuple(_Chain(inventory).nodes())


class _Chain:
    def __init__(self, inventory: Inventory) -> None:
        self._inventory = inventory
        self._made: dict[str, TreeNode] = {}
        self._children: dict[str, list[str]] = defaultdict(list)
        self._container_of_init: dict[int, str] = {}
        self._process_children = children_of(inventory.processes)
        self._shims: dict[ProcessKey, Shim] = {shim.key: shim for shim in inventory.shims}
        self._endpoints = {
            (e.kind, e.address): e for e in inventory.endpoints if e.kind not in _NOT_DAEMONS
        }

    def nodes(self) -> Iterator[TreeNode]:
        root = self._add(TreeNode(key=_ROOT, kind="node", name=self._inventory.node.hostname))
        self._add_daemons(is_nested=False)
        nested = [c for c in self._inventory.containers if c.nested_in is not None]
        for container in sorted(self._inventory.containers, key=_order):
            if container.nested_in is None:
                self._add_container(container)
        self._add_daemons(is_nested=True)
        for container in sorted(nested, key=_order):
            self._add_container(container)
        self._add_owners(root)
        for key, node in self._made.items():
            yield replace(node, children=tuple(self._children[key]))

    def _add(self, node: TreeNode, parent: str | None = None) -> str:
        if node.key not in self._made:
            self._made[node.key] = replace(node, parent=parent)
            if parent is not None:
                self._children[parent].append(node.key)
        return node.key

    # ------------------------------------------------------------ daemons
    def _add_daemons(self, *, is_nested: bool) -> None:
        """Dockerd above the containerd that it sits on; CRI is containerd's own face."""
        endpoints = sorted(self._endpoints.values(), key=lambda e: (e.kind, e.address))
        for endpoint in endpoints:
            if endpoint.state is EndpointState.ABSENT or is_nested == (endpoint.nested_in is None):
                continue
            if endpoint.kind == "cri" and ("containerd", endpoint.address) in self._endpoints:
                continue
            self._add_daemon(endpoint)

    def _add_daemon(self, endpoint: Endpoint) -> str:
        node = _daemon_node(endpoint, self._daemon_of(endpoint))
        return self._add(node, self._place_of(endpoint))

    def _place_of(self, endpoint: Endpoint) -> str:
        """Where a daemon hangs: on this node, on another one, in a container."""
        if endpoint.is_remote:
            return self._add(
                TreeNode(key=f"node|{endpoint.address}", kind="node", name=endpoint.address)
            )
        return self._inside(endpoint.nested_in)

    def _inside(self, pid: int | None) -> str:
        """The container that a pid is the init of; the node where there is none."""
        return self._container_of_init.get(pid or 0, _ROOT)

    def _daemon_of(self, endpoint: Endpoint) -> Daemon | None:
        if endpoint.daemon is None:
            return None
        return next((d for d in self._inventory.daemons if d.key == endpoint.daemon), None)

    def _engine_node(self, container: Container) -> str:
        """The topmost daemon of a container; one that is dead or unknown is drawn all the same."""
        above = self._inside(int(container.nested_in)) if container.nested_in else _ROOT
        if container.origin == STRAYS_ORIGIN or container.engine is Engine.UNKNOWN:
            node = TreeNode(key="unknown", kind="daemon", name="no engine knows these")
            return self._add(node, above)
        if _is_dockers(container):
            found = self._docker_of(container)
            return self._daemon_key(above, found, "docker", container.origin)
        if container.engine is Engine.PODMAN:
            found = self._endpoint_of("podman", container.origin)
            name = "podman" if container.uid is None else f"podman of uid {container.uid}"
            return self._daemon_key(above, found, "podman", container.origin, name)
        if container.engine is Engine.OCI:
            node = TreeNode(key=f"oci|{container.origin}", kind="daemon", layer=Layer.OCI,
                            name=container.origin, detail="containers of no engine")  # fmt: skip
            return self._add(node, above)
        return self._containerd(above, container)

    def _docker_of(self, container: Container) -> Endpoint | None:
        """The dockerd that keeps it, else the one that sits on its containerd."""
        found = self._endpoint_of("docker", container.origin)
        if found is not None:
            return found
        below = self._endpoint_of("containerd", _containerd_origin(container))
        dockers = [e for e in self._endpoints.values() if e.kind == "docker" and not e.is_remote]
        return next((e for e in dockers if below is not None and e.below == below.address), None)

    def _containerd(self, above: str, container: Container) -> str:
        state = _containerd_origin(container)
        found = self._endpoint_of("containerd", state)
        if found is None and container.engine is Engine.CRI:
            found = self._endpoint_of("cri", container.origin)
        return self._daemon_key(above, found, "containerd", state)

    def _endpoint_of(self, kind: str, origin: str) -> Endpoint | None:
        return next(
            (
                e
                for e in self._endpoints.values()
                if e.kind == kind and origin in (e.origin, e.address)
            ),
            None,
        )

    def _daemon_key(
        self, above: str, endpoint: Endpoint | None, kind: str, origin: str, name: str | None = None
    ) -> str:
        if endpoint is not None:
            return self._add_daemon(endpoint)
        node = TreeNode(
            key=f"{kind}|{origin}",
            kind="daemon",
            name=name or _DAEMON_NAMES[kind],
            state=None if kind == "podman" else "absent",
            detail=origin,
        )
        return self._add(node, above)

    # ------------------------------------------------------------ containers
    def _add_container(self, container: Container) -> None:
        above = self._engine_node(container)
        is_dockers = _is_dockers(container)
        if is_dockers and container.shim_key is not None:
            above = self._containerd_below(above, container)
        if container.namespace and _is_in_namespace(container):
            above = self._add(
                TreeNode(
                    key=f"{above}|ns|{container.namespace}",
                    kind="namespace",
                    layer=Layer.CONTAINER,
                    name=container.namespace,
                ),
                above,
            )
        above = self._pod_node(above, container)
        above = self._shim_node(above, container)
        key = self._add(_container_node(container), above)
        if container.pid is not None:
            self._container_of_init[container.pid] = key
        self._add_processes(key, container)

    def _containerd_below(self, docker: str, container: Container) -> str:
        """Containerd under the dockerd that sits on it: the same daemon, once per engine."""
        state = _containerd_origin(container)
        endpoint = self._endpoint_of("containerd", state)
        if endpoint is None:
            node = TreeNode(
                key=f"{docker}|containerd|{state}", kind="daemon", name="containerd", detail=state
            )
            return self._add(node, docker)
        made = _daemon_node(endpoint, self._daemon_of(endpoint))
        return self._add(replace(made, key=f"{docker}|{made.key}"), docker)

    def _pod_node(self, above: str, container: Container) -> str:
        pod = container.pod
        if pod is None or (pod.name is None and pod.sandbox_id is None):
            return above
        name = f"{pod.namespace}/{pod.name}" if pod.namespace else (pod.name or "")
        return self._add(
            TreeNode(
                key=f"{above}|pod|{pod.sandbox_id or name}",
                kind="pod",
                layer=Layer.SANDBOX,
                name=name,
                id=pod.sandbox_id,
            ),
            above,
        )

    def _shim_node(self, above: str, container: Container) -> str:
        if container.shim_key is None:
            return above
        shim = self._shims.get(container.shim_key)
        view = container.layers.get(Layer.SHIM)
        task = container.layers.get(Layer.TASK)
        sick = next(
            (v for v in (view, task) if v is not None and v.verdict is Verdict.UNKNOWN), None
        )
        return self._add(
            TreeNode(
                key=f"{above}|shim|{container.shim_key.pid}",
                kind="shim",
                layer=Layer.SHIM,
                name=_shim_name(shim),
                pid=container.shim_key.pid,
                pid_start=container.shim_key.start,
                state=shim.process_state if shim is not None else None,
                verdict=sick.verdict if sick is not None else view.verdict if view else None,
                why=sick.why if sick is not None else None,
            ),
            above,
        )

    def _add_processes(self, key: str, container: Container) -> None:
        """Each process below its parent; what only shares the cgroup, beside the init."""
        wanted = {process.pid for process in container.processes}
        for process in container.processes:
            known = self._inventory.processes.get(process.pid)
            if process.pid not in wanted or known is None or known.key != process:
                continue
            if known.ppid not in wanted or process.pid == container.pid:
                self._add_family(key, process.pid, wanted, container)

    def _add_family(self, key: str, first: int, wanted: set[int], container: Container) -> None:
        waiting = deque([(key, first)])
        while waiting:
            parent, pid = waiting.popleft()
            wanted.discard(pid)
            mine = self._add(_process_node(key, self._inventory.processes[pid], container), parent)
            waiting.extend(
                (mine, child.key.pid)
                for child in self._process_children.get(pid, ())
                if child.key.pid in wanted
            )

    # ------------------------------------------------------------ others
    def _add_owners(self, root: str) -> None:
        """LXC, nspawn and buildkit: recognised, so that their processes have a name."""
        by_owner: dict[tuple[str, str], list[Process]] = defaultdict(list)
        for process in self._inventory.processes.values():
            if process.owner in OWNERS:
                by_owner[process.owner, process.container_id or ""].append(process)
        for (owner, name), processes in sorted(by_owner.items()):
            key = self._add(
                TreeNode(
                    key=f"owner|{owner}|{name}",
                    kind="owner",
                    name=f"{OWNERS[owner]} {name}".rstrip(),
                    detail=f"{len(processes)} processes; recognised, not read",
                ),
                root,
            )
            for process in sorted(processes, key=lambda p: p.key)[:1]:
                self._add(_process_node(key, process, None), key)


def _is_dockers(container: Container) -> bool:
    """Whether a dockerd keeps it: for itself, or below a CRI."""
    if container.engine is not Engine.CRI:
        return container.engine is Engine.DOCKER
    view = container.layers.get(Layer.ENGINE)
    return view is not None and any(c.source.startswith("docker") for c in view.claims)


def _is_in_namespace(container: Container) -> bool:
    """Whether containerd's namespace is a step of its chain."""
    if _is_dockers(container):
        return container.shim_key is not None
    return container.engine in (Engine.CRI, Engine.CONTAINERD)


def _containerd_origin(container: Container) -> str:
    """The state directory that its bundle lies in."""
    place = state_dir_of(container.bundle_dir)
    return container.origin if place is None else place[0]


def _order(container: Container) -> tuple[str, str, str, str]:
    return (str(container.engine), container.namespace or "", container.name or "", container.id)


def _shim_name(shim: Shim | None) -> str:
    if shim is None:
        return "shim"
    return shim.kind if shim.kind.startswith("conmon") else f"shim {shim.kind}"


def _daemon_node(endpoint: Endpoint, daemon: Daemon | None) -> TreeNode:
    words = [endpoint.version or "", endpoint.address]
    if endpoint.first_answer_ms is not None:
        words.append(f"{endpoint.first_answer_ms:.0f} ms")
    is_sick = endpoint.state not in ANSWERED
    return TreeNode(
        key=endpoint.source,
        kind="daemon",
        layer=Layer.ENGINE if endpoint.kind != "containerd" else Layer.CONTAINER,
        name=daemon.kind if daemon is not None else _DAEMON_NAMES.get(endpoint.kind, endpoint.kind),
        pid=endpoint.daemon.pid if endpoint.daemon is not None else None,
        pid_start=endpoint.daemon.start if endpoint.daemon is not None else None,
        state=str(endpoint.state),
        detail=" ".join(word for word in words if word),
        verdict=Verdict.UNKNOWN if is_sick else Verdict.OK,
        why=endpoint.skip_detail or None,
    )


def _container_node(container: Container) -> TreeNode:
    words = [container.oci_runtime or "", container.image_ref or ""]
    return TreeNode(
        key=f"container|{container.key}",
        kind="container",
        layer=Layer.OCI,
        name=container.name or container.id,
        id=container.id,
        pid=container.pid,
        pid_start=container.pid_start,
        state=str(container.state),
        verdict=container.verdict,
        why=container.problem,
        detail=" ".join(word for word in words if word),
        container=container.key,
    )


def _process_node(above: str, process: Process, container: Container | None) -> TreeNode:
    command = " ".join(process.cmdline or ())[:_COMMAND_CHARS]
    return TreeNode(
        key=f"{above}|process|{process.key.pid}",
        kind="process",
        layer=Layer.PROCESS,
        name=process.comm,
        pid=process.key.pid,
        pid_start=process.key.start,
        state=process.state,
        detail=command,
        container=container.key if container is not None else None,
    )
