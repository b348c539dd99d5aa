"""The state files of four OCI runtimes as one shape: pure, told apart by what they hold."""

import json
from collections.abc import Mapping
from datetime import datetime
from json.decoder import JSONDecoder
from typing import Any

from rtscope.backends.fields import instant, items, mapping, positive, text, texts
from rtscope.model.facts import fact, field
from rtscope.model.state import State

_BUNDLE_LABEL = "bundle="
_SANDBOX_MARK = "_sandbox:"
_FILE_END = ".state"
_CGROUP_MOUNT = "/sys/fs/cgroup"
_CONTROLLERS = ("memory", "pids", "devices", "cpu", "freezer", "name=systemd")
"""Hierarchies of cgroup v1 in the order in which their path is preferred."""


class StateFileError(ValueError):
    """A file that is no state of the runtime it should be of."""


@fact
class StateFile:
    """What a runtime wrote of a container: the fields of OciState, as far as the file tells."""

    oci_runtime: str
    id: str
    pid: int | None = None
    pid_start: int | None = None
    state_raw: str | None = None
    bundle_dir: str | None = None
    rootfs: str | None = None
    created_at: datetime | None = None
    cgroup_path: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    sandbox_id: str | None = None


def state_from(data: bytes) -> StateFile:
    """A `state.json`: runc's or youki's.

    Raises:
        StateFileError: it is neither.
    """
    quick = _runc_head(data)
    if quick is not None:
        return quick
    document = _object_in(data)
    if "init_process_pid" in document:
        return _runc_from(document)
    if "ociVersion" in document:
        return _youki_from(document)
    raise StateFileError("neither runc's nor youki's state")


def crun_from(data: bytes, container_id: str) -> StateFile:
    """The `status` of crun, which does not hold the id: that is the folder's name.

    Source: crun, src/libcrun/status.c, libcrun_write_container_status.
    """
    document = _object_in(data)
    if "pid" not in document or "bundle" not in document:
        raise StateFileError("not crun's status")
    bundle_dir, rootfs = text(document.get("bundle")), text(document.get("rootfs"))
    if bundle_dir and rootfs and not rootfs.startswith("/"):
        # Kept as the specification has it: relative to the bundle.
        rootfs = f"{bundle_dir.rstrip('/')}/{rootfs}"
    return StateFile(
        oci_runtime="crun",
        id=container_id,
        pid=positive(document.get("pid")),
        pid_start=positive(document.get("process-start-time")),
        bundle_dir=bundle_dir,
        rootfs=rootfs,
        created_at=instant(document.get("created")),
        cgroup_path=text(document.get("cgroup-path")),
    )


def runsc_from(data: bytes, sandbox_id: str) -> StateFile:
    """One container's file of gVisor. The pid is the sandbox's, whose containers have none.

    Source: gVisor, runsc/container/container.go, Container.
    """
    document = _object_in(data)
    container_id = text(document.get("id"))
    if container_id is None or "status" not in document:
        raise StateFileError("not runsc's state")
    spec = mapping(document.get("spec"))
    sandbox = mapping(document.get("sandbox"))
    # With --ignore-cgroups the spec names one all the same. Source: observed, runsc 2022-12-19.
    has_cgroup = "cgroupunknown" not in mapping(sandbox.get("cgroup"))
    return StateFile(
        oci_runtime="runsc",
        id=container_id,
        pid=positive(sandbox.get("pid")),
        state_raw=text(document.get("status")),
        bundle_dir=text(document.get("bundleDir")),
        rootfs=text(mapping(spec.get("root")).get("path")),
        created_at=instant(document.get("createdAt")),
        cgroup_path=text(mapping(spec.get("linux")).get("cgroupsPath")) if has_cgroup else None,
        annotations=texts(spec.get("annotations")),
        sandbox_id=sandbox_id,
    )


def youki_cgroup_in(data: bytes) -> str | None:
    """The cgroup in youki's second file; None where it says none."""
    try:
        return text(_object_in(data).get("cgroup_path"))
    except StateFileError:
        return None


def sandbox_of(name: str) -> tuple[str, str] | None:
    """Container and sandbox in the name of one of runsc's files; None for other names."""
    if not name.endswith(_FILE_END):
        return None
    container_id, found, sandbox_id = name.removesuffix(_FILE_END).partition(_SANDBOX_MARK)
    return (container_id, sandbox_id) if found and container_id and sandbox_id else None


def derive(
    file: StateFile, *, is_alive: bool | None, is_frozen: bool | None, is_waiting: bool
) -> State:
    """The state, from the file and from what the kernel says of its init.

    Args:
        file: What the runtime wrote: believed only where the kernel cannot know.
        is_alive: Of the init; None if unknown.
        is_frozen: Of its cgroup; None if unknown.
        is_waiting: The FIFO that `start` opens is still there.
    """
    if is_alive is None:
        return State.UNKNOWN
    if not is_alive:
        return State.STOPPED
    if file.oci_runtime == "runsc":
        # Its kernel is a process of ours: pausing and starting happen inside.
        return _RUNSC_STATES.get(file.state_raw or "", State.UNKNOWN)
    if is_frozen:
        return State.PAUSED
    if is_waiting or (file.oci_runtime == "youki" and file.state_raw in ("creating", "created")):
        return State.CREATED
    return State.RUNNING


