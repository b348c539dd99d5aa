"""The columns of a container's row: header, cell and sort value in one object.

The list and the view draw the same columns; neither knows a position or looks up a header.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from rtscope.errors import UsageError
from rtscope.model.inventory import Container
from rtscope.model.state import State
from rtscope.render.column import Column, Context, newest_value, number_value, text_value
from rtscope.render.ids import SHORT_ID, is_hex_id, short_ids
from rtscope.render.style import Style
from rtscope.render.units import age_text, instant_text
from rtscope.render.words import (
    layers_text,
    state_style,
    state_text,
    verdict_rank,
    verdict_style,
)


def last_change(container: Container) -> datetime | None:
    """The newest instant that any source gave of it."""
    known = (container.created_at, container.started_at, container.finished_at)
    return max((at for at in known if at is not None), default=None)


def since(container: Container) -> datetime | None:
    """When the present state began; None where no source said it."""
    if container.state is State.STOPPED:
        return container.finished_at
    if container.state in (State.RUNNING, State.PAUSED):
        return container.started_at or container.created_at
    return container.created_at


def name_text(container: Container, context: Context) -> str:
    """The name; where it is only the id once more, as short as that."""
    if container.name == container.id and not context.is_full:
        return context.short_ids.get(container.key, container.id)
    return container.name or ""


_DEFAULT_REGISTRY = ("docker.io/library/", "docker.io/")
"""Source: distribution/reference, normalize.go: what a name without a host means."""


def image_text(container: Container, context: Context) -> str:
    """The image as docker's users know it: without the default registry, digests to 12 digits."""
    ref = container.image_ref or container.image_id or ""
    if context.is_full:
        return ref
    for prefix in _DEFAULT_REGISTRY:
        ref = ref.removeprefix(prefix)
    name, at, digest = ref.partition("@")
    if at:
        return f"{name}@{_short_digest(digest)}"
    return _short_digest(ref) if is_hex_id(ref.removeprefix("sha256:")) else ref


def _short_digest(digest: str) -> str:
    algorithm, colon, value = digest.rpartition(":")
    return f"{algorithm}{colon}{value[:SHORT_ID]}"


def engine_text(container: Container) -> str:
    """The engine, marked where the container belongs to another user or runs inside another."""
    marks = []
    if container.uid:
        marks.append(f"uid {container.uid}")
    if container.nested_in:
        marks.append("nested")
    return f"{container.engine.value} ({', '.join(marks)})" if marks else container.engine.value


def _age(at: datetime | None, context: Context) -> str:
    return "" if at is None else age_text((context.now - at).total_seconds())


def _instant(at: datetime | None, context: Context) -> str:
    return "" if at is None else instant_text(at, is_utc=context.is_utc)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _pod_text(container: Container) -> str:
    pod = container.pod
    if pod is None:
        return ""
    return "/".join(part for part in (pod.namespace, pod.name) if part) or (pod.uid or "")


def _labels_text(container: Container) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(container.labels.items()))


def _plain(
    key: str,
    title: str,
    read: Callable[[Container], str | None],
    *,
    is_wide: bool = False,
    max_width: int = 40,
) -> Column:
    """A column whose cell is a fact as it stands."""
    return Column(
        key=key,
        header=key.upper().replace("_", "-"),
        title=title,
        cell=lambda c, _: read(c) or "",
        sort_value=lambda c: text_value(read(c) or None),
        priority=8,
        is_wide=is_wide,
        max_width=max_width,
        min_width=6,
    )


def _time(key: str, title: str, read: Callable[[Container], datetime | None]) -> Column:
    return Column(
        key=key,
        header=key.upper(),
        title=title,
        cell=lambda c, ctx: _instant(read(c), ctx),
        sort_value=lambda c: newest_value(read(c)),
        priority=8,
        min_width=19,
        needs=frozenset({"finished_at"}) if key != "created" else frozenset(),
        is_wide=key == "created",
    )


