"""Cgroup paths: which container, pod or monitor a process belongs to, and whether it is frozen.

Whole components are matched, from the root to the leaf: the deepest match is the container, one
above it is the container that it runs in. Shapes that were not measured come from the engines'
sources: kubelet, containerd, cri-o, nerdctl, podman, moby, lxc, systemd.
"""

import re
from collections.abc import Collection
from functools import cache, lru_cache

from rtscope.model.facts import fact
from rtscope.procfs.files import slurp
from rtscope.procfs.host import Host


@fact
class CgroupShape:
    """What a cgroup path says.

    Attributes:
        owner: `docker podman cri crio containerd lxc nspawn buildkit libvirt-lxc ecs`, or
            `unknown` for an id of 64 digits whose surroundings say nothing.
        id: The container's id or name.
        namespace: containerd's, where the path carries it.
        pod_uid: Kubernetes' uid of the pod, with dashes.
        parent_id: The container that this one runs in.
        is_monitor: conmon or an LXC monitor: beside a container, not in it.
        directory: The path down to the container's own cgroup.
    """

    owner: str
    id: str | None
    namespace: str | None = None
    pod_uid: str | None = None
    parent_id: str | None = None
    is_monitor: bool = False
    directory: str = ""


_ID = "([0-9a-f]{64})"
_NAMES = (
    (rf"docker-{_ID}\.scope", "docker", False),
    (rf"cri-containerd-{_ID}\.scope", "cri", False),
    (rf"crio-conmon-{_ID}(?:\.scope)?", "crio", True),
    (rf"crio-{_ID}(?:\.scope)?", "crio", False),
    (rf"libpod-conmon-{_ID}(?:\.scope)?", "podman", True),
    (rf"libpod-(?:payload-)?{_ID}(?:\.scope)?", "podman", False),
    (rf"nerdctl-{_ID}\.scope", "containerd", False),
    (r"ctr-(.+)\.scope", "containerd", False),
    (rf"(?:[^:]*):cri-containerd:{_ID}", "cri", False),
    (rf"(?:[^:]*):docker:{_ID}", "docker", False),
    (rf"(?:[^:]*):crio:{_ID}", "crio", False),
    (rf"(?:[^:]*):libpod:{_ID}", "podman", False),
    (r"[^:]+:[^:]+:([^:]+)", "containerd", False),
    (rf"kata_{_ID}", "unknown", False),
    (rf".+-{_ID}\.scope", "unknown", False),
    (r"lxc\.monitor\.(.+)", "lxc", True),
    (r"lxc\.payload\.(.+)", "lxc", False),
    (r"systemd-nspawn@(.+)\.service", "nspawn", False),
    (r"machine-lxc\\x2d[0-9]+\\x2d(.+)\.scope", "libvirt-lxc", False),
    (r"machine-(?!qemu|lxc|libpod)(.+)\.scope", "nspawn", False),
    (r"(.+)\.libvirt-lxc", "libvirt-lxc", False),
)
_NAME_MARKS = (".scope", ":", "crio-", "libpod-", "kata_", "lxc", "nspawn@")
"""Every name of the list holds one of these."""

_BARE_ID = re.compile(_ID)
_POD_UID = re.compile(
    r"(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=\.slice|$|:)"
)
_NAME_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")
_OWNER_ABOVE = {
    "docker": "docker",
    "moby": "docker",
    "ecs": "ecs",
    "k8s.io": "cri",
    "libpod_parent": "podman",
    "kata_overhead": "cri",
}


@lru_cache(maxsize=64)
def lines_of(content: bytes) -> tuple[tuple[str, str], ...]:
    """(controllers, path) of every line. Source: cgroups(7), /proc/PID/cgroup."""
    pairs = []
    for line in content.split(b"\n"):
        parts = line.split(b":", 2)
        if len(parts) == 3:
            controllers, path = parts[1].decode(errors="replace"), parts[2]
            pairs.append((controllers, path.decode(errors="surrogateescape")))
    return tuple(pairs)


