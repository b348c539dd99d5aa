"""Docker's documents as facts: the list of containers, of images, and `config.v2.json`."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rtscope.model.records import ContainerRecord, Image, Pod
from rtscope.model.refs import Ref
from rtscope.model.state import Layer, State

DEFAULT_NAMESPACE = "moby"

STATES: Mapping[str, State] = {
    "created": State.CREATED,
    "running": State.RUNNING,
    "paused": State.PAUSED,
    "restarting": State.STOPPED,
    "removing": State.STOPPED,
    "exited": State.STOPPED,
    "dead": State.STOPPED,
}
"""Docker's word to the model's. Source: moby, container/state.go; docs/states.md."""

_EXIT_CODE = re.compile(r"(?:Exited|Restarting) \((-?\d+)\)")
_HEALTH = re.compile(r"\((?:health: )?(healthy|unhealthy|starting)\)")


_WRONG_SHAPE = (AttributeError, LookupError, OSError, OverflowError, TypeError, ValueError)
"""What a document of the wrong shape raises on the way to a fact."""


class DocumentError(ValueError):
    """A document is not what docker writes."""


def version_from_server(header: str | None) -> str | None:
    """The version in a `Server` header: `Docker/28.5.2 (linux)`; other servers keep their name."""
    if not header:
        return None
    product, _, version = header.partition(" ")[0].partition("/")
    return version or None if product == "Docker" else f"{product.lower()} {version}".strip()


def record_from_list(
    document: Any,
    *,
    origin: str,
    below: str | None,
    below_namespace: str | None,
    store_uid: int | None = None,
) -> ContainerRecord:
    """An element of `GET /containers/json`.

    The list has no pid, no start and no end: `Status` rounds them to words.

    Raises:
        DocumentError: it is no such element.
    """
    try:
        name = name_from(document.get("Names") or ())
        state_raw = text(document.get("State"))
        status = document.get("Status") or ""
        code = _EXIT_CODE.match(status)
        labels = document.get("Labels") or {}
        return ContainerRecord(
            ref=Ref(origin=origin, namespace="", id=id_from(document["Id"])),
            layer=Layer.ENGINE,
            name=name,
            image_ref=text(document.get("Image")),
            image_id=text(document.get("ImageID")),
            command=text(document.get("Command")),
            state=STATES.get(state_raw or "", State.UNKNOWN),
            state_raw=state_raw,
            created_at=_from_unix(document.get("Created")),
            exit_code=int(code[1]) if code else None,
            health=_health_from(document, status),
            labels=dict(labels),
            pod=pod_from(name, labels),
            is_sandbox=is_pod_sandbox(name),
            below=below,
            below_namespace=below_namespace,
            store_uid=store_uid,
        )
    except _WRONG_SHAPE as error:
        raise DocumentError("not an element of docker's list of containers") from error


def images_from_list(document: Any, *, origin: str) -> Iterator[Image]:
    """An element of `GET /images/json`: one image for each of its tags.

    Raises:
        DocumentError: it is no such element.
    """
    try:
        digests = [digest.rpartition("@") for digest in document.get("RepoDigests") or ()]
        digest_of = {repository: digest for repository, _, digest in digests}
        for tag in document.get("RepoTags") or (None,):
            repository = (tag or "").rpartition(":")[0]
            yield Image(
                ref=Ref(origin=origin, namespace="", id=id_from(document["Id"])),
                image_ref=None if tag == "<none>:<none>" else tag,
                image_id=document["Id"],
                image_digest=digest_of.get(repository),
                size_bytes=document.get("Size"),
                created_at=_from_unix(document.get("Created")),
            )
    except _WRONG_SHAPE as error:
        raise DocumentError("not an element of docker's list of images") from error


def record_from_config(
    document: Any,
    *,
    origin: str,
    below: str | None,
    below_namespace: str | None,
    store_uid: int | None = None,
) -> ContainerRecord:
    """A `config.v2.json` of docker's data root.

    Docker writes it at each change of state, so after a crash it says what was true before: the
    pid may be gone or another's. Health is left out: newer dockers write it only along with
    something else, so the file of an unhealthy container may say `starting` for ever.
    Source: observed, dockerd 28.5.

    Raises:
        DocumentError: it is no such file.
    """
    try:
        state = document["State"]
        config = document.get("Config") or {}
        state_raw = state_word_from(state)
        name = text((document.get("Name") or "").removeprefix("/"))
        labels = config.get("Labels") or {}
        is_over = state_raw not in ("running", "paused")
        return ContainerRecord(
            ref=Ref(origin=origin, namespace="", id=id_from(document["ID"])),
            layer=Layer.ENGINE,
            name=name,
            image_ref=text(config.get("Image")),
            image_id=text(document.get("Image")),
            command=_command_from(document),
            state=STATES[state_raw],
            state_raw=state_raw,
            pid=state.get("Pid") or None,
            created_at=time_from(document.get("Created")),
            started_at=time_from(state.get("StartedAt")),
            finished_at=time_from(state.get("FinishedAt")) if is_over else None,
            exit_code=_exit_code_from(state, state_raw) if is_over else None,
            exit_reason=_exit_reason_from(state) if is_over else None,
            oom_killed=state.get("OOMKilled"),
            restart_count=document.get("RestartCount"),
            labels=dict(labels),
            pod=pod_from(name, labels),
            is_sandbox=is_pod_sandbox(name),
            log_path=text(document.get("LogPath")),
            below=below,
            below_namespace=below_namespace,
            store_uid=store_uid,
            is_complete=False,
        )
    except _WRONG_SHAPE as error:
        raise DocumentError("not a container's config.v2.json") from error


def state_word_from(state: Mapping[str, Any]) -> str:
    """Docker's word for the flags of its state. Source: moby, container/state.go, StateString."""
    if state.get("Running"):
        if state.get("Paused"):
            return "paused"
        return "restarting" if state.get("Restarting") else "running"
    if state.get("RemovalInProgress"):
        return "removing"
    if state.get("Dead"):
        return "dead"
    return "exited" if time_from(state.get("StartedAt")) else "created"


