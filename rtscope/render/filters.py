"""`--filter KEY=VALUE`: the same key means or, different keys mean and."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from rtscope.errors import UsageError
from rtscope.model.facts import fact
from rtscope.model.inventory import Container
from rtscope.model.state import Engine, Layer, State, Verdict
from rtscope.render.words import plain_word

_YES = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

_ALIASES = {"status": "state", "ancestor": "image", "uid": "user"}
"""What users of docker type."""


@fact
class Filter:
    """One `KEY=VALUE`."""

    key: str
    value: str


def parse_filter(text: str) -> Filter:
    """A filter from the command line.

    Raises:
        UsageError: no `=`, a key that does not exist, a value that the key cannot have.
    """
    key, equals, value = text.partition("=")
    key = _ALIASES.get(key.strip().lower(), key.strip().lower())
    if not equals or key not in _MATCHERS:
        raise UsageError(
            f"filter {text!r}: {'no such key' if equals else 'not KEY=VALUE'}",
            f"keys: {', '.join(_MATCHERS)}",
        )
    allowed = _ALLOWED.get(key)
    if allowed is not None and value.lower() not in allowed:
        raise UsageError(f"filter {text!r}: no such {key}", f"one of: {', '.join(allowed)}")
    if key in ("pid", "exited") and not value.isdecimal():
        raise UsageError(f"filter {text!r}: not a number")
    return Filter(key=key, value=value)


def matches(container: Container, filters: Iterable[Filter]) -> bool:
    """Whether the container passes: one of each key's values fits."""
    by_key: dict[str, bool] = {}
    for one in filters:
        if not by_key.get(one.key):
            by_key[one.key] = _MATCHERS[one.key](container, one.value)
    return all(by_key.values())


def _id(container: Container, value: str) -> bool:
    return container.id.startswith(value)


def _text(have: str | None, value: str) -> bool:
    """A part of it, or a pattern with `*`, `?`, `[`."""
    if have is None:
        return False
    if any(char in value for char in "*?["):
        return fnmatchcase(have, value)
    return value in have


def _name(container: Container, value: str) -> bool:
    return _text(container.name, value)


def _image(container: Container, value: str) -> bool:
    ref = container.image_ref or ""
    identifier = (container.image_id or "").removeprefix("sha256:")
    if any(char in value for char in "*?["):
        return fnmatchcase(ref, value)
    if len(value) >= 6 and identifier.startswith(value.removeprefix("sha256:")):
        return True
    repository = _repository(ref)
    return bool(ref) and (
        value in (ref, repository) or f"/{ref}".endswith(f"/{value}") or _ends(repository, value)
    )


def _repository(ref: str) -> str:
    """The reference without tag and digest; a port's colon stays."""
    plain = ref.partition("@")[0]
    head, slash, tail = plain.rpartition("/")
    return head + slash + tail.partition(":")[0]


def _ends(repository: str, value: str) -> bool:
    return repository.endswith("/" + value)


def _state(container: Container, value: str) -> bool:
    raw = plain_word(container.state_raw) if container.state_raw else None
    return value.lower() in (container.state.value, raw)


def _label(container: Container, value: str) -> bool:
    key, equals, wanted = value.partition("=")
    have = container.labels.get(key)
    if have is None:
        return False
    return not equals or have == wanted


def _namespace(container: Container, value: str) -> bool:
    return (container.namespace or "") == value


def _engine(container: Container, value: str) -> bool:
    return container.engine.value == value.lower()


def _runtime(container: Container, value: str) -> bool:
    """Any engine's or OCI runtime's name, or the shim's type."""
    wanted = value.lower()
    names = (container.engine.value, container.oci_runtime, container.runtime_type)
    return any(wanted in (name.lower(), name.rpartition("/")[2].lower()) for name in names if name)


def _pid(container: Container, value: str) -> bool:
    return has_pid(container, int(value))


def has_pid(container: Container, pid: int) -> bool:
    """Whether the process is the container's init, or any other of its processes."""
    return container.pid == pid or any(key.pid == pid for key in container.processes)


def _exited(container: Container, value: str) -> bool:
    return container.state is State.STOPPED and container.exit_code == int(value)


def _pod(container: Container, value: str) -> bool:
    pod = container.pod
    if pod is None:
        return False
    namespace, slash, name = value.rpartition("/")
    if slash and namespace != pod.namespace:
        return False
    return _text(pod.name, name) or (bool(value) and value in (pod.uid, pod.sandbox_id))


def _health(container: Container, value: str) -> bool:
    return (container.health or "none").lower() == value.lower()


def _verdict(container: Container, value: str) -> bool:
    """Of the row, `verdict=missing`, or of one layer, `verdict=shim:missing`."""
    layer, colon, word = value.lower().rpartition(":")
    if not colon:
        return container.verdict.value == word
    view = container.layers.get(Layer(layer)) if layer in set(Layer) else None
    return view is not None and view.verdict.value == word


def _nested(container: Container, value: str) -> bool:
    return (container.nested_in is not None) is _YES[value.lower()]


def _user(container: Container, value: str) -> bool:
    return (container.uid or 0) == _uid_of(value)


def _uid_of(value: str) -> int:
    if value.isdecimal():
        return int(value)
    import pwd

    try:
        return pwd.getpwnam(value).pw_uid
    except KeyError as error:
        raise UsageError(f"filter 'user={value}': no such user here") from error


_MATCHERS: Mapping[str, Callable[[Container, str], bool]] = {
    "id": _id,
    "name": _name,
    "image": _image,
    "state": _state,
    "label": _label,
    "namespace": _namespace,
    "engine": _engine,
    "runtime": _runtime,
    "pid": _pid,
    "exited": _exited,
    "pod": _pod,
    "health": _health,
    "verdict": _verdict,
    "nested": _nested,
    "user": _user,
}

_VERDICTS = (*Verdict, *(f"{layer}:{verdict}" for layer in Layer for verdict in Verdict))

_ALLOWED: Mapping[str, tuple[str, ...]] = {
    "engine": tuple(Engine),
    "nested": tuple(_YES),
    "verdict": _VERDICTS,
}

KEYS: tuple[str, ...] = tuple(_MATCHERS)
