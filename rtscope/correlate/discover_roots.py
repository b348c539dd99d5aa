"""Endpoints that are directories: OCI roots, data roots, graph roots, and the shims' bundles.

They answer when every daemon is dead, so each of them is found without one: by what shims and
monitors were started with, by the engines' configuration, by habit.
"""

import re
from collections.abc import Iterable, Iterator

from rtscope.config.settings import Settings
from rtscope.correlate.discover_judge import below_docker
from rtscope.correlate.discover_named import Named
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Daemon, Shim
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState
from rtscope.procfs.daemons import options_of, user_home
from rtscope.procfs.host import BlockedError, Host
from rtscope.procfs.monitors import oci_root_of_args, split_bundle
from rtscope.procfs.users import user_ids

_OCI_ROOTS = ("/run/runc", "/run/crun", "/run/youki", "/run/runsc", "/run/kata-containers")
_OCI_PARENTS = ("/run/containerd/runc", "/run/containerd/crun", "/run/containerd/runsc")
_USER_OCI_ROOTS = ("runc", "crun", "youki", "runsc")
_SHIM_DEFAULTS = {"runsc-v1": "/run/containerd/runsc"}
_SHIM_DEFAULT = "/run/containerd/runc"
_STATE_DIRS = ("/run/containerd", "/run/k3s/containerd", "/run/k0s/containerd")
_BUNDLE_KINDS = ("io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux")
_STORAGE_FILES = ("/etc/containers/storage.conf", "/usr/share/containers/storage.conf")
_GRAPH_ROOT = re.compile(rb"(?m)^\s*graphroot\s*=\s*[\"']([^\"']+)[\"']")
_OPTION_ROOT = re.compile(rb'"[Rr]oot"\s*:\s*"((?:[^"\\]|\\.)*)"')
_RUNC_INIT = "runc:["
_HABIT = "default path"
_MAX_BYTES = 1 << 16
_MAX_CHILDREN = 512


def root_endpoints(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    """Every directory of this node that an engine or a runtime keeps its state in."""
    given = [one for one in named if not one.trouble]
    yield from _oci(kernel, host, settings, given)
    yield from _data_roots(kernel, host, settings, given)
    yield from _graph_roots(kernel, host, settings, given)
    yield from shim_endpoints(kernel, host)
    yield from _kubelet(kernel, host, settings, given)


class _Roots:
    """Directories in the order in which they were found; equal ones merge by what they are."""

    def __init__(self, kind: str, host: Host) -> None:
        self._kind = kind
        self._host = host
        self._found: dict[object, Endpoint] = {}

    def add(self, path: str, how: str, *, of_uid: int | None = None, **more: object) -> None:
        """Note a directory that exists, and one that something living names and nobody can see.

        What a user's process (`of_uid`) names counts only if it is that user's.
        """
        path = path.rstrip("/")
        if path.startswith("/var/run/"):
            path = path[len("/var") :]
        identity: object = path
        uid = None
        try:
            status = self._host.stat(path)
        except BlockedError:
            more["skip"] = EndpointState.BLOCKED
            more["skip_detail"] = f"{path}: its file system does not answer"
        except OSError as error:
            is_hidden = isinstance(error, PermissionError) and how != _HABIT
            if not more.get("is_named") and not is_hidden:
                return
        else:
            if of_uid and status.st_uid != of_uid:
                return
            identity = (status.st_dev, status.st_ino)
            uid = status.st_uid or None
        known = self._found.get(identity)
        if known is None:
            changes = {"owner_uid": uid, "origin": path, **more}
            endpoint = Endpoint(kind=self._kind, address=path, found_by=(how,))
            self._found[identity] = replace(endpoint, **changes)
        elif how not in known.found_by and not how.startswith("beside "):
            is_named = known.is_named or bool(more.get("is_named"))
            found_by = (*known.found_by, how)
            self._found[identity] = replace(known, found_by=found_by, is_named=is_named)

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._found.values())


def _of_kind(named: Iterable[Named], kind: str) -> Iterator[Named]:
    return (one for one in named if one.kind == kind)


