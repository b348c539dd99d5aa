"""The documents of libpod's REST API as facts.

Source: podman, pkg/domain/entities/types/container_ps.go, ListContainer, and pods.go,
ListPodsReport.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rtscope.backends.fields import instant, items, mapping, number, positive, text, texts
from rtscope.model.records import ContainerRecord, Image, Pod, Sandbox
from rtscope.model.refs import Ref
from rtscope.model.state import Layer, State

_STATES: Mapping[str, State] = {
    "created": State.CREATED,
    "initialized": State.CREATED,
    "running": State.RUNNING,
    "stopping": State.RUNNING,
    "paused": State.PAUSED,
    "stopped": State.STOPPED,
    "exited": State.STOPPED,
    "removing": State.STOPPED,
}
_POD_STATES: Mapping[str, State] = {
    "created": State.CREATED,
    "running": State.RUNNING,
    "degraded": State.RUNNING,
    "paused": State.PAUSED,
    "stopped": State.STOPPED,
    "exited": State.STOPPED,
}
_HEALTH = frozenset({"starting", "healthy", "unhealthy"})
_DIGEST = "sha256:"


class DocumentError(ValueError):
    """A document that is not what the API promises."""


def state_from(word: str | None) -> State:
    """One of five for libpod's word. Source: podman, libpod/define/containerstate.go."""
    return _STATES.get(word or "", State.UNKNOWN)


def version_from_server(header: str | None) -> str | None:
    """The version in `Libpod/4.3.1 (linux)`."""
    name, found, rest = (header or "").partition("/")
    return rest.split(" ", 1)[0] or None if found and name == "Libpod" else None


def record_from_list(
    document: Any, *, origin: str, store_uid: int | None = None
) -> ContainerRecord:
    """One entry of `/libpod/containers/json`.

    Raises:
        DocumentError: It has no id.
    """
    facts = mapping(document)
    word = text(facts.get("State"))
    state = state_from(word)
    has_ended = state is State.STOPPED
    status = text(facts.get("Status"))
    names = items(facts.get("Names"))
    return ContainerRecord(
        ref=Ref(origin=origin, namespace="", id=_id_in(facts)),
        layer=Layer.ENGINE,
        name=text(names[0]) if names else None,
        image_ref=text(facts.get("Image")),
        image_id=image_id_from(facts.get("ImageID")),
        command=" ".join(w for w in items(facts.get("Command")) if isinstance(w, str)) or None,
        state=state,
        state_raw=word,
        pid=positive(facts.get("Pid")),
        created_at=_moment(facts.get("Created")),
        started_at=_moment(facts.get("StartedAt")),
        finished_at=_moment(facts.get("ExitedAt")) if has_ended else None,
        exit_code=number(facts.get("ExitCode")) if has_ended else None,
        restart_count=number(facts.get("Restarts")),
        health=status if status in _HEALTH else None,
        labels=texts(facts.get("Labels")),
        pod=_pod_in(facts),
        is_sandbox=facts.get("IsInfra") is True,
        store_uid=store_uid,
    )


def sandbox_from(document: Any, *, origin: str) -> Sandbox:
    """One entry of `/libpod/pods/json`.

    Raises:
        DocumentError: It has no id.
    """
    facts = mapping(document)
    word = text(facts.get("Status"))
    return Sandbox(
        ref=Ref(origin=origin, namespace="", id=_id_in(facts)),
        pod_name=text(facts.get("Name")),
        state=_POD_STATES.get((word or "").lower(), State.UNKNOWN),
        state_raw=word,
        created_at=_moment(facts.get("Created")),
        labels=texts(facts.get("Labels")),
    )


def images_from(document: Any, *, origin: str) -> Iterator[Image]:
    """One entry of `/libpod/images/json`: a fact for each name, or one without."""
    facts = mapping(document)
    image_id = image_id_from(_id_in(facts))
    names: list[str | None] = [n for n in items(facts.get("Names")) if isinstance(n, str)]
    for name in names or [None]:
        yield Image(
            ref=Ref(origin=origin, namespace="", id=name or image_id or ""),
            image_ref=name,
            image_id=image_id,
            image_digest=text(facts.get("Digest")),
            size_bytes=number(facts.get("Size")),
            created_at=_moment(facts.get("Created")),
        )


def image_id_from(value: Any) -> str | None:
    """A config digest: podman leaves out the algorithm, which others write."""
    found = text(value)
    return found if found is None or ":" in found else f"{_DIGEST}{found}"


def _id_in(facts: Mapping[str, Any]) -> str:
    found = text(facts.get("Id"))
    if found is None:
        raise DocumentError("no id")
    return found


def _pod_in(facts: Mapping[str, Any]) -> Pod | None:
    pod_id = text(facts.get("Pod"))
    if pod_id is None:
        return None
    return Pod(name=text(facts.get("PodName")), sandbox_id=pod_id)


def _moment(value: Any) -> datetime | None:
    """RFC 3339, or seconds since 1970; Go's year 1 is none."""
    seconds = positive(value)
    if seconds is None:
        return instant(value)
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
