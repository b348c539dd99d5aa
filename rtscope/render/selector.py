"""Selectors: how a user names one container, and how a row is named so that it can be used again.

`NAME-OR-ID-PREFIX`, `docker:NAME`, `podman:NAME`, `cri:NAME`, `ns:NAMESPACE/ID`,
`pod:NAMESPACE/POD[/CONTAINER]`, `pid:N`, `key:KEY`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rtscope.errors import NotFoundError, UsageError
from rtscope.model.inventory import Container, Inventory
from rtscope.model.state import Engine
from rtscope.render.escape import visible
from rtscope.render.filters import has_pid
from rtscope.render.ids import SHORT_ID, is_hex_id

HELP = (
    "NAME or ID prefix, docker:NAME, podman:NAME, ns:NAMESPACE/ID, pod:NAMESPACE/POD/CONTAINER, "
    "pid:N"
)

_CANDIDATES = 10


def resolve(inventory: Inventory, selector: str) -> tuple[Container, ...]:
    """What the selector names: one container, or those of one pod or of one process's shim.

    Raises:
        NotFoundError: nothing, or more than one thing; the candidates are named.
        UsageError: it cannot be a selector.
    """
    found = candidates(inventory.containers, selector)
    if not found:
        raise NotFoundError(
            f"container {visible(selector)}: not found on this node",
            "rtscope ps -a --all-runtimes lists every one; `pid:N` finds it by a process",
        )
    if len(found) > 1 and not _is_group(selector, found):
        raise NotFoundError(
            f"container {visible(selector)}: names {len(found)} containers",
            "one of: " + _described(inventory, found),
        )
    return found


def _is_group(selector: str, found: Sequence[Container]) -> bool:
    if selector.startswith("pid:"):
        return len({c.shim_pid for c in found}) == 1
    return selector.startswith("pod:") and selector.count("/") == 1 and _is_one_pod(found)


def _is_one_pod(found: Sequence[Container]) -> bool:
    return len({c.pod.uid or c.pod.sandbox_id for c in found if c.pod}) <= 1


def _described(inventory: Inventory, found: Sequence[Container]) -> str:
    names = exact_selectors(inventory.containers)
    shown = [
        f"{names[c.key]} ({visible(c.name or c.id)} of {visible(c.origin)})"
        for c in found[:_CANDIDATES]
    ]
    rest = len(found) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def candidates(containers: Iterable[Container], selector: str) -> tuple[Container, ...]:
    """Every container that the selector may mean; an exact name or id beats a prefix."""
    every = tuple(containers)
    kind, colon, rest = selector.partition(":")
    if colon and kind in _KINDS:
        return _KINDS[kind](every, rest)
    if not selector:
        raise UsageError("selector: is empty", HELP)
    exact = tuple(c for c in every if selector in (c.id, c.name))
    if exact:
        return exact
    prefix = tuple(c for c in every if c.id.startswith(selector))
    return prefix or tuple(c for c in every if (c.name or "").startswith(selector))


def _by_engine(engine: Engine) -> Callable[[tuple[Container, ...], str], tuple[Container, ...]]:
    def find(every: tuple[Container, ...], rest: str) -> tuple[Container, ...]:
        return candidates((c for c in every if c.engine is engine), rest.removeprefix("/"))

    return find


def _by_namespace(every: tuple[Container, ...], rest: str) -> tuple[Container, ...]:
    namespace, slash, identifier = rest.partition("/")
    if not slash or not identifier:
        raise UsageError(f"selector ns:{visible(rest)}: not ns:NAMESPACE/ID")
    return candidates((c for c in every if (c.namespace or "") == namespace), identifier)


def _by_pod(every: tuple[Container, ...], rest: str) -> tuple[Container, ...]:
    parts = rest.split("/")
    if len(parts) not in (2, 3):
        raise UsageError(f"selector pod:{visible(rest)}: not pod:NAMESPACE/POD/CONTAINER")
    of_pod = tuple(
        c for c in every if c.pod and (c.pod.namespace or "") == parts[0] and c.pod.name == parts[1]
    )
    if len(parts) == 2:
        return of_pod
    return tuple(c for c in of_pod if c.name == parts[2] and not c.is_sandbox)


def _by_pid(every: tuple[Container, ...], rest: str) -> tuple[Container, ...]:
    if not rest.isdecimal():
        raise UsageError(f"selector pid:{visible(rest)}: not a number")
    pid = int(rest)
    inside = tuple(c for c in every if has_pid(c, pid))
    return inside or tuple(c for c in every if c.shim_pid == pid)


def _by_key(every: tuple[Container, ...], rest: str) -> tuple[Container, ...]:
    return tuple(c for c in every if c.key == rest)


_KINDS: Mapping[str, Callable[[tuple[Container, ...], str], tuple[Container, ...]]] = {
    "docker": _by_engine(Engine.DOCKER),
    "podman": _by_engine(Engine.PODMAN),
    "cri": _by_engine(Engine.CRI),
    "containerd": _by_engine(Engine.CONTAINERD),
    "oci": _by_engine(Engine.OCI),
    "ns": _by_namespace,
    "pod": _by_pod,
    "pid": _by_pid,
    "key": _by_key,
}


def exact_selectors(containers: Iterable[Container]) -> dict[str, str]:
    """Container key -> the shortest selector that names exactly this one on this node."""
    every = tuple(containers)
    words: dict[str, int] = {}
    for container in every:
        for word in {container.id, container.name or container.id}:
            words[word] = words.get(word, 0) + 1
    ordered = sorted(words)
    return {c.key: _selector(c, every, words, ordered) for c in every}


def _selector(
    container: Container,
    every: tuple[Container, ...],
    words: Mapping[str, int],
    ordered: Sequence[str],
) -> str:
    if words[container.id] == 1 and not _has_kind(container.id):
        return _shortest(container.id, ordered) if is_hex_id(container.id) else container.id
    options = [f"ns:{container.namespace}/{container.id}"] if container.namespace else []
    if container.engine in (Engine.DOCKER, Engine.PODMAN) and container.name:
        options.append(f"{container.engine.value}:{container.name}")
    if container.pid is not None:
        options.append(f"pid:{container.pid}")
    for option in options:
        if len(candidates(every, option)) == 1:
            return option
    return f"key:{container.key}"


def _has_kind(identifier: str) -> bool:
    return identifier.partition(":")[0] in _KINDS and ":" in identifier


def _shortest(identifier: str, ordered: Sequence[str]) -> str:
    """The prefix, of 12 digits or more, that no other id or name begins with."""
    from bisect import bisect_left, bisect_right

    for length in range(SHORT_ID, len(identifier)):
        prefix = identifier[:length]
        if bisect_right(ordered, prefix + "\U0010ffff") - bisect_left(ordered, prefix) == 1:
            return prefix
    return identifier
