"""What is known of a socket's holder, and whether the socket may be dialled.

A socket is believed to be a daemon's because a recognised daemon holds its listener. The rest is
caution: what pid 1 alone holds would be started by a connection, what a stopped process holds would
pile up in its queue, what something else holds leads to another node.
"""

from rtscope.config.settings import Settings
from rtscope.model.facts import replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import Daemon
from rtscope.model.state import EndpointState
from rtscope.procfs.daemons import options_of, socket_path
from rtscope.procfs.host import BlockedError, Host
from rtscope.procfs.sockets import Listener

_KINDS_OF_DAEMON = {
    "dockerd": ("docker",),
    "containerd": ("containerd", "cri"),
    "crio": ("cri",),
    "cri-dockerd": ("cri",),
    "k3s": ("cri",),
    "podman": ("podman",),
}
_CRI_PLUGINS = frozenset(
    {"cri", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1"}
)
CRI_NAMESPACE = "k8s.io"


class Candidate:
    """A socket that may be an endpoint, while it is being judged."""

    __slots__ = ("daemon", "found_by", "is_named", "kind", "listener", "path")

    def __init__(self, kind: str, path: str) -> None:
        self.kind = kind
        self.path = path
        self.found_by: list[str] = []
        self.is_named = False
        self.listener: Listener | None = None
        self.daemon: Daemon | None = None


def kinds_of(daemon: Daemon) -> tuple[str, ...]:
    """The kinds of endpoints that a daemon serves."""
    kinds = _KINDS_OF_DAEMON.get(daemon.kind, ())
    disabled = set(daemon.options.get("disabled_plugins", "").split("\n"))
    if daemon.kind == "containerd" and disabled & _CRI_PLUGINS:
        return ("containerd",)
    return kinds


def below_docker(kernel: Observation, daemon: Daemon | None) -> str | None:
    """Address of the containerd that a dockerd sits on, by what was observed."""
    containerds = [one for one in kernel.daemons if one.kind == "containerd"]
    if daemon is None:
        addresses = {
            shim.containerd_address
            for shim in kernel.shims
            if shim.namespace == "moby" and shim.nested_in is None and shim.uid == 0
        } - {None}
        return addresses.pop() if len(addresses) == 1 else None
    if daemon.options.get("containerd"):
        return daemon.options["containerd"]
    parents = {process.key.pid: process.ppid for process in kernel.processes}
    own = f"{daemon.options.get('exec_root', '/run/docker')}/containerd/containerd.sock"
    for one in containerds:
        if parents.get(one.key.pid) == daemon.key.pid or one.options.get("address") == own:
            return one.options.get("address")
    return "/run/containerd/containerd.sock"


class Judge:
    """Decides what is known of a candidate and whether it may be dialled."""

    def __init__(self, kernel: Observation, host: Host, settings: Settings) -> None:
        self._kernel = kernel
        self._host = host
        self._settings = settings

    def endpoint(self, candidate: Candidate) -> Endpoint | None:
        """The endpoint; None for a default path with nothing behind it."""
        daemon, entry = candidate.daemon, candidate.listener
        endpoint = Endpoint(
            kind=candidate.kind,
            address=candidate.path,
            found_by=tuple(candidate.found_by),
            is_named=candidate.is_named,
            queue=None if entry is None else entry.queue,
        )
        endpoint = self._with_store(endpoint, daemon)
        if entry is None:
            return self._without_listener(endpoint, candidate)
        if daemon is not None and entry.holders:
            return self._of_daemon(endpoint, daemon)
        return self._of_stranger(endpoint, entry)

    def _with_store(self, endpoint: Endpoint, daemon: Daemon | None) -> Endpoint:
        """Origin, namespace and partner, as the daemon's options tell them."""
        options = {} if daemon is None else daemon.options
        prefix = ""
        if daemon is not None and daemon.nested_in is not None:
            prefix = f"/proc/{daemon.nested_in}/root"
        if endpoint.kind == "docker":
            known = options or options_of(self._host, "dockerd", (), 0)
            return replace(
                endpoint,
                origin=prefix + known["root"],
                namespace=known["containerd_namespace"],
                below=None if prefix else below_docker(self._kernel, daemon),
            )
        if endpoint.kind in ("containerd", "cri") and (daemon is None or "state" in options):
            state = options.get("state") or _usual_state(endpoint.address)
            namespace = CRI_NAMESPACE if endpoint.kind == "cri" else None
            is_containerds = daemon is not None or endpoint.kind == "containerd"
            if not is_containerds and not self._is_shims(endpoint.address):
                return endpoint
            origin = None if state is None else prefix + state
            return replace(endpoint, origin=origin, namespace=namespace)
        if endpoint.kind == "cri" and daemon is not None and daemon.kind == "cri-dockerd":
            return replace(endpoint, origin=self._docker_root(options.get("docker", "")))
        root = options.get("root")
        is_store = endpoint.kind == "podman" or (daemon is not None and daemon.kind == "crio")
        return replace(endpoint, origin=prefix + root) if root and is_store else endpoint

    def _is_shims(self, address: str) -> bool:
        return any(shim.containerd_address == address for shim in self._kernel.shims)

    def _docker_root(self, address: str) -> str | None:
        for daemon in self._kernel.daemons:
            hosts = daemon.options.get("hosts", "").split("\n")
            if daemon.kind == "dockerd" and address in map(socket_path, hosts):
                return daemon.options.get("root")
        return None

    def _of_daemon(self, endpoint: Endpoint, daemon: Daemon) -> Endpoint:
        """Held by a daemon that is believed."""
        endpoint = replace(
            endpoint,
            daemon=daemon.key,
            holder_state=daemon.process_state,
            wchan=daemon.wchan,
            owner_uid=daemon.uid or None,
            nested_in=daemon.nested_in,
        )
        who = f"{daemon.kind} {daemon.key.pid}"
        if daemon.process_state in ("T", "t"):
            return _skip(endpoint, EndpointState.STOPPED, f"{who} is stopped (state T)")
        if daemon.process_state == "D":
            where = f" in {daemon.wchan}" if daemon.wchan else ""
            why = f"{who} does not return from the kernel (state D{where})"
            return _skip(endpoint, EndpointState.BLOCKED, why)
        if daemon.nested_in is not None and not self._settings.is_nested and not endpoint.is_named:
            why = f"{who} runs in the container of pid {daemon.nested_in}: --nested asks it"
            return _skip(endpoint, EndpointState.INACTIVE, why)
        return endpoint

    def _without_listener(self, endpoint: Endpoint, candidate: Candidate) -> Endpoint | None:
        try:
            self._host.stat(candidate.path)
        except PermissionError:
            return self._unseen(endpoint)
        except BlockedError:
            why = f"{candidate.path}: its file system does not answer"
            return _skip(endpoint, EndpointState.BLOCKED, why)
        except OSError:
            if candidate.found_by == ["default path"]:
                return None
            by = candidate.found_by[0]
            is_absent = endpoint.is_named
            state = EndpointState.ABSENT if is_absent else EndpointState.DEAD
            return _skip(endpoint, state, f"no such socket, named by {by}")
        return _skip(endpoint, EndpointState.DEAD, "nobody listens")

    def _of_stranger(self, endpoint: Endpoint, entry: Listener) -> Endpoint:
        """Held by nobody who is known to be a daemon."""
        names = {pid: self._comm(pid) for pid in entry.holders}
        if entry.held_by_init or (names and set(names.values()) <= {"systemd", "init"}):
            if self._settings.may_activate:
                return endpoint
            who = "pid 1" if entry.held_by_init else f"systemd {entry.holders[0]}"
            why = f"held by {who} alone: connecting would start it; --activate does so"
            return _skip(endpoint, EndpointState.INACTIVE, why)
        if not entry.holders:
            return self._unseen(endpoint)
        pid, name = next(iter(names.items()))
        endpoint = replace(endpoint, is_remote=True)
        if endpoint.is_named:
            return endpoint
        why = f"held by {name} {pid}, no daemon of this node: --host {endpoint.source} asks it"
        return _skip(endpoint, EndpointState.INACTIVE, why)

    def _unseen(self, endpoint: Endpoint) -> Endpoint:
        """The holder cannot be read: local only if a daemon that is seen names the address."""
        for daemon in self._kernel.daemons:
            if daemon.nested_in is not None or endpoint.kind not in kinds_of(daemon):
                continue
            hosts = {socket_path(text) for text in daemon.options.get("hosts", "").split("\n")}
            is_said = endpoint.address in {*hosts, daemon.options.get("address")}
            if is_said and self._is_of(endpoint.address, daemon):
                return self._of_daemon(self._with_store(endpoint, daemon), daemon)
        if endpoint.is_named:
            return endpoint
        why = "holder unknown: root can tell who listens there"
        return _skip(endpoint, EndpointState.DENIED, why)

    def _is_of(self, path: str, daemon: Daemon) -> bool:
        """Whether a socket's file can be that daemon's; root's daemons are believed."""
        if not daemon.uid:
            return True
        try:
            return self._host.stat(path).st_uid == daemon.uid
        except OSError:
            return False

    def _comm(self, pid: int) -> str:
        try:
            content = self._host.read(f"/proc/{pid}/comm", 64)
        except OSError:
            return "process"
        return content.decode(errors="replace").strip()


def _skip(endpoint: Endpoint, state: EndpointState, why: str) -> Endpoint:
    return replace(endpoint, skip=state, skip_detail=why)


def _usual_state(address: str) -> str | None:
    """The state directory that goes with a containerd socket where containerd cannot be asked."""
    known = {"/run/k0s/containerd.sock": "/run/k0s/containerd"}
    if address in known:
        return known[address]
    directory, _, name = address.rpartition("/")
    if name != "containerd.sock":
        return None
    return f"{directory}/daemon" if directory == "/run/docker/containerd" else directory