def _inside(pid: int | None, path: str) -> str:
    return path if pid is None else f"/proc/{pid}/root{path}"


def _oci(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    roots = _Roots("oci", host)
    for one in _of_kind(named, "oci"):
        roots.add(one.address, one.how, is_named=one.is_named)
    for path in settings.roots.get("oci", ()):
        roots.add(path, "configuration roots.oci")
    for path, namespace, how, pid, uid in dict.fromkeys(_oci_of_shims(kernel, host)):
        roots.add(_inside(pid, path), how, of_uid=uid, namespace=namespace, nested_in=pid)
    for process in kernel.processes:
        running = oci_root_of_args(process.cmdline or ())
        if running is not None:
            how = f"{process.comm} {process.key.pid} --root"
            roots.add(running, how, of_uid=process.uid)
        elif process.comm.startswith(_RUNC_INIT):
            for waiting in _roots_of_fifo(host, process.key.pid):
                how = f"{process.comm} {process.key.pid} exec.fifo"
                roots.add(waiting, how, of_uid=process.uid)
    for daemon in kernel.daemons:
        _oci_of_daemon(roots, host, daemon)
    _usual_oci(roots, host)
    _neighbours(roots)
    yield from roots


def _neighbours(roots: _Roots) -> None:
    """Roots beside one that was found: who keeps `DIR/runc` keeps `DIR/crun` there, too.

    A detached container of a bare runtime leaves no trace of its root in any process.
    """
    for endpoint in tuple(roots):
        parent, _, name = endpoint.address.rpartition("/")
        if name in _USER_OCI_ROOTS and endpoint.namespace is None:
            for other in _USER_OCI_ROOTS:
                if other != name:
                    path = f"{parent}/{other}"
                    roots.add(path, f"beside {endpoint.address}", nested_in=endpoint.nested_in)


def _usual_oci(roots: _Roots, host: Host) -> None:
    for path in _OCI_ROOTS:
        roots.add(path, _HABIT)
    for parent in _OCI_PARENTS:
        _add_children(roots, host, parent, _HABIT, None)
    _add_dockers(roots, host, "/run/docker", _HABIT, None)
    for uid in user_ids(host):
        for name in _USER_OCI_ROOTS:
            roots.add(f"/run/user/{uid}/{name}", _HABIT)
        _add_dockers(roots, host, f"/run/user/{uid}/docker", _HABIT, None)


def _roots_of_fifo(host: Host, pid: int) -> Iterator[str]:
    """The root of a container that waits for its start: runc's init keeps a FIFO of it open.

    Source: opencontainers/runc, libcontainer/container_linux.go, execFifoFilename.
    """
    for name in _names(host, f"/proc/{pid}/fd"):
        try:
            path = host.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        directory, _, file = path.rpartition("/")
        root, _, container = directory.rpartition("/")
        if file == "exec.fifo" and root and container:
            yield root


def _oci_of_daemon(roots: _Roots, host: Host, daemon: Daemon) -> None:
    who = f"{daemon.kind} {daemon.key.pid}"
    pid = daemon.nested_in
    exec_root = daemon.options.get("exec_root")
    if exec_root and (not daemon.uid or _owner(host, exec_root) == daemon.uid):
        _add_dockers(roots, host, exec_root, f"{who} --exec-root", pid)
    for path in daemon.options.get("oci_roots", "").split("\n"):
        if path:
            roots.add(_inside(pid, path), f"{who} configuration", nested_in=pid)
    if daemon.options.get("oci_root"):
        how = f"{who} --runtime-flag"
        roots.add(_inside(pid, daemon.options["oci_root"]), how, nested_in=pid)
    if pid is not None and daemon.kind == "containerd":
        for parent in _OCI_PARENTS:
            _add_children(roots, host, parent, f"{who} default path", pid)


def _add_children(roots: _Roots, host: Host, parent: str, how: str, pid: int | None) -> None:
    """A directory that holds one root for each namespace."""
    for name in _names(host, _inside(pid, parent)):
        path = _inside(pid, f"{parent}/{name}")
        roots.add(path, how, namespace=name, nested_in=pid)


def _add_dockers(roots: _Roots, host: Host, exec_root: str, how: str, pid: int | None) -> None:
    """Docker keeps a directory for each runtime, and in it one for each namespace."""
    for name in _names(host, _inside(pid, exec_root)):
        if name.startswith("runtime-"):
            _add_children(roots, host, f"{exec_root}/{name}", how, pid)


def _oci_of_shims(
    kernel: Observation, host: Host
) -> Iterator[tuple[str, str | None, str, int | None, int]]:
    """(root, namespace, how, pid of the outer container, user) for each live shim and monitor."""
    for shim in kernel.shims:
        pid = shim.nested_in
        namespace = shim.namespace
        if shim.kind.startswith("conmon"):
            if shim.oci_root:
                yield shim.oci_root, None, "conmon --root", pid, shim.uid
        elif shim.kind == "linux-v1" and shim.oci_root and namespace:
            yield f"{shim.oci_root}/{namespace}", namespace, "shim -runtime-root", pid, shim.uid
        elif namespace is not None:
            root = _root_in_options(host, shim) or _SHIM_DEFAULTS.get(shim.kind, _SHIM_DEFAULT)
            yield f"{root}/{namespace}", namespace, "shim options.json", pid, shim.uid


def _root_in_options(host: Host, shim: Shim) -> str | None:
    """The root that the engine gave a shim's runtime. Source: observed, options.json of runc.v2."""
    if shim.bundle_dir is None:
        return None
    try:
        content = host.recall(_inside(shim.nested_in, f"{shim.bundle_dir}/options.json"))
    except OSError:
        return None
    found = _OPTION_ROOT.search(content)
    if found is None or not found[1].startswith(b"/"):
        return None
    return found[1].decode(errors="surrogateescape").rstrip("/")


def _data_roots(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    roots = _Roots("dockerfs", host)
    for one in _of_kind(named, "dockerfs"):
        roots.add(one.address, one.how, is_named=one.is_named)
    for path in (*settings.roots.get("docker", ()), *settings.roots.get("dockerfs", ())):
        roots.add(path, "configuration roots.docker")
    for daemon in kernel.daemons:
        if daemon.kind != "dockerd" or not daemon.options.get("root"):
            continue
        pid = daemon.nested_in
        roots.add(
            _inside(pid, daemon.options["root"]),
            f"dockerd {daemon.key.pid} --data-root",
            of_uid=daemon.uid,
            namespace=daemon.options.get("containerd_namespace"),
            below=None if pid is not None else below_docker(kernel, daemon),
            daemon=daemon.key,
            nested_in=pid,
        )
    usual = options_of(host, "dockerd", (), 0)
    if usual["root"] != "/var/lib/docker":
        roots.add(usual["root"], usual["config"], namespace="moby")
    below = below_docker(kernel, None)
    roots.add("/var/lib/docker", _HABIT, namespace="moby", below=below)
    for home in _homes(kernel, host):
        roots.add(f"{home}/.local/share/docker", _HABIT, namespace="moby")
    for path, address in _overlay_roots(kernel, host):
        roots.add(path, "mounts of a container", namespace="moby", below=address)
    yield from roots


def _overlay_roots(kernel: Observation, host: Host) -> Iterator[tuple[str, str | None]]:
    """(data root, address of containerd) of dead dockerds, from what their containers mount.

    Source: moby, daemon/graphdriver/overlay2: DATA_ROOT/overlay2/LAYER/merged is the root file
    system of a container; observed, 20.10, 26.1, 28.5.
    """
    addresses = {
        shim.containerd_address
        for shim in kernel.shims
        if shim.namespace == "moby" and shim.nested_in is None and shim.uid == 0
    }
    below = {daemon.options.get("containerd") for daemon in kernel.daemons}
    orphaned = addresses - below
    if not orphaned:
        return
    address = orphaned.pop() if len(orphaned) == 1 else None
    found: set[str] = set()
    for mount in host.mounts():
        base, middle, rest = mount.point.partition("/overlay2/")
        if mount.kind == "overlay" and middle and rest.endswith("/merged") and base not in found:
            found.add(base)
            yield base, address


def _graph_roots(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    roots = _Roots("podmanfs", host)
    for one in _of_kind(named, "podmanfs"):
        roots.add(one.address, one.how, is_named=one.is_named)
    for path in (*settings.roots.get("podman", ()), *settings.roots.get("podmanfs", ())):
        roots.add(path, "configuration roots.podman")
    for daemon in kernel.daemons:
        if daemon.kind == "podman" and daemon.options.get("root"):
            path = _inside(daemon.nested_in, daemon.options["root"])
            roots.add(
                path,
                f"podman {daemon.key.pid} --root",
                of_uid=daemon.uid,
                daemon=daemon.key,
                nested_in=daemon.nested_in,
            )
    for shim in kernel.shims:
        if shim.graph_root:
            path = _inside(shim.nested_in, shim.graph_root)
            roots.add(path, "conmon --root", of_uid=shim.uid, nested_in=shim.nested_in)
    for path in _STORAGE_FILES:
        found = _GRAPH_ROOT.search(_content(host, path))
        if found is not None:
            roots.add(found[1].decode(errors="surrogateescape"), path)
    roots.add("/var/lib/containers/storage", _HABIT)
    for home in _homes(kernel, host):
        roots.add(f"{home}/.local/share/containers/storage", _HABIT)
    yield from roots


def _homes(kernel: Observation, host: Host) -> Iterator[str]:
    """Homes of users who may have stores of their own.

    A home that may block is looked at only if something of that user runs: a listing does not wait
    for the file servers of people who have nothing to do with containers.
    """
    running = {shim.uid for shim in kernel.shims if shim.uid and shim.nested_in is None}
    running |= {kernel.node.euid} - {0}
    for uid in sorted({*user_ids(host), *running}):
        home = user_home(uid)
        if uid in running or not host.may_block(home):
            yield home


def shim_endpoints(kernel: Observation, host: Host) -> Iterator[Endpoint]:
    """One endpoint for all shims of the node, wherever their containerds keep the bundles."""
    found_by = []
    live = [s for s in kernel.shims if s.nested_in is None and not s.kind.startswith("conmon")]
    if live:
        found_by.append("shim processes")
    states = [daemon.options.get("state") for daemon in kernel.daemons if not daemon.nested_in]
    states += [
        shim.bundle_dir[: shim.bundle_dir.find("/io.containerd.")]
        for shim in live[:1]
        if shim.bundle_dir and split_bundle(shim.bundle_dir)[1]
    ]
    found_by.extend(
        state
        for state in dict.fromkeys(filter(None, (*states, *_STATE_DIRS)))
        if any(host.exists(f"{state}/{kind}") for kind in _BUNDLE_KINDS)
    )
    if found_by:
        yield Endpoint(kind="shim", address="shims", found_by=tuple(found_by))


def _kubelet(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    roots = _Roots("kubelet", host)
    for one in _of_kind(named, "kubelet"):
        roots.add(one.address, one.how, is_named=one.is_named)
    key: ProcessKey | None = None
    for daemon in kernel.daemons:
        if daemon.kind != "kubelet" or daemon.nested_in is not None:
            continue
        key = daemon.key
        path = daemon.options.get("root", "/var/lib/kubelet")
        state = daemon.process_state
        how = f"kubelet {key.pid} --root-dir"
        roots.add(path, how, daemon=key, holder_state=state, wchan=daemon.wchan)
    for path in (*settings.roots.get("kubelet", ()), "/var/lib/kubelet"):
        roots.add(path, _HABIT)
    found = tuple(roots)
    yield from found
    if not found and key is not None:
        yield Endpoint(
            kind="kubelet", address="/var/lib/kubelet", found_by=(f"kubelet {key.pid}",), daemon=key
        )


def _owner(host: Host, path: str) -> int | None:
    try:
        return host.stat(path).st_uid
    except OSError:
        return None


def _names(host: Host, directory: str) -> list[str]:
    try:
        return sorted(host.names(directory))[:_MAX_CHILDREN]
    except OSError:
        return []


def _content(host: Host, path: str) -> bytes:
    try:
        return host.read(path, _MAX_BYTES)
    except OSError:
        return b""
