"""Names in the kubelet's directories, taken apart: pure.

Source: kubernetes, pkg/kubelet/kubelet_getters.go, pkg/kubelet/kuberuntime/helpers.go,
BuildPodLogsDirectory, and legacy.go, legacyLogSymlink.
"""

import re
from collections.abc import Iterable, Mapping

from rtscope.model.facts import fact

_STATIC_UID = re.compile(r"[0-9a-f]{32}")
_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LINK = re.compile(r"([^_]+)_([^_]+)_(.+)-([0-9a-f]{64})\.log")
_NAME = rb""""?name"?:[ \t]*["']?([a-z0-9][a-z0-9.-]{0,252})"""
_MANIFEST_NAMES = tuple(
    re.compile(start + _NAME, re.MULTILINE)
    for start in (rb"^(?:  |\t)", rb'"metadata":\s*\{\s*', rb"^[ \t]*")
)
_SETTING = r"""(?:^|[{{,])[ \t]*["']?{}["']?:[ \t]*["']?([^"'\s#,}}]+)"""


@fact
class LogDirectory:
    """A directory of `/var/log/pods`: `NAMESPACE_NAME_UID`."""

    namespace: str
    name: str
    uid: str


def is_pod_uid(name: str) -> bool:
    """Whether a directory is a pod's: by a uid, or for a static one by a hash."""
    return is_static_uid(name) or _UID.fullmatch(name) is not None


def is_static_uid(uid: str) -> bool:
    """A static pod's uid is an MD5 of its manifest. Source: pkg/kubelet/config/common.go."""
    return _STATIC_UID.fullmatch(uid) is not None


def log_directory_from(name: str) -> LogDirectory | None:
    """What the name of a log directory says; None for other names."""
    parts = name.split("_")
    if len(parts) != 3 or not all(parts):
        return None
    return LogDirectory(namespace=parts[0], name=parts[1], uid=parts[2])


def container_ids_in(links: Iterable[str]) -> dict[tuple[str, str], dict[str, str]]:
    """(namespace, pod) -> container's name -> id, from the links of `/var/log/containers`.

    A container that was started again has several; the kubelet keeps no order, so none is said.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    repeated = set()
    for link in links:
        match = _LINK.fullmatch(link)
        if match is None:
            continue
        pod, namespace, container, container_id = match.groups()
        ids = found.setdefault((namespace, pod), {})
        if container in ids:
            repeated.add((namespace, pod, container))
        ids[container] = container_id
    for namespace, pod, container in repeated:
        del found[namespace, pod][container]
    return found


def manifest_name_in(content: bytes, file_name: str) -> str:
    """The pod's name in a static manifest, YAML or JSON, which is searched and not parsed.

    The first `name` at the first level of indentation is that of `metadata`: before it come only
    annotations and labels, deeper.
    """
    for pattern in _MANIFEST_NAMES:
        match = pattern.search(content)
        if match is not None:
            return match[1].decode()
    return file_name.rpartition(".")[0] or file_name


def manifest_of(pod_name: str, manifests: Mapping[str, str]) -> str | None:
    """The manifest of a static pod, which is called like it with the node's name behind.

    Args:
        pod_name: As the kubelet names it.
        manifests: Path by the name in it.
    """
    best = ""
    for name in manifests:
        if pod_name.startswith(f"{name}-") and len(name) > len(best):
            best = name
    return manifests.get(best)


def setting_in(config: bytes, key: str) -> str | None:
    """A scalar of a KubeletConfiguration, YAML or JSON; None if it is not there."""
    match = re.search(
        _SETTING.format(re.escape(key)), config.decode(errors="replace"), re.MULTILINE
    )
    return match[1] if match else None