_RUNSC_STATES = {
    "creating": State.CREATED,
    "created": State.CREATED,
    "running": State.RUNNING,
    "paused": State.PAUSED,
    "stopped": State.STOPPED,
}


def _object_in(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StateFileError("not JSON") from error
    if not isinstance(document, dict):
        raise StateFileError("not a JSON object")
    return document


def _youki_from(document: Mapping[str, Any]) -> StateFile:
    """Source: youki, crates/libcontainer/src/container/state.rs, State."""
    container_id = text(document.get("id"))
    if container_id is None:
        raise StateFileError("no id in youki's state")
    return StateFile(
        oci_runtime="youki",
        id=container_id,
        pid=positive(document.get("pid")),
        state_raw=text(document.get("status")),
        bundle_dir=text(document.get("bundle")),
        created_at=instant(document.get("created")),
        annotations=texts(document.get("annotations")),
    )


def _runc_from(document: Mapping[str, Any]) -> StateFile:
    config = mapping(document.get("config"))
    return _runc(
        document,
        labels=config.get("labels"),
        rootfs=config.get("rootfs"),
        cgroup_paths=document.get("cgroup_paths"),
    )


def _runc(head: Mapping[str, Any], *, labels: Any, rootfs: Any, cgroup_paths: Any) -> StateFile:
    """Source: runc, libcontainer/container.go, BaseState, and libcontainer/state_linux.go."""
    container_id = text(head.get("id"))
    if container_id is None:
        raise StateFileError("no id in runc's state")
    words = [word for word in items(labels) if isinstance(word, str)]
    bundles = [word for word in words if word.startswith(_BUNDLE_LABEL)]
    # runc appends its own label; an annotation of that name stands before it.
    bundle = bundles[-1].removeprefix(_BUNDLE_LABEL) if bundles else None
    if bundles:
        del words[len(words) - 1 - words[::-1].index(bundles[-1])]
    return StateFile(
        oci_runtime="runc",
        id=container_id,
        pid=positive(head.get("init_process_pid")),
        pid_start=positive(head.get("init_process_start")),
        bundle_dir=text(bundle),
        rootfs=text(rootfs),
        created_at=instant(head.get("created")),
        cgroup_path=_cgroup_from(texts(cgroup_paths)),
        annotations=dict(word.split("=", 1) for word in words if "=" in word),
    )


_CONFIG = b',"config":{'
_LABELS = b',"labels":'
_ROOTFS = b'"rootfs":'
_CGROUP_PATHS = b',"cgroup_paths":'
_ROOTFS_WITHIN = 256
_VALUE_BYTES = 16 << 10
_decode_at = JSONDecoder().raw_decode


def _runc_head(data: bytes) -> StateFile | None:
    """State of runc without parsing its configuration: 10 to 60 kB, of which three keys count.

    A quote inside a JSON string is escaped, so `,"key":` is always a key. Where each of them
    stands once, in runc's own order and place, it is the one that is meant; anything else is
    None, and the whole is parsed.
    """
    end = data.find(_CONFIG)
    if end < 0 or not data.startswith(b'{"id":') or data[-1:] != b"}":
        return None
    rootfs = data.find(_ROOTFS, end, end + _ROOTFS_WITHIN)
    labels = data.rfind(_LABELS)
    paths = data.rfind(_CGROUP_PATHS)
    if not 0 <= rootfs < labels < paths or data.find(_LABELS, end, labels) >= 0:
        return None
    if data.find(_CGROUP_PATHS, labels, paths) >= 0:
        return None
    try:
        head = json.loads(data[:end] + b"}")
        return _runc(
            head if "init_process_pid" in head else {},
            labels=_value_at(data, labels + len(_LABELS)),
            rootfs=_value_at(data, rootfs + len(_ROOTFS)),
            cgroup_paths=_value_at(data, paths + len(_CGROUP_PATHS)),
        )
    except (ValueError, RecursionError):
        return None


def _value_at(data: bytes, begin: int) -> Any:
    """The value that begins there; a larger one than usual is cut off, which is a ValueError."""
    return _decode_at(data[begin : begin + _VALUE_BYTES].decode())[0]


def _cgroup_from(paths: Mapping[str, str]) -> str | None:
    """The path as /proc/PID/cgroup has it: runc records where it is mounted."""
    for controller in _CONTROLLERS:
        path = paths.get(controller)
        if path:
            mount = f"{_CGROUP_MOUNT}/{controller.removeprefix('name=')}"
            return _below(path, mount)
    path = paths.get("")
    if not path:
        return None
    unified = f"{_CGROUP_MOUNT}/unified"
    return _below(path, unified if path.startswith(f"{unified}/") else _CGROUP_MOUNT)


def _below(path: str, mount: str) -> str | None:
    """A path without its mount point. One mount may have several names."""
    if path.startswith(f"{mount}/"):
        return path[len(mount) :]
    if path.startswith(f"{_CGROUP_MOUNT}/"):
        return "/" + path[len(_CGROUP_MOUNT) + 1 :].partition("/")[2]
    return None