COLUMNS: tuple[Column, ...] = (
    Column(
        key="id",
        header="ID",
        title="id, shortened as far as it stays unambiguous",
        cell=lambda c, ctx: c.id if ctx.is_full else ctx.short_ids.get(c.key, c.id),
        sort_value=lambda c: text_value(c.id),
        priority=3,
        min_width=SHORT_ID,
        max_width=24,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="name",
        header="NAME",
        title="name that the engine gave it",
        cell=name_text,
        sort_value=lambda c: text_value(c.name),
        priority=0,
        min_width=14,
        max_width=48,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="image",
        header="IMAGE",
        title="image as it was asked for",
        cell=image_text,
        sort_value=lambda c: text_value(c.image_ref or c.image_id),
        priority=6,
        min_width=18,
        max_width=44,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="engine",
        header="ENGINE",
        title="highest layer that has a record of it",
        cell=lambda c, _: engine_text(c),
        sort_value=lambda c: text_value(engine_text(c)),
        priority=4,
        min_width=10,
        max_width=24,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="state",
        header="STATE",
        title="state, with exit code, OOM or health where there is something to say",
        cell=lambda c, _: state_text(c),
        sort_value=lambda c: text_value(state_text(c)),
        priority=0,
        min_width=17,
        max_width=30,
        is_default=True,
        is_wide=True,
        style=state_style,
    ),
    Column(
        key="age",
        header="AGE",
        title="time in this state: since it started, or since it exited",
        cell=lambda c, ctx: _age(since(c), ctx),
        sort_value=lambda c: newest_value(since(c)),
        priority=2,
        needs=frozenset({"finished_at"}),
        is_right=True,
        min_width=4,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="restarts",
        header="RESTARTS",
        title="how often the engine restarted it",
        cell=lambda c, _: _number(c.restart_count),
        sort_value=lambda c: number_value(c.restart_count),
        priority=7,
        needs=frozenset({"restart_count"}),
        is_right=True,
        min_width=8,
        is_default=True,
        is_wide=True,
        style=lambda c: Style.WARN if c.restart_count else Style.PLAIN,
    ),
    Column(
        key="pid",
        header="PID",
        title="init process in the host's pid namespace",
        cell=lambda c, _: _number(c.pid),
        sort_value=lambda c: number_value(c.pid),
        priority=3,
        is_right=True,
        min_width=7,
        is_default=True,
        is_wide=True,
    ),
    Column(
        key="layers",
        header="LAYERS",
        title="which layers know it, miss it, disagree or could not be asked",
        cell=lambda c, _: layers_text(c),
        sort_value=lambda c: (0, float(verdict_rank(c.verdict)), layers_text(c)),
        priority=1,
        min_width=9,
        max_width=44,
        is_default=True,
        is_wide=True,
        style=lambda c: verdict_style(c.verdict),
    ),
    _plain("namespace", "containerd's namespace", lambda c: c.namespace, is_wide=True),
    _plain("pod", "pod, as NAMESPACE/NAME", _pod_text, is_wide=True),
    _plain("runtime", "OCI runtime", lambda c: c.oci_runtime, is_wide=True),
    Column(
        key="shim",
        header="SHIM",
        title="pid of the shim or monitor",
        cell=lambda c, _: _number(c.shim_pid),
        sort_value=lambda c: number_value(c.shim_pid),
        priority=8,
        is_right=True,
        min_width=7,
        is_wide=True,
    ),
    _plain("health", "result of the engine's health check", lambda c: c.health, is_wide=True),
    _time("created", "instant of creation", lambda c: c.created_at),
    _plain("command", "what it runs", lambda c: c.command, is_wide=True),
    _time("started", "instant of its start", lambda c: c.started_at),
    _time("finished", "instant of its end", lambda c: c.finished_at),
    _plain("origin", "store that holds its record", lambda c: c.origin),
    _plain("endpoint", "endpoint that has its record", lambda c: c.endpoint),
    _plain("runtime_type", "shim's type", lambda c: c.runtime_type),
    _plain("bundle", "bundle directory", lambda c: c.bundle_dir, max_width=80),
    _plain("cgroup", "cgroup path", lambda c: c.cgroup_path, max_width=80),
    _plain("labels", "labels", _labels_text, max_width=80),
    _plain("nested_in", "container that it runs in", lambda c: c.nested_in),
    _plain("user", "uid of the store's owner", lambda c: str(c.uid or 0)),
    _plain("problem", "what its worst layer says", lambda c: c.problem, max_width=100),
    _plain("key", "key of the row, stable between two readings", lambda c: c.key),
)

DEFAULT: tuple[Column, ...] = tuple(c for c in COLUMNS if c.is_default)
WIDE: tuple[Column, ...] = tuple(c for c in COLUMNS if c.is_wide)
BY_KEY: Mapping[str, Column] = {column.key: column for column in COLUMNS}


def column(key: str) -> Column:
    """The column of that key.

    Raises:
        UsageError: there is none.
    """
    found = BY_KEY.get(key.strip().lower().replace("-", "_"))
    if found is None:
        raise UsageError(f"column {key!r}: there is none", f"known: {', '.join(BY_KEY)}")
    return found


def chosen(base: Sequence[Column], wanted: str | None) -> tuple[Column, ...]:
    """The columns that `--columns` asks for: `id,name` replaces, `+x,-y` changes the base."""
    words = [word.strip() for word in (wanted or "").split(",") if word.strip()]
    kept = list(base) if all(word[0] in "+-" for word in words) else []
    for word in words:
        one = column(word.lstrip("+-"))
        if word[0] == "-":
            kept = [c for c in kept if c.key != one.key]
        elif one not in kept:
            kept.append(one)
    if not kept:
        raise UsageError("--columns: no column is left", f"known: {', '.join(BY_KEY)}")
    return tuple(kept)


def needs_of(columns: Iterable[Column]) -> frozenset[str]:
    """The facts that these columns want beyond a cheap list."""
    return frozenset().union(*(c.needs for c in columns))


def context_of(
    containers: Iterable[Container],
    now: datetime | None,
    *,
    is_full: bool = False,
    is_utc: bool = False,
) -> Context:
    """The context of one drawing; `containers` are all of the inventory, shown or not."""
    return Context(
        now=now or datetime.now(UTC),
        short_ids=short_ids(containers),
        is_full=is_full,
        is_utc=is_utc,
    )
