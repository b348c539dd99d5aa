"""The pods of the node, as CRI and the kubelet know them."""

from collections.abc import Sequence

from rtscope.correlate.groups import Group
from rtscope.model.records import KubeletPod, Pod, Process, Sandbox
from rtscope.procfs.cgroups import parse_path


class Pods:
    """The node's CRI sandboxes by id, and the kubelet's pods by uid."""

    def __init__(
        self, groups: Sequence[Group], kubelets: Sequence[tuple[str, KubeletPod]] = ()
    ) -> None:
        self._by_uid: dict[str, list[tuple[str, KubeletPod]]] = {}
        for source, pod in kubelets:
            self._by_uid.setdefault(pod.uid, []).append((source, pod))
        self._by_id: dict[str, list[tuple[str, Sandbox]]] = {}
        for group in groups:
            for item, sandbox in group.sandboxes:
                self._by_id.setdefault(sandbox.ref.id, []).append((item.source, sandbox))

    def of(self, sandbox_id: str) -> list[tuple[str, Sandbox]]:
        """(source, sandbox) of every record of it."""
        return self._by_id.get(sandbox_id, [])

    def of_uid(self, uid: str | None) -> list[tuple[str, KubeletPod]]:
        """(source, pod directory) of the pod with this uid."""
        return self._by_uid.get(uid or "", [])

    def pod_of_cgroup(self, init: Process | None) -> Pod | None:
        """The pod whose cgroup an init is in, by the kubelet's words."""
        path = "" if init is None else init.cgroup or ""
        shape = parse_path(path) if "kubepods" in path else None
        if shape is None or shape.pod_uid is None:
            return None
        for _, pod in self.of_uid(shape.pod_uid):
            return Pod(name=pod.name, namespace=pod.namespace, uid=pod.uid)
        return Pod(uid=shape.pod_uid)
