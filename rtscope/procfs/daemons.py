"""Daemons: which process is one, and what its arguments and configuration files say."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rtscope.procfs.documents import content_of, files_of, json_of, list_of, table_of, toml_of
from rtscope.procfs.host import Host

_KIND_OF_COMM = {
    b"dockerd": "dockerd",
    b"dockerd-current": "dockerd",
    b"containerd": "containerd",
    b"docker-containe": "containerd",
    b"crio": "crio",
    b"cri-dockerd": "cri-dockerd",
    b"podman": "podman",
    b"k3s": "k3s",
    b"k3s-server": "k3s",
    b"k3s-agent": "k3s",
    b"rke2": "k3s",
    b"kubelet": "kubelet",
    b"buildkitd": "buildkitd",
    b"lxd": "lxc",
    b"lxc-monitord": "lxc",
    b"incusd": "incus",
}
_EXECUTABLES = {
    "dockerd": ("dockerd", "dockerd-current", "dockerd-ce"),
    # k3s and k0s carry their engines in one executable. Source: k3s, cmd/k3s/main.go.
    "containerd": ("containerd", "docker-containerd", "k3s", "rke2", "k0s"),
    "crio": ("crio",),
    "cri-dockerd": ("cri-dockerd",),
    "podman": ("podman",),
    "k3s": ("k3s", "rke2"),
    "kubelet": ("kubelet", "hyperkube", "k3s", "rke2", "k0s"),
    "buildkitd": ("buildkitd",),
    "lxc": ("lxd", "lxc-monitord"),
    "incus": ("incusd",),
}


DAEMON_COMMS = frozenset(_KIND_OF_COMM)


def daemon_kind(comm: bytes) -> str | None:
    """The kind of daemon that a process of this name may be."""
    return _KIND_OF_COMM.get(comm)


def is_daemon_exe(kind: str, exe: str) -> bool:
    """Whether this executable is that daemon."""
    return os.path.basename(exe) in _EXECUTABLES[kind]


def is_daemon_call(kind: str, args: Sequence[str]) -> bool:
    """Whether the arguments start the daemon: one binary often does other things too."""
    if kind == "podman":
        words = [arg for arg in args[1:] if not arg.startswith("-")]
        return "service" in words and "system" in words[: words.index("service")]
    if kind == "k3s":
        rest = " ".join(args).split()
        return any(word in ("server", "agent") for word in rest[1:2])
    if kind == "containerd":
        return not any(word in ("config", "publish", "oci-hook") for word in args[1:2])
    return not any(arg in ("--version", "-v", "--help", "-h") for arg in args[1:2])


def options_of(host: Host, kind: str, args: Sequence[str], uid: int) -> Mapping[str, str]:
    """What a daemon was told, defaults included.

    `host` shows the files as the daemon sees them; `uid` is its user, since a rootless daemon has
    other defaults.
    """
    reader = _READERS.get(kind)
    return {} if reader is None else reader(host, args, uid)


def _flags(args: Sequence[str], known: Mapping[str, str]) -> tuple[dict[str, list[str]], list[str]]:
    """Values of known flags by the option they set, and the words that belong to no flag."""
    values: dict[str, list[str]] = {}
    words = []
    rest = iter(args[1:])
    for arg in rest:
        name, found, value = arg.partition("=")
        if not arg.startswith("-"):
            words.append(arg)
        elif name in known:
            values.setdefault(known[name], []).append(value if found else next(rest, ""))
        elif arg.startswith("-H") and "-H" in known and not arg.startswith("--"):
            values.setdefault(known["-H"], []).append(arg[2:])
    return values, words


def _last(values: Mapping[str, list[str]]) -> dict[str, str]:
    return {name: given[-1] for name, given in values.items() if given[-1]}


def user_home(uid: int) -> str:
    """A user's home directory, by the reader's own user database."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return f"/home/{uid}"


_DOCKERD_FLAGS = {
    "-H": "hosts",
    "--host": "hosts",
    "--data-root": "root",
    "-g": "root",
    "--graph": "root",
    "--exec-root": "exec_root",
    "--containerd": "containerd",
    "--containerd-namespace": "containerd_namespace",
    "--config-file": "config",
    "-p": "pid_file",
    "--pidfile": "pid_file",
}
_DOCKERD_KEYS = {
    "data-root": "root",
    "graph": "root",
    "exec-root": "exec_root",
    "containerd": "containerd",
    "containerd-namespace": "containerd_namespace",
}


