"""The bundles below containerd's state directories: what containerd and its shims left in files."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rtscope.backends.base import Draft
from rtscope.backends.rights import reason_of_os_error, unreadable
from rtscope.model.facts import replace
from rtscope.model.observation import Observation
from rtscope.model.records import Bundle, Shim
from rtscope.model.refs import Ref
from rtscope.model.state import Reason
from rtscope.procfs.host import Host

V2 = "io.containerd.runtime.v2.task"
V1 = "io.containerd.runtime.v1.linux"

LINUX_V1 = "linux.v1"
"""Word for the legacy shim's own API, where others have the task API's version."""

DEFAULT_STATES = (
    "/run/containerd",
    "/run/k3s/containerd",
    "/run/k0s/containerd",
    "/run/docker/containerd/daemon",
    "/run/host-containerd",
)
"""Where containerd keeps its state unless it is told otherwise, by distribution."""

_DEFAULT_OCI_ROOT = "/run/containerd/runc"
_SHIM_PREFIX = "containerd-shim-"
_SMALL_BYTES = 4096
_SPEC_BYTES = 4 << 20


def is_containerd_shim(shim: Shim) -> bool:
    """Whether it is a shim of a containerd of this node, not a monitor, not in a container."""
    return not shim.kind.startswith("conmon") and shim.nested_in is None


def canonical(path: str) -> str:
    """`/var/run` is a link to `/run` wherever containers run."""
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def state_of(bundle_dir: str) -> str | None:
    """The state directory that a bundle's path lies in."""
    for kind in (V2, V1):
        state, found, rest = bundle_dir.partition(f"/{kind}/")
        if found and rest.count("/") == 1:
            return canonical(state)
    return None


def state_dirs(kernel: Observation | None) -> tuple[str, ...]:
    """Every state directory that daemons, shims or habit name; most of the last do not exist."""
    named: list[str] = []
    if kernel is not None:
        for daemon in kernel.daemons:
            state = daemon.options.get("state")
            if state and daemon.kind != "podman" and daemon.nested_in is None:
                named.append(canonical(state.rstrip("/")))
        shims = (shim for shim in kernel.shims if is_containerd_shim(shim))
        named.extend(state_of(shim.bundle_dir or "") or "" for shim in shims)
    return tuple(dict.fromkeys(path for path in (*named, *DEFAULT_STATES) if path))


class BundleReader:
    """Reads the bundles of a node's state directories into facts and gaps.

    Attributes:
        has_listed: Whether any state directory could be listed.
    """

    def __init__(self, host: Host, euid: int, draft: Draft) -> None:
        self._host = host
        self._euid = euid
        self._draft = draft
        self.has_listed = False

    def paths(self, state: str) -> Iterator[tuple[Ref, str]]:
        """Every bundle of a state directory: its name and its path.

        A directory that a user made is not containerd's: what it says could be anything.
        """
        try:
            if self._host.stat(state).st_uid not in (0, self._euid):
                return
        except OSError as error:
            self._unlisted(state, error)
            return
        for kind in (V2, V1):
            for namespace in self._names(f"{state}/{kind}"):
                directory = f"{state}/{kind}/{namespace}"
                for name in self._names(directory):
                    ref = Ref(origin=state, namespace=namespace, id=name)
                    yield ref, f"{directory}/{name}"

    def bundle(self, ref: Ref, path: str, *, with_spec: bool) -> Bundle | None:
        """A bundle's files as one fact; None if it went away meanwhile."""
        try:
            status = self._host.stat(path)
        except OSError:
            return None
        address, api = self._address(path)
        options = self._options(path)
        return Bundle(
            ref=ref,
            path=path,
            device=status.st_dev,
            inode=status.st_ino,
            init_pid=_pid_from(self._text(f"{path}/init.pid")),
            shim_address=address,
            shim_api=api,
            oci_runtime=_oci_runtime_from(options),
            oci_root=_oci_root_in(options, ref.namespace),
            spec=self._spec(ref, path) if with_spec else None,
        )

    def without_shim(self, bundle: Bundle) -> Bundle:
        """A bundle that no live shim serves, with what its files tell of the one it had."""
        if f"/{V1}/" in bundle.path:
            return completed(bundle, "linux-v1", None)
        binary = os.path.basename(self._text(f"{bundle.path}/shim-binary-path"))
        kind = binary.removeprefix(_SHIM_PREFIX)
        return bundle if kind == binary else completed(bundle, kind, None)

    def _address(self, path: str) -> tuple[str | None, str | None]:
        """Where the shim listens, and what it speaks there."""
        bootstrap = self._json(f"{path}/bootstrap.json", _SMALL_BYTES)
        if isinstance(bootstrap, dict) and isinstance(bootstrap.get("address"), str):
            if bootstrap.get("protocol", "ttrpc") != "ttrpc":
                return bootstrap["address"], str(bootstrap["protocol"])
            return bootstrap["address"], f"task.v{bootstrap.get('version', 2)}"
        address = self._text(f"{path}/address") or None
        if address is None:
            return None, None
        return address, LINUX_V1 if f"/{V1}/" in path else "task.v2"

    def _spec(self, ref: Ref, path: str) -> Mapping[str, str] | None:
        document = self._json(f"{path}/config.json", _SPEC_BYTES)
        if document is None:
            self._draft.gap("spec", Reason.ABSENT, f"{path}/config.json", subject=ref.id)
            return None
        spec = spec_from(document)
        if spec is None:
            self._draft.gap("spec", Reason.MALFORMED, f"{path}/config.json", subject=ref.id)
        return spec

    def _names(self, directory: str) -> Iterable[str]:
        try:
            names = sorted(self._host.names(directory))
        except OSError as error:
            self._unlisted(directory, error)
            return ()
        self.has_listed = True
        return names

    def _unlisted(self, directory: str, error: OSError) -> None:
        reason = reason_of_os_error(error)
        if reason is not Reason.ABSENT:
            detail = unreadable(self._host, directory, error)
            self._draft.gap("bundles", reason, detail, subject=directory)

    def _text(self, path: str) -> str:
        try:
            content: bytes = self._host.read(path, _SMALL_BYTES)
        except OSError:
            return ""
        return content.decode(errors="replace").strip()

    def _options(self, path: str) -> Any:
        """What the shim gave its runtime; discovery read it for the roots."""
        try:
            return json.loads(self._host.recall(f"{path}/options.json"))
        except (OSError, ValueError, RecursionError):
            return None

    def _json(self, path: str, limit: int) -> Any:
        try:
            return json.loads(self._host.read(path, limit))
        except (OSError, ValueError, RecursionError):
            return None


