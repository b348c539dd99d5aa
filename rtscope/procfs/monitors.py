"""Shims and monitors: the processes that parent containers, read from their command lines."""

import os
from collections.abc import Iterator, Sequence

from rtscope.model.facts import fact

_CONMON = ("conmon", "conmonrs")
_LOG_DRIVERS = ("k8s-file:", "json-file:", "journald:", "passthrough:", "none:")
_BUNDLE_MARKS = ("/io.containerd.runtime.v2.task/", "/io.containerd.runtime.v1.linux/")
_VALUE_FLAGS = frozenset(
    {
        *("namespace", "id", "address", "publish-binary", "bundle", "workdir", "runtime-root"),
        *("containerd-binary", "criu", "criu-path", "socket", "root", "debug-addr"),
    }
)


@fact
class MonitorArgs:
    """What the command line of a shim or monitor says; None for what it does not."""

    kind: str
    namespace: str | None = None
    id: str | None = None
    containerd_address: str | None = None
    bundle_dir: str | None = None
    name: str | None = None
    oci_runtime: str | None = None
    oci_root: str | None = None
    graph_root: str | None = None
    run_root: str | None = None
    log_path: str | None = None
    exit_dir: str | None = None
    pid_file: str | None = None


MONITOR_COMMS = frozenset({b"containerd-shim", b"docker-containe", b"conmon", b"conmonrs"})
"""Names that a shim or a monitor may have; the kernel keeps 15 bytes of them."""


def is_monitor_comm(comm: bytes) -> bool:
    """Whether a process of this name may be a shim or a monitor."""
    return comm in MONITOR_COMMS


def is_monitor_exe(exe: str) -> bool:
    """Whether an executable of this name is a shim or a monitor."""
    name = os.path.basename(exe)
    return name in _CONMON or name.removeprefix("docker-").startswith("containerd-shim")


def kind_of(exe: str) -> str:
    """`runc-v2`, `kata-v2`, `linux-v1` for the legacy shim, `conmon`."""
    name = os.path.basename(exe).removeprefix("docker-")
    if name in _CONMON:
        return name
    rest = name.removeprefix("containerd-shim")
    return rest.lstrip("-") or "linux-v1"


def monitor_from_args(args: Sequence[str], exe: str | None, cwd: str | None) -> MonitorArgs | None:
    """What a monitor's arguments and working directory say.

    None for short calls of the same binary that parent nothing: a shim's `start` and `delete`, the
    conmon of an exec session.
    """
    kind = kind_of(exe or (args[0] if args else ""))
    if kind in _CONMON:
        return _conmon(kind, args)
    return _shim(kind, args, cwd)


def monitor_from_cwd(comm: bytes, cwd: str | None) -> MonitorArgs:
    """The same of a process whose arguments may not be read: its bundle is its directory."""
    kind = "conmon" if comm.startswith(b"conmon") else "containerd-shim"
    namespace, name = split_bundle(cwd)
    return MonitorArgs(
        kind=kind, namespace=namespace, id=name, bundle_dir=cwd if name is not None else None
    )


def split_bundle(path: str | None) -> tuple[str | None, str | None]:
    """Namespace and id that the path of a containerd bundle ends in."""
    for mark in _BUNDLE_MARKS:
        _, found, rest = (path or "").partition(mark)
        parts = rest.split("/")
        if found and len(parts) >= 2 and parts[0] and parts[1]:
            return parts[0], parts[1]
    return None, None


def _shim(kind: str, args: Sequence[str], cwd: str | None) -> MonitorArgs | None:
    flags, words = _flags(args[1:])
    if words and words[0] in ("start", "delete"):
        return None
    bundle_dir = cwd if split_bundle(cwd)[1] is not None else None
    namespace, name = split_bundle(cwd)
    if name is None:
        namespace, name = split_bundle(flags.get("workdir"))
    if not flags and len(words) >= 2:
        # Docker up to 17.05: `docker-containerd-shim ID BUNDLE docker-runc`.
        name, bundle_dir = words[0], words[1]
    return MonitorArgs(
        kind=kind,
        namespace=flags.get("namespace") or namespace,
        id=flags.get("id") or name,
        containerd_address=flags.get("address"),
        bundle_dir=bundle_dir,
        oci_root=flags.get("runtime-root"),
    )


