"""The list of containers that podman and CRI-O keep in their storage.

Source: containers/storage, containers.go, Container: both engines put what they want to know
again into `metadata`, a JSON document in a string.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rtscope.backends.fields import instant, items, mapping, number, text
from rtscope.backends.podman.convert import DocumentError, image_id_from
from rtscope.model.facts import fact
from rtscope.model.records import Pod

_ID = re.compile(r"[0-9a-f]{64}")
_SANDBOX_ID = re.compile(rb'"io\.kubernetes\.cri-o\.SandboxID":\s*"([0-9a-f]{64})"')
_CGROUP = re.compile(rb'"cgroupsPath":\s*"([^"]{1,4096})"')
_POD_IN_CGROUP = re.compile(r"(?:^|[/_])([0-9a-f]{64})(?:/libpod-|\.slice:libpod:)")
_INFRA_NAME = re.compile(r"[0-9a-f]{12}-infra")
_CRIO_NAME_PARTS = 5
"""`k8s_NAME_NAMESPACE_UID_ATTEMPT`. Source: CRI-O, internal/factory/sandbox/sandbox.go."""


@fact
class CrioFacts:
    """What CRI-O adds to an entry.

    Attributes:
        pod: Name, namespace and uid as the kubelet gave them, and the sandbox's id.
        container: The container's name in its pod; None for the sandbox itself.
        is_pod: The entry is a sandbox: it has an init only where infra containers are kept.
    """

    pod: Pod
    container: str | None
    attempt: int
    is_pod: bool


@fact
class StoreEntry:
    """One container of a store, whichever engine made it.

    Attributes:
        crio: None for podman's.
    """

    id: str
    name: str | None
    image_ref: str | None = None
    image_id: str | None = None
    created_at: datetime | None = None
    crio: CrioFacts | None = None

    @property
    def is_infra_by_name(self) -> bool:
        """Whether podman named it as it names the infra container of a pod."""
        return self.crio is None and _INFRA_NAME.fullmatch(self.name or "") is not None


def entries_from(data: bytes) -> list[StoreEntry | str]:
    """Every entry of a `containers.json`; for one that is none, what is wrong with it.

    Raises:
        DocumentError: The whole is not what it should be.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DocumentError("not JSON") from error
    if document is None:
        return []
    if not isinstance(document, list):
        raise DocumentError("not a list")
    return [_entry_from(mapping(facts)) for facts in document]


def membership_in(spec: bytes) -> tuple[str | None, str | None]:
    """(infra container, pod) that an OCI `config.json` of podman's names.

    Only two short texts of some 30 kB are needed: they are looked for, not parsed.
    """
    sandbox = _SANDBOX_ID.search(spec)
    cgroup = _CGROUP.search(spec)
    pod = _POD_IN_CGROUP.search(cgroup[1].decode(errors="replace")) if cgroup else None
    return sandbox[1].decode() if sandbox else None, pod[1] if pod else None


def exit_code_from(data: bytes) -> int | None:
    """The number in a file that conmon wrote at the end. Source: conmon, src/ctr_exit.c."""
    word = data.strip()
    return int(word) if word.isdigit() and len(word) < 4 and int(word) < 256 else None


def pid_from(data: bytes) -> int | None:
    """The number in a pid file."""
    word = data.strip()
    return (int(word) or None) if word.isdigit() and len(word) < 10 else None


def _entry_from(facts: Mapping[str, Any]) -> StoreEntry | str:
    container_id = text(facts.get("id"))
    if container_id is None or not _ID.fullmatch(container_id):
        return "an entry without an id"
    try:
        metadata = mapping(json.loads(text(facts.get("metadata")) or "{}"))
    except (ValueError, RecursionError):
        return f"{container_id}: its metadata are not JSON"
    names = [name for name in items(facts.get("names")) if isinstance(name, str)]
    return StoreEntry(
        id=container_id,
        name=text(metadata.get("name")) or (names[0] if names else None),
        image_ref=text(metadata.get("image-name")),
        image_id=image_id_from(metadata.get("image-id") or facts.get("image")),
        created_at=instant(facts.get("created")),
        crio=_crio_from(metadata) if "pod-id" in metadata else None,
    )


def _crio_from(metadata: Mapping[str, Any]) -> CrioFacts:
    """Source: CRI-O, internal/storage/runtime.go, RuntimeContainerMetadata.

    A container's metadata lack the pod's namespace and uid: the pod's name has them.
    """
    is_pod = metadata.get("pod") is True
    own = text(metadata.get("metadata-name"))
    pod_name = text(metadata.get("pod-name"))
    parts = (pod_name or "").split("_")
    is_full = len(parts) == _CRIO_NAME_PARTS and parts[0] == "k8s"
    return CrioFacts(
        pod=Pod(
            name=own if is_pod and own else parts[1] if is_full else pod_name,
            namespace=text(metadata.get("namespace")) or (parts[2] if is_full else None),
            uid=text(metadata.get("uid")) or (parts[3] if is_full else None),
            sandbox_id=text(metadata.get("pod-id")),
        ),
        container=None if is_pod else own,
        attempt=number(metadata.get("attempt")) or 0,
        is_pod=is_pod,
    )