def _dockerd(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    """Source: dockerd(8) and docs.docker.com, daemon configuration file."""
    values, _ = _flags(args, _DOCKERD_FLAGS)
    home = user_home(uid) if uid else ""
    options = {
        "root": f"{home}/.local/share/docker" if uid else "/var/lib/docker",
        "exec_root": f"/run/user/{uid}/docker" if uid else "/run/docker",
        "containerd_namespace": "moby",
        "config": f"{home}/.config/docker/daemon.json" if uid else "/etc/docker/daemon.json",
    }
    options.update(_last(values))
    document = json_of(host, options["config"])
    hosts = values.get("hosts") or [str(entry) for entry in list_of(document.get("hosts"))]
    for key, option in _DOCKERD_KEYS.items():
        if option not in values and isinstance(document.get(key), str) and document[key]:
            options[option] = document[key]
    default = f"unix:///run/user/{uid}/docker.sock" if uid else "unix:///run/docker.sock"
    options["hosts"] = "\n".join(hosts or [default])
    if "containerd" in options:
        options["containerd"] = socket_path(options["containerd"])
    return options


_CONTAINERD_FLAGS = {
    "-c": "config",
    "--config": "config",
    "-a": "address",
    "--address": "address",
    "--root": "root",
    "--state": "state",
    "-l": "log_level",
    "--log-level": "log_level",
}


def _containerd(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    """Source: containerd, cmd/containerd/command/main.go and docs/man/containerd-config.toml.5."""
    values, _ = _flags(args, _CONTAINERD_FLAGS)
    options = {
        "config": "/etc/containerd/config.toml",
        "root": "/var/lib/containerd",
        "state": "/run/containerd",
        "address": "/run/containerd/containerd.sock",
    }
    options.update(_last(values))
    given = _last(values)
    for document in _containerd_documents(host, options["config"]):
        found = {
            "root": document.get("root"),
            "state": document.get("state"),
            "address": table_of(document, "grpc").get("address"),
            "debug_address": table_of(document, "debug").get("address"),
        }
        options.update(
            (name, value)
            for name, value in found.items()
            if name not in given and isinstance(value, str) and value
        )
        if "disabled_plugins" in document:
            options["disabled_plugins"] = "\n".join(
                str(entry) for entry in list_of(document["disabled_plugins"])
            )
    options["address"] = socket_path(options["address"])
    return options


def _containerd_documents(host: Host, path: str) -> list[dict[str, Any]]:
    """The configuration file and what it imports, in the order in which they count."""
    document = toml_of(host, path)
    documents = [document]
    for pattern in list_of(document.get("imports")):
        if not isinstance(pattern, str):
            continue
        if not pattern.startswith("/"):
            pattern = os.path.join(os.path.dirname(path), pattern)
        documents.extend(toml_of(host, name) for name in files_of(host, pattern))
    return documents


_CRIO_FLAGS = {
    "-c": "config",
    "--config": "config",
    "-d": "config_dir",
    "--config-dir": "config_dir",
    "--listen": "address",
    "-r": "root",
    "--root": "root",
    "--runroot": "run_root",
}
_CRIO_KEYS = (
    ("root", "root"),
    ("runroot", "run_root"),
    ("listen", "address"),
    ("container_exits_dir", "exit_dir"),
    ("container_attach_socket_dir", "attach_dir"),
)


def _crio(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    """Source: crio(8) and crio.conf(5)."""
    values, _ = _flags(args, _CRIO_FLAGS)
    given = _last(values)
    options = {
        "config": "/etc/crio/crio.conf",
        "config_dir": "/etc/crio/crio.conf.d",
        "root": "/var/lib/containers/storage",
        "run_root": "/run/containers/storage",
        "address": "/run/crio/crio.sock",
        **given,
    }
    paths = [options["config"]]
    paths += files_of(host, f"{options['config_dir']}/*")
    roots = {}
    for path in paths:
        crio = table_of(toml_of(host, path), "crio")
        for table in (crio, table_of(crio, "api"), table_of(crio, "runtime")):
            for key, option in _CRIO_KEYS:
                if option not in given and isinstance(table.get(key), str) and table[key]:
                    options[option] = table[key]
        for name, runtime in table_of(table_of(crio, "runtime"), "runtimes").items():
            if isinstance(runtime, dict) and isinstance(runtime.get("runtime_root"), str):
                roots[name] = runtime["runtime_root"]
    options["oci_roots"] = "\n".join(dict.fromkeys(root for root in roots.values() if root))
    options["address"] = socket_path(options["address"])
    return options


def _cri_dockerd(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    flags = {"--container-runtime-endpoint": "address", "--docker-endpoint": "docker"}
    values, _ = _flags(args, flags)
    options = {"address": "/run/cri-dockerd.sock", "docker": "/run/docker.sock", **_last(values)}
    return {name: socket_path(value) for name, value in options.items()}


def _podman(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    """Source: podman(1) and podman-system-service(1)."""
    flags = {
        "--root": "root",
        "--runroot": "run_root",
        "--tmpdir": "tmp_dir",
        "--network-config-dir": "network_dir",
        "--log-level": "log_level",
        "--storage-driver": "driver",
        "--storage-opt": "storage_opt",
        "--conmon": "conmon",
        "--runtime": "oci_runtime",
        "--cgroup-manager": "cgroup_manager",
        "--runtime-flag": "runtime_flag",
        "-t": "time",
        "--time": "time",
    }
    values, words = _flags(args, flags)
    home = user_home(uid) if uid else ""
    options = {
        "root": f"{home}/.local/share/containers/storage" if uid else "/var/lib/containers/storage",
        "run_root": f"/run/user/{uid}/containers" if uid else "/run/containers/storage",
        "address": f"/run/user/{uid}/podman/podman.sock" if uid else "/run/podman/podman.sock",
        **_last(values),
    }
    if options.get("runtime_flag", "").startswith("root="):
        options["oci_root"] = options.pop("runtime_flag").removeprefix("root=")
    after = words[words.index("service") + 1 :] if "service" in words else []
    if after:
        options["address"] = socket_path(after[0])
    return options


def _k3s(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    flags = {"-d": "root", "--data-dir": "root", "--container-runtime-endpoint": "containerd"}
    values, _ = _flags(args, flags)
    options = {"root": "/var/lib/rancher/k3s", **_last(values)}
    if "--docker" in args:
        options["address"] = "/run/k3s/cri-dockerd/cri-dockerd.sock"
    return options


_KUBELET_ENDPOINT = re.compile(rb"(?m)^containerRuntimeEndpoint:\s*[\"']?([^\"'\s#]+)")


def _kubelet(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    """Source: kubelet(8) and KubeletConfiguration v1beta1."""
    flags = {
        "--container-runtime-endpoint": "address",
        "--root-dir": "root",
        "--config": "config",
        "--healthz-port": "healthz_port",
    }
    values, _ = _flags(args, flags)
    options = {"root": "/var/lib/kubelet", **_last(values)}
    if "config" in options and "address" not in options:
        found = _KUBELET_ENDPOINT.search(content_of(host, options["config"]))
        if found is not None:
            options["address"] = found[1].decode(errors="replace")
    if "address" in options:
        options["address"] = socket_path(options["address"])
    return options


def _buildkitd(host: Host, args: Sequence[str], uid: int) -> dict[str, str]:
    values, _ = _flags(args, {"--addr": "address", "--root": "root", "--config": "config"})
    return _last(values)


_READERS: dict[str, Callable[[Host, Sequence[str], int], dict[str, str]]] = {
    "dockerd": _dockerd,
    "containerd": _containerd,
    "crio": _crio,
    "cri-dockerd": _cri_dockerd,
    "podman": _podman,
    "k3s": _k3s,
    "kubelet": _kubelet,
    "buildkitd": _buildkitd,
}


def socket_path(address: str) -> str:
    """A socket's path without its scheme; other schemes are left as they are."""
    path = address.removeprefix("unix://").removeprefix("unix:")
    return path.replace("/var/run/", "/run/", 1) if path.startswith("/var/run/") else path