def _flags(args: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Go's flags: one dash or two, the value after `=` or as the next word."""
    flags: dict[str, str] = {}
    words = []
    rest = iter(args)
    for arg in rest:
        if not arg.startswith("-"):
            words.append(arg)
            continue
        name, found, value = arg.lstrip("-").partition("=")
        if not found and name in _VALUE_FLAGS:
            value = next(rest, "")
        flags[name] = value
    return flags, words


def _conmon(kind: str, args: Sequence[str]) -> MonitorArgs | None:
    given: dict[str, str] = {}
    runtime_args: list[str] = []
    exit_args: list[str] = []
    for name, value in _pairs(args[1:]):
        if name in ("e", "exec", "exec-attach"):
            return None
        if name == "runtime-arg":
            runtime_args.append(value)
        elif name == "exit-command-arg":
            exit_args.append(value)
        else:
            given[name] = value
    log = given.get("l") or given.get("log-path")
    return MonitorArgs(
        kind=kind,
        id=given.get("c") or given.get("cid"),
        name=given.get("n") or given.get("name"),
        bundle_dir=given.get("b") or given.get("bundle"),
        oci_runtime=given.get("r") or given.get("runtime"),
        oci_root=_value_of("--root", runtime_args) or given.get("runtime-root"),
        graph_root=_value_of("--root", exit_args),
        run_root=_value_of("--runroot", exit_args),
        log_path=_log_path(log),
        exit_dir=given.get("exit-dir"),
        pid_file=given.get("p") or given.get("container-pidfile"),
    )


_CONMON_VALUES = frozenset(
    {
        *("c", "u", "r", "b", "p", "n", "l", "P", "s-path", "api-version", "cid", "cuuid"),
        *("runtime", "bundle", "container-pidfile", "conmon-pidfile", "name", "log-path"),
        *("runtime-arg", "exit-command-arg", "exit-command", "exit-dir", "exit-delay", "log-level"),
        *("log-size-max", "log-tag", "socket-dir-path", "persist-dir", "exec-process-spec"),
        *("restore", "restore-arg", "runtime-root", "runtime-dir", "timeout", "T", "exit-code"),
    }
)
"""Options of conmon that take a value. Source: conmon(8)."""


def _pairs(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(args)
    for arg in rest:
        name, found, value = arg.lstrip("-").partition("=")
        if not arg.startswith("-"):
            continue
        if not found and name in _CONMON_VALUES:
            value = next(rest, "")
        yield name, value


def _value_of(flag: str, args: Sequence[str]) -> str | None:
    for index, arg in enumerate(args):
        if arg.startswith(f"{flag}="):
            return arg.partition("=")[2]
        if arg == flag and index + 1 < len(args):
            return args[index + 1]
    return None


def _log_path(log: str | None) -> str | None:
    """A file's path out of conmon's `DRIVER:PATH`; None for a driver without a file."""
    if log is None:
        return None
    for driver in _LOG_DRIVERS:
        if log.startswith(driver):
            log = log[len(driver) :]
    return log if log.startswith("/") else None


_RUNTIME_NAMES = ("runc", "crun", "youki", "runsc", "runsc-sandbox", "runsc-gofer")


def oci_root_of_args(args: Sequence[str]) -> str | None:
    """The `--root` of a process that is an OCI runtime; None for any other."""
    if not args or os.path.basename(args[0]) not in _RUNTIME_NAMES:
        return None
    root = _value_of("--root", args) or _value_of("-root", args)
    return root if root is not None and root.startswith("/") else None