def parse_path(path: str, namespaces: Collection[str] = ()) -> CgroupShape | None:
    """What a path says; None if it names no container.

    Args:
        path: Relative to the cgroup of the node's own init.
        namespaces: containerd's namespaces that are known to exist: only then `/X/Y` is read as
            the container Y in X.
    """
    parts = [part for part in path.split("/") if part]
    shape: CgroupShape | None = None
    pod_uid: str | None = None
    for index, part in enumerate(parts):
        if "pod" in part and (found := _POD_UID.search(part)) is not None:
            pod_uid = found[1].replace("_", "-")
        matched = _match(parts, index, namespaces, shape)
        if matched is None:
            continue
        owner, name, namespace, is_monitor = matched
        shape = CgroupShape(
            owner="cri" if owner == "unknown" and pod_uid else owner,
            id=_NAME_ESCAPE.sub(lambda m: chr(int(m[1], 16)), name) if name else None,
            namespace=namespace,
            pod_uid=pod_uid,
            parent_id=shape.id if shape is not None and not shape.is_monitor else None,
            is_monitor=is_monitor,
            directory="/" + "/".join(parts[: index + 1]),
        )
    return shape


_Match = tuple[str, str | None, str | None, bool]


def _match(
    parts: list[str], index: int, namespaces: Collection[str], outer: CgroupShape | None
) -> _Match | None:
    part = parts[index]
    above = parts[index - 1] if index else ""
    if _BARE_ID.fullmatch(part):
        return _bare_id(parts, index, namespaces)
    if outer is not None and outer.owner in ("lxc", "nspawn") and not _BARE_ID.search(part):
        # What a system container's own systemd made is not a container.
        return ("nspawn", outer.id, None, True) if part == "supervisor" else None
    matched = _named(part) or _pair(parts, index)
    if matched is not None:
        return matched
    is_at_top = index == 1 or (outer is not None and outer.directory.count("/") == index - 1)
    if is_at_top and above in namespaces:
        return "containerd", part, above, False
    return None


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str, bool], ...]:
    """Compiled where they are needed: few nodes have names of each kind."""
    return tuple((re.compile(pattern), owner, is_monitor) for pattern, owner, is_monitor in _NAMES)


@lru_cache(maxsize=1024)
def _named(part: str) -> _Match | None:
    """Names that tell everything by themselves. The same few stand above every container."""
    if not any(mark in part for mark in _NAME_MARKS):
        return None
    for pattern, owner, is_monitor in _patterns():
        found = pattern.fullmatch(part)
        if found is not None:
            return owner, found[1], None, is_monitor
    return None


def _pair(parts: list[str], index: int) -> _Match | None:
    """Names that mean something only below the component above them."""
    part, above = parts[index], parts[index - 1] if index else ""
    # `POD64/conmon` is the monitor of a podman pod's infra container: observed, podman 4.3.1.
    if part == "conmon" and (above == "libpod_parent" or _BARE_ID.fullmatch(above)):
        return "podman", None, None, True
    if above == "lxc.monitor":
        return "lxc", part, None, True
    if above == "lxc":
        return (
            ("libvirt-lxc" if parts[index - 2 : index - 1] == ["libvirt"] else "lxc"),
            (part),
            None,
            False,
        )
    if above == "lxc.payload":
        return "lxc", part, None, False
    if above in ("buildkit", "buildx") and parts[: index - 1] in ([], ["docker"]):
        return "buildkit", part, None, False
    return None


def _bare_id(parts: list[str], index: int, namespaces: Collection[str]) -> _Match:
    """An id of 64 digits alone: the components above it tell whose it is."""
    above = parts[index - 1] if index else ""
    namespace = above if above in namespaces else None
    for part in reversed(parts[:index]):
        if part in _OWNER_ABOVE:
            return _OWNER_ABOVE[part], parts[index], namespace, False
        if part.startswith("podman-"):
            return "podman", parts[index], namespace, False
        if part.startswith("kubepods"):
            return "cri", parts[index], namespace, False
        if _BARE_ID.fullmatch(part):
            break
    return "containerd" if namespace else "unknown", parts[index], namespace, False


