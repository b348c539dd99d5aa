"""Addresses that people name: flags, environment, the original clients' configuration files."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rtscope.config.settings import Settings
from rtscope.errors import UsageError
from rtscope.model.facts import fact
from rtscope.procfs.daemons import socket_path
from rtscope.procfs.host import Host

GUESS = "unix"
"""Kind of a socket whose holder has to tell what it is."""

_MAX_BYTES = 1 << 20
_SOCKET_KINDS = ("docker", "containerd", "cri", "podman")
_ROOT_KINDS = ("oci", "dockerfs", "podmanfs", "kubelet")
_REMOTE_SCHEMES = ("tcp", "http", "https")
_CRICTL_FILES = (
    "/etc/crictl.yaml",
    "/var/lib/rancher/k3s/agent/etc/crictl.yaml",
    "/var/lib/rancher/rke2/agent/etc/crictl.yaml",
)
_CRICTL_ENDPOINT = re.compile(r"(?m)^runtime-endpoint:\s*[\"']?([^\"'\s#]+)")
_NERDCTL_ADDRESS = re.compile(r"(?m)^\s*address\s*=\s*[\"']([^\"']+)[\"']")


@fact
class Named:
    """An address that somebody named.

    Attributes:
        kind: Name of a backend, or `unix` where the holder has to tell.
        address: A path, or a URL with `://` for what is not on this node.
        how: What named it: `--host`, `DOCKER_HOST`, `/etc/crictl.yaml`.
        is_named: With a flag: a failure counts for the exit code.
        trouble: Why it leads nowhere, where it does not.
    """

    kind: str
    address: str
    how: str
    is_named: bool = False
    trouble: str = ""


def named_addresses(host: Host, settings: Settings) -> Iterator[Named]:
    """Everything that the user's words and the original clients' settings name.

    Raises:
        UsageError: a `--host` that is no address.
    """
    for text in settings.hosts:
        yield named_from_url(text, "--host", is_named=True)
    for kind, paths in settings.sockets.items():
        for path in paths:
            yield named_from_url(_with_kind(kind, path), f"configuration sockets.{kind}")
    yield from _docker(host, settings.environ)
    environ = settings.environ
    for variable, kind in (
        ("CONTAINERD_ADDRESS", "containerd"),
        ("CONTAINER_RUNTIME_ENDPOINT", "cri"),
        ("CONTAINER_HOST", "podman"),
    ):
        if environ.get(variable):
            yield _from_client(kind, environ[variable], variable)
    yield from _crictl(host, environ)
    for path in ("/etc/nerdctl/nerdctl.toml",):
        found = _NERDCTL_ADDRESS.search(_text(host, path))
        if found is not None:
            yield _from_client("containerd", found[1], path)


def named_from_url(text: str, how: str, *, is_named: bool = False) -> Named:
    """An address as a flag takes it: `docker:///PATH`, `unix:///PATH`, `tcp://HOST:PORT`, a path.

    Raises:
        UsageError: it is none.
    """
    scheme, found, rest = text.partition("://")
    if not found and text.startswith("/"):
        scheme, rest = GUESS, text
    kind, _, transport = scheme.partition("+")
    if transport in _REMOTE_SCHEMES and rest:
        return Named(kind=kind, address=f"{transport}://{rest}", how=how, is_named=is_named)
    if scheme in _REMOTE_SCHEMES and rest:
        return Named(kind="docker", address=text, how=how, is_named=is_named)
    is_local = scheme in (*_SOCKET_KINDS, *_ROOT_KINDS, GUESS) or _is_plugin(scheme)
    if is_local and rest.startswith("/"):
        return Named(kind=scheme, address=socket_path(rest), how=how, is_named=is_named)
    kinds = ", ".join(f"{kind}://" for kind in (*_SOCKET_KINDS, *_ROOT_KINDS, "unix", "tcp"))
    raise UsageError(f"address {text!r} of {how}: not understood", f"one of {kinds} and a path")


def _is_plugin(kind: str) -> bool:
    from rtscope.backends.registry import plugins

    return kind in plugins()


def _with_kind(kind: str, path: str) -> str:
    return path if "://" in path and not path.startswith("unix://") else f"{kind}://{_bare(path)}"


def _bare(path: str) -> str:
    return path.removeprefix("unix://")


def _from_client(kind: str, text: str, how: str) -> Named:
    """An address as the original clients write it; what they cannot reach from here stays named."""
    scheme, found, _ = text.partition("://")
    if not found:
        path = socket_path(text)
        if path.startswith("/"):
            return Named(kind=kind, address=path, how=how)
        return Named(kind=kind, address=f"tcp://{text}", how=how)
    if scheme == "unix":
        return Named(kind=kind, address=socket_path(text), how=how)
    if scheme in _REMOTE_SCHEMES and kind == "docker":
        return Named(kind=kind, address=text, how=how)
    why = f"{scheme}:// is another node: run rtscope there"
    return Named(kind=kind, address=text, how=how, trouble=why)


def _docker(host: Host, environ: Mapping[str, str]) -> Iterator[Named]:
    """Docker's own order: DOCKER_HOST, then DOCKER_CONTEXT, then the stored context."""
    if environ.get("DOCKER_HOST"):
        yield _from_client("docker", environ["DOCKER_HOST"], "DOCKER_HOST")
        return
    directory = environ.get("DOCKER_CONFIG") or (
        f"{environ['HOME']}/.docker" if environ.get("HOME") else None
    )
    name, how = environ.get("DOCKER_CONTEXT"), "DOCKER_CONTEXT"
    if not name and directory is not None:
        how = f"{directory}/config.json"
        current = _document(host, how).get("currentContext")
        name = current if isinstance(current, str) else None
    if not name or name == "default" or directory is None:
        return
    address = _context(host, directory, name)
    if address is None:
        why = f"docker context {name} is not in {directory}/contexts"
        yield Named(kind="docker", address=f"context://{name}", how=how, trouble=why)
    else:
        yield _from_client("docker", address, f"{how} ({name})")


def _context(host: Host, directory: str, name: str) -> str | None:
    """Source: docker/cli, cli/context/store: the directory is the digest of the context's name."""
    import hashlib

    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()
    document = _document(host, f"{directory}/contexts/meta/{digest}/meta.json")
    endpoints = document.get("Endpoints")
    docker = endpoints.get("docker") if isinstance(endpoints, dict) else None
    address = docker.get("Host") if isinstance(docker, dict) else None
    return address if isinstance(address, str) and address else None


def _crictl(host: Host, environ: Mapping[str, str]) -> Iterator[Named]:
    if environ.get("CONTAINER_RUNTIME_ENDPOINT"):
        return
    named = environ.get("CRI_CONFIG_FILE")
    for path in (named,) if named else _CRICTL_FILES:
        found = _CRICTL_ENDPOINT.search(_text(host, path))
        if found is not None:
            yield _from_client("cri", found[1], path)


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path, _MAX_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _document(host: Host, path: str) -> dict[str, Any]:
    text = _text(host, path)
    if not text:
        return {}
    import json

    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
