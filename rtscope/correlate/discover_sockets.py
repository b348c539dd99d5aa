"""Endpoints behind unix sockets: every place that may name one, and equal ones merged."""

from collections.abc import Iterable, Iterator

from rtscope.config.settings import Settings
from rtscope.correlate.discover_judge import CRI_NAMESPACE, Candidate, Judge, kinds_of
from rtscope.correlate.discover_named import GUESS, Named
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Daemon
from rtscope.procfs.daemons import socket_path
from rtscope.procfs.host import Host
from rtscope.procfs.sockets import Listener, listeners, with_holders
from rtscope.procfs.users import user_ids, user_managers

KNOWN_PATHS = (
    ("docker", "/run/docker.sock"),
    ("containerd", "/run/containerd/containerd.sock"),
    ("containerd", "/run/docker/containerd/containerd.sock"),
    ("containerd", "/run/k3s/containerd/containerd.sock"),
    ("containerd", "/run/k0s/containerd.sock"),
    ("containerd", "/var/snap/microk8s/common/run/containerd.sock"),
    ("containerd", "/run/host-containerd/containerd.sock"),
    ("containerd", "/system/run/containerd/containerd.sock"),
    ("cri", "/run/crio/crio.sock"),
    ("cri", "/run/cri-dockerd.sock"),
    ("cri", "/run/k3s/cri-dockerd/cri-dockerd.sock"),
    ("podman", "/run/podman/podman.sock"),
)
_USER_PATHS = (("docker", "docker.sock"), ("podman", "podman/podman.sock"))
_NOT_THE_API = (".ttrpc", "/debug.sock", "/metrics.sock", "/nri.sock")
_NOT_THE_API_DIRS = ("/libnetwork/", "/plugins/", "/containerd/s/")