def is_of_a_unit(path: str | None) -> bool:
    """Whether a cgroup is that of a service or a session: mounts of their own are common there."""
    return any(part.endswith((".service", ".scope", ".slice")) for part in (path or "").split("/"))


class CgroupReader:
    """Reads /proc/PID/cgroup; equal contents, as of one container's processes, are parsed once."""

    def __init__(self, host: Host, namespaces: Collection[str] = ()) -> None:
        self._host = host
        self._namespaces = namespaces
        self._parsed: dict[bytes, tuple[str | None, CgroupShape | None]] = {b"": (None, None)}
        self._frozen: dict[bytes, bool | None] = {}
        self._base = self._base_of_init()
        self._is_hybrid = False

    def content(self, pid: int) -> bytes:
        """The file as it is; empty if unreadable."""
        return slurp(f"{self._host.proc}/{pid}/cgroup")

    def parse(self, content: bytes) -> tuple[str | None, CgroupShape | None]:
        """The path that tells most and what it says."""
        known = self._parsed.get(content)
        if known is None:
            known = self._parsed[content] = self._parse(content)
        return known

    def _parse(self, content: bytes) -> tuple[str | None, CgroupShape | None]:
        longest: str | None = None
        best: tuple[str, CgroupShape] | None = None
        for path in dict.fromkeys(path for _, path in lines_of(content)):
            inside = self._inside(path)
            shape = parse_path(inside, self._namespaces)
            if shape is not None and (best is None or len(path) > len(best[0])):
                best = path, shape
            if longest is None or len(inside) > len(self._inside(longest)):
                longest = path
        return best or (longest, None)

    def _base_of_init(self) -> tuple[str, ...]:
        """The cgroups of pid 1: on a node that is itself a container every path begins so."""
        paths = (path for _, path in lines_of(self.content(1)))
        bases = {path.removesuffix("/init.scope") for path in paths}
        return tuple(sorted(bases - {"", "/"}, key=len, reverse=True))

    def _inside(self, path: str) -> str:
        for base in self._base:
            if path == base or path.startswith(f"{base}/"):
                return path[len(base) :] or "/"
        return path

    def is_frozen(self, content: bytes) -> bool | None:
        """Whether the freezer holds it, an ancestor's included; None if that cannot be read.

        Source: cgroup-v1/freezer-subsystem.rst, freezer.state shows the effective state; and
        cgroup-v2.rst, `frozen` in cgroup.events.
        """
        if content not in self._frozen:
            self._frozen[content] = self._read_frozen(content)
        return self._frozen[content]

    def _read_frozen(self, content: bytes) -> bool | None:
        prefix = self._host.path("/sys/fs/cgroup")
        known: bool | None = None
        for controllers, path in lines_of(content):
            if "/../" in f"{path}/":
                return None
            if controllers == "freezer":
                state = slurp(f"{prefix}/freezer{path}/freezer.state").strip()
                if state in (b"FROZEN", b"FREEZING"):
                    return True
                known = known if not state else False
            elif controllers == "" and path != "/":
                events = self._events(prefix, path)
                if b"frozen 1" in events:
                    return True
                known = False if b"frozen 0" in events else known
        return known

    def _events(self, prefix: str, path: str) -> bytes:
        """Where the unified hierarchy is mounted it is for all: the other place comes second."""
        first, second = ("/unified", "") if self._is_hybrid else ("", "/unified")
        events = slurp(f"{prefix}{first}{path}/cgroup.events")
        if not events and (events := slurp(f"{prefix}{second}{path}/cgroup.events")):
            self._is_hybrid = not self._is_hybrid
        return events