def spec_from(document: Any) -> Mapping[str, str] | None:
    """What the model keeps of an OCI `config.json`; None if it is none.

    Source: OCI runtime specification, config.md and config-linux.md.
    """
    if not isinstance(document, dict):
        return None
    process = _mapping(document.get("process"))
    args = process.get("args")
    words = args if isinstance(args, list) else ()
    spec = {
        "args": " ".join(word for word in words if isinstance(word, str)),
        "cgroups_path": _mapping(document.get("linux")).get("cgroupsPath"),
        "rootfs": _mapping(document.get("root")).get("path"),
        "hostname": document.get("hostname"),
    }
    for key, value in _mapping(document.get("annotations")).items():
        spec[f"annotation.{key}"] = value
    return {key: value for key, value in spec.items() if isinstance(value, str) and value}


def completed(bundle: Bundle, kind: str, oci_root: str | None) -> Bundle:
    """A bundle with what the kind of its shim implies.

    Args:
        bundle: As its files describe it.
        kind: The shim's: `runc-v2`, `linux-v1`, …
        oci_root: The root that the shim was given, without the namespace; None for its default.
    """
    root = bundle.oci_root
    if root is None and kind.startswith(("runc-", "linux-")):
        root = oci_root_from(oci_root, bundle.ref.namespace)
    return replace(bundle, runtime_type=runtime_type_of(kind), oci_root=root)


def runtime_type_of(kind: str) -> str | None:
    """The name that containerd has for a shim: `runc-v2` is `io.containerd.runc.v2`."""
    if kind == "linux-v1":
        return V1
    name, _, version = kind.rpartition("-")
    return f"io.containerd.{name}.{version}" if name else None


def oci_root_from(root: str | None, namespace: str) -> str:
    """The root that a shim gives the OCI runtime: a directory per namespace below its own.

    Source: containerd, cmd/containerd-shim-runc-v2/process/init.go, NewRunc.
    """
    return canonical(os.path.join(root or _DEFAULT_OCI_ROOT, namespace))


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _pid_from(content: str) -> int | None:
    return int(content) or None if content.isascii() and content.isdigit() else None


def _oci_runtime_from(options: Any) -> str | None:
    name = _mapping(options).get("binary_name")
    return name if isinstance(name, str) and name else None


def _oci_root_in(options: Any, namespace: str) -> str | None:
    root = _mapping(options).get("root")
    return oci_root_from(root, namespace) if isinstance(root, str) and root else None
