"""Rows in groups: by engine, pod, compose project or namespace."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rtscope.model.inventory import Container

PROJECT = "com.docker.compose.project"
_PODMAN_PROJECT = "io.podman.compose.project"


def _pod(container: Container) -> str:
    pod = container.pod
    if pod is None:
        return ""
    return f"{pod.namespace}/{pod.name}" if pod.namespace else (pod.name or pod.uid or "")


def _project(container: Container) -> str:
    return container.labels.get(PROJECT) or container.labels.get(_PODMAN_PROJECT) or ""


GROUPS: Mapping[str, Callable[[Container], str]] = {
    "engine": lambda c: c.engine.value,
    "pod": _pod,
    "project": _project,
    "namespace": lambda c: c.namespace or "",
}
ORDER: tuple[str | None, ...] = (None, *GROUPS)

PREFIX = "group|"


def next_group(group: str | None) -> str | None:
    """The grouping after this one."""
    return ORDER[(ORDER.index(group) + 1) % len(ORDER)]


def heading_key(group: str, name: str) -> str:
    """Key of a group's heading."""
    return f"{PREFIX}{group}|{name}"


def grouped(containers: Iterable[Container], group: str) -> list[tuple[str, list[Container]]]:
    """Name of a group and its members; groups with a problem first, then by name.

    Those that belong to none come last.
    """
    found: dict[str, list[Container]] = {}
    read = GROUPS[group]
    for container in containers:
        found.setdefault(read(container), []).append(container)
    return sorted(found.items(), key=_rank)


def _rank(entry: tuple[str, Sequence[Container]]) -> tuple[bool, bool, str]:
    name, members = entry
    return (not name, not any(c.has_problem for c in members), name)