def socket_endpoints(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    """Every endpoint behind a unix socket of this node."""
    finder = _Finder(kernel, host, settings)
    finder.find(named)
    for candidate in finder.judged():
        endpoint = Judge(kernel, host, settings).endpoint(candidate)
        if endpoint is not None:
            yield endpoint


class _Finder:
    """Collects candidates from every place that may name one, and merges equal ones."""

    def __init__(self, kernel: Observation, host: Host, settings: Settings) -> None:
        self._kernel = kernel
        self._host = host
        self._settings = settings
        self._candidates: dict[tuple[str, object], Candidate] = {}
        pids = [daemon.key.pid for daemon in kernel.daemons]
        pids += user_managers(host)
        self._listeners = listeners(host, pids, timeout_s=settings.deadlines.connect_s, gaps=None)
        self._by_path = {
            entry.path: entry for entry in self._listeners if entry.network_namespace is None
        }
        self._by_file: dict[tuple[int | None, int | None], Listener] = {
            (entry.device, entry.file_inode): entry
            for entry in self._listeners
            if entry.file_inode is not None
        }
        for entry in self._listeners:
            # Where netlink does not tell the file of a listener, its path has to.
            if entry.file_inode is None and entry.holders and entry.network_namespace is None:
                self._by_file.setdefault(self._file(entry.path), entry)
        self._daemons = {daemon.key.pid: daemon for daemon in kernel.daemons}

    def find(self, named: Iterable[Named]) -> None:
        """Look in every place, the strongest first."""
        for daemon in self._kernel.daemons:
            self._held_by(daemon)
        for daemon in self._kernel.daemons:
            self._said_by(daemon)
        self._said_by_shims()
        for one in named:
            kind = self._guess(one.address) if one.kind == GUESS else one.kind
            self._add(kind, one.address, one.how, is_named=one.is_named)
        for kind, path in (*KNOWN_PATHS, *self._user_paths()):
            if self._host.exists(path) or path in self._by_path:
                self._add(kind, path, "default path")

    def judged(self) -> list[Candidate]:
        """The candidates with their listeners, after a search for holders nobody knows yet."""
        unknown = {}
        for candidate in self._candidates.values():
            entry = candidate.listener
            if entry is not None and candidate.daemon is None and not entry.held_by_init:
                unknown[entry.inode] = entry
        found = {entry.inode: entry for entry in with_holders(self._host, tuple(unknown.values()))}
        for candidate in self._candidates.values():
            if candidate.listener is not None:
                inode = candidate.listener.inode
                candidate.listener = found.get(inode, candidate.listener)
        return list(self._candidates.values())

    def _held_by(self, daemon: Daemon) -> None:
        for entry in self._listeners:
            if daemon.key.pid not in entry.holders or not entry.path.startswith("/"):
                continue
            if not _is_api(daemon, entry.path):
                continue
            path = self._visible_path(daemon, entry)
            for kind in kinds_of(daemon):
                self._add(kind, path, "listening socket", daemon=daemon, entry=entry)

    def _visible_path(self, daemon: Daemon, entry: Listener) -> str:
        """Where this node sees a listener whose daemon may have mounts of its own."""
        path = socket_path(entry.path)
        if daemon.nested_in is not None:
            return f"/proc/{daemon.nested_in}/root{entry.path}"
        outside = self._file(path)
        if daemon.process_state == "D" or outside[1] == (entry.file_inode or object()):
            return path
        inside = f"/proc/{daemon.key.pid}/root{entry.path}"
        there = self._file(inside)
        is_it = there[1] is not None and there[1] == (entry.file_inode or there[1])
        return inside if is_it and there != outside else path

    def _file(self, path: str) -> tuple[int | None, int | None]:
        try:
            status = self._host.stat(path)
        except OSError:
            return None, None
        return status.st_dev, status.st_ino

    def _said_by(self, daemon: Daemon) -> None:
        """What a daemon's arguments and configuration name, its own address and its partners'."""
        if daemon.nested_in is not None:
            return
        options = daemon.options
        name = f"{daemon.kind} {daemon.key.pid}"
        for text in options.get("hosts", "").split("\n"):
            if text.startswith("unix://"):
                self._add("docker", socket_path(text), f"{name} --host")
        if daemon.kind == "kubelet":
            if options.get("address", "").startswith("/"):
                how = f"{name} --container-runtime-endpoint"
                self._add("cri", options["address"], how)
            return
        if options.get("address", "").startswith("/") and not self._is_held(daemon):
            for kind in kinds_of(daemon):
                self._add(kind, options["address"], f"{name} address", daemon=daemon)
        if options.get("containerd", "").startswith("/"):
            self._add("containerd", options["containerd"], f"{name} --containerd")

    def _is_held(self, daemon: Daemon) -> bool:
        return any(found.daemon is daemon for found in self._candidates.values())

    def _said_by_shims(self) -> None:
        seen = set()
        for shim in self._kernel.shims:
            address = shim.containerd_address
            if not address or shim.nested_in is not None or shim.uid != 0:
                continue
            for kind in (
                ("containerd", "cri") if shim.namespace == CRI_NAMESPACE else ("containerd",)
            ):
                if (kind, address) not in seen:
                    seen.add((kind, address))
                    self._add(kind, socket_path(address), f"shim {shim.key.pid} -address")

    def _user_paths(self) -> Iterator[tuple[str, str]]:
        for uid in user_ids(self._host):
            for kind, name in _USER_PATHS:
                yield kind, f"/run/user/{uid}/{name}"
        home = self._settings.environ.get("HOME")
        if home:
            yield "docker", f"{home}/.docker/run/docker.sock"

    def _guess(self, path: str) -> str:
        """The kind of a socket, by its holder, else by its name."""
        entry = self._listener_at(path)[0]
        for pid in () if entry is None else entry.holders:
            if pid in self._daemons:
                return next(iter(kinds_of(self._daemons[pid])), "docker")
        for word, kind in (("containerd", "containerd"), ("cri", "cri"), ("podman", "podman")):
            if word in path.rpartition("/")[2]:
                return kind
        return "docker"

    def _listener_at(self, path: str) -> tuple[Listener | None, object]:
        """The listener behind a path, and what tells that two paths are one socket."""
        try:
            status = self._host.stat(path)
        except PermissionError:
            entry = self._by_path.get(path) or self._by_path.get(f"/var{path}")
            return entry, path if entry is None else entry.inode
        except OSError:
            return None, path
        entry = self._by_file.get((status.st_dev, status.st_ino))
        if entry is None:
            named = self._by_path.get(path) or self._by_path.get(f"/var{path}")
            entry = named if named is not None and named.file_inode is None else None
        return entry, (status.st_dev, status.st_ino) if entry is None else entry.inode

    def _add(
        self,
        kind: str,
        path: str,
        how: str,
        *,
        is_named: bool = False,
        daemon: Daemon | None = None,
        entry: Listener | None = None,
    ) -> None:
        identity: object
        if entry is None:
            entry, identity = self._listener_at(path)
        else:
            identity = entry.inode
        if daemon is None or (entry is not None and daemon.key.pid not in entry.holders):
            daemon = self._holder(entry, kind)
        if daemon is not None and kind not in kinds_of(daemon):
            if not is_named:
                return
            kind = next(iter(kinds_of(daemon)), kind)
        found = self._candidates.setdefault((kind, identity), Candidate(kind, path))
        found.listener = found.listener or entry
        found.daemon = found.daemon or daemon
        found.is_named = found.is_named or is_named
        if how not in found.found_by:
            found.found_by.append(how)

    def _holder(self, entry: Listener | None, kind: str) -> Daemon | None:
        """The recognised daemon that holds a listener; one of the right kind if there are two."""
        holders = () if entry is None else entry.holders
        known = [self._daemons[pid] for pid in holders if pid in self._daemons]
        fitting = [daemon for daemon in known if kind in kinds_of(daemon)]
        return next(iter((*fitting, *known)), None)


def _is_api(daemon: Daemon, path: str) -> bool:
    """Whether a listener of a daemon is the one that its clients use."""
    options = daemon.options
    said = {socket_path(text) for text in options.get("hosts", "").split("\n")}
    said.add(options.get("address", ""))
    if socket_path(path) in said:
        return True
    if daemon.kind not in ("dockerd", "containerd", "crio", "cri-dockerd", "podman"):
        return False
    if path == options.get("debug_address") or path.endswith(_NOT_THE_API):
        return False
    return not any(part in path for part in _NOT_THE_API_DIRS)
