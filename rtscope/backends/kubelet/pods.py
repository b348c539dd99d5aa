"""The kubelet's directories of pods."""

from collections.abc import Iterator, Mapping

from rtscope.backends.base import Draft, Targets
from rtscope.backends.kubelet.convert import (
    LogDirectory,
    container_ids_in,
    is_pod_uid,
    is_static_uid,
    log_directory_from,
    manifest_name_in,
    manifest_of,
)
from rtscope.backends.rights import reason_of_os_error, unreadable
from rtscope.model.records import KubeletPod
from rtscope.model.state import Reason
from rtscope.procfs.mounts import parse_mountinfo

_POD_LOGS = "/var/log/pods"
_CONTAINER_LOGS = "/var/log/containers"
_MAX_MANIFEST_BYTES = 1 << 20
_MAX_MOUNTINFO_BYTES = 8 << 20
_NESTED_MOUNT = "/mount"
"""Where a CSI volume is mounted below its directory. Source: pkg/volume/csi/csi_util.go."""


class PodReader:
    """Reads what belongs to all pods once, then one pod after another."""

    def __init__(self, root: str, static_dir: str | None, draft: Draft, targets: Targets) -> None:
        self._root = root
        self._draft = draft
        self._host = targets.host
        self._logs = {log.uid: (name, log) for name, log in self._log_directories()}
        self._ids = container_ids_in(self._names(_CONTAINER_LOGS))
        self._manifests = self._static_manifests(static_dir) if static_dir else {}
        self._mounts = self._mount_points()

    @property
    def manifests(self) -> Mapping[str, str]:
        """Path of each static manifest, by the pod's name in it."""
        return self._manifests

    def pod(self, uid: str) -> KubeletPod | None:
        """One pod's directory; None if it is none, or has been removed meanwhile."""
        path = f"{self._root}/pods/{uid}"
        if not is_pod_uid(uid) or not self._host.exists(path):
            return None
        volumes = tuple(self._volumes(f"{path}/volumes"))
        log_name, log = self._logs.get(uid, (None, None))
        return KubeletPod(
            uid=uid,
            name=None if log is None else log.name,
            namespace=None if log is None else log.namespace,
            path=path,
            containers=tuple(sorted(self._names(f"{path}/containers"))),
            volumes=volumes,
            is_static=is_static_uid(uid),
            details=dict(self._details(uid, path, volumes, log_name, log)),
        )

    def _details(
        self,
        uid: str,
        path: str,
        volumes: tuple[str, ...],
        log_name: str | None,
        log: LogDirectory | None,
    ) -> Iterator[tuple[str, str]]:
        mounted = [v for v in volumes if self._is_mounted(f"{path}/volumes/{v}")]
        if mounted:
            yield "mounted_volumes", " ".join(mounted)
        if log is None:
            return
        yield "log_directory", f"{_POD_LOGS}/{log_name}"
        for container, container_id in sorted(self._ids.get((log.namespace, log.name), {}).items()):
            yield f"container_id.{container}", container_id
        manifest = manifest_of(log.name, self._manifests) if is_static_uid(uid) else None
        if manifest is not None:
            yield "manifest", manifest

    def _volumes(self, directory: str) -> Iterator[str]:
        for plugin in sorted(self._names(directory)):
            for name in sorted(self._names(f"{directory}/{plugin}")):
                yield f"{plugin}/{name}"

    def _is_mounted(self, path: str) -> bool:
        return path in self._mounts or f"{path}{_NESTED_MOUNT}" in self._mounts

    def _log_directories(self) -> Iterator[tuple[str, LogDirectory]]:
        for name in self._names(_POD_LOGS):
            log = log_directory_from(name)
            if log is not None:
                yield name, log

    def _static_manifests(self, directory: str) -> dict[str, str]:
        found = {}
        for name in self._names(directory):
            # The kubelet leaves out hidden files. Source: pkg/kubelet/config/file.go.
            if name.startswith("."):
                continue
            path = f"{directory}/{name}"
            try:
                content = self._host.read(path, _MAX_MANIFEST_BYTES)
            except OSError:
                continue
            found[manifest_name_in(content, name)] = path
        return found

    def _mount_points(self) -> frozenset[str]:
        try:
            content = self._host.read("/proc/1/mountinfo", _MAX_MOUNTINFO_BYTES)
        except OSError:
            return frozenset()
        return frozenset(mount.point for mount in parse_mountinfo(content))

    def _names(self, directory: str) -> list[str]:
        """What is in a directory; one that is not there, or has gone, is empty."""
        try:
            return self._host.names(directory)
        except OSError as error:
            reason = reason_of_os_error(error)
            if reason is not Reason.ABSENT:
                detail = unreadable(self._host, directory, error)
                self._draft.gap("kubelet_pods", reason, detail, subject=directory)
            return []