def name_from(names: Any) -> str | None:
    """The container's own name: links of old networks add names with a second slash."""
    own = (name for name in names if name.count("/") <= 1)
    return text(next(own, "").removeprefix("/"))


def pod_from(name: str | None, labels: Mapping[str, str]) -> Pod | None:
    """The pod that cri-dockerd made a container for: `k8s_CONTAINER_POD_NAMESPACE_UID_ATTEMPT`."""
    if name is None or not name.startswith("k8s_"):
        return None
    parts = name.split("_")
    if len(parts) not in (6, 7):
        # Seven where a name was taken and a suffix was added.
        return None
    return Pod(
        name=labels.get("io.kubernetes.pod.name", parts[2]),
        namespace=labels.get("io.kubernetes.pod.namespace", parts[3]),
        uid=labels.get("io.kubernetes.pod.uid", parts[4]),
        sandbox_id=labels.get("io.kubernetes.sandbox.id"),
    )


def is_pod_sandbox(name: str | None) -> bool:
    """Whether cri-dockerd made a container to hold a pod's namespaces."""
    return name is not None and name.startswith("k8s_POD_")


def time_from(value: Any) -> datetime | None:
    """An instant of RFC 3339; Go's year 1 is none."""
    if not isinstance(value, str) or not value or value.startswith("0001-"):
        return None
    instant = datetime.fromisoformat(value)
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def id_from(value: Any) -> str:
    """A record's id, which must be there."""
    if not isinstance(value, str) or not value:
        raise TypeError("no id")
    return value


def text(value: Any) -> str | None:
    """A string that says something, else None."""
    return value if isinstance(value, str) and value else None


def _health_from(document: Mapping[str, Any], status: str) -> str | None:
    """The word of the last probe: its own field from API 1.52 on, before that part of `Status`."""
    said = (document.get("Health") or {}).get("Status")
    if said:
        return None if said == "none" else str(said)
    found = _HEALTH.search(status)
    return found[1] if found else None


def _from_unix(value: Any) -> datetime | None:
    return datetime.fromtimestamp(value, UTC) if value else None


def _command_from(document: Mapping[str, Any]) -> str | None:
    return text(" ".join([document.get("Path") or "", *(document.get("Args") or ())]).strip())


def _exit_code_from(state: Mapping[str, Any], state_raw: str) -> int | None:
    """What it ended with; a container that could not be started has a code but never ran."""
    code = state.get("ExitCode")
    return code or None if state_raw == "created" else code


def _exit_reason_from(state: Mapping[str, Any]) -> str | None:
    return "OOMKilled" if state.get("OOMKilled") else text(state.get("Error"))
