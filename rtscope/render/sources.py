"""The table of sources, and the sentences that say where a fault lies."""

from collections.abc import Callable, Iterable, Sequence

from rtscope.model.facts import fact
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Endpoint
from rtscope.model.state import ANSWERED, EndpointState, Engine, Layer, State, Verdict
from rtscope.render.escape import visible
from rtscope.render.style import Style
from rtscope.render.text import Cell, Shape
from rtscope.render.units import ms_text
from rtscope.render.words import endpoint_style, listed

CONTAINERS_TOLD = 5
"""Containers with a fault that get a sentence of their own."""

_DAEMON = {"docker": "dockerd", "containerd": "containerd", "cri": "cri", "podman": "podman"}

_ENGINE_KINDS = {
    Engine.DOCKER: ("docker", "dockerfs"),
    Engine.PODMAN: ("podman", "podmanfs"),
    Engine.CRI: ("cri",),
    Engine.CONTAINERD: ("containerd",),
    Engine.OCI: ("oci",),
}


@fact
class SourceColumn:
    """One column of the table of sources."""

    shape: Shape
    cell: Callable[[Endpoint], str]
    style: Callable[[Endpoint], Style] = lambda _endpoint: Style.PLAIN
    is_wide: bool = False


def _right(header: str, priority: int, cell: Callable[[Endpoint], str]) -> SourceColumn:
    return SourceColumn(
        shape=Shape(header=header, priority=priority, is_right=True, min_width=len(header)),
        cell=cell,
    )


def _state_text(endpoint: Endpoint) -> str:
    marks = []
    if endpoint.holder_state in ("T", "t", "D"):
        marks.append(endpoint.holder_state)
    if endpoint.is_remote:
        marks.append("another node")
    if endpoint.nested_in is not None:
        marks.append("nested")
    return endpoint.state.value + (f" ({', '.join(marks)})" if marks else "")


def _pid(endpoint: Endpoint) -> str:
    return "" if endpoint.daemon is None else str(endpoint.daemon.pid)


def _queue(endpoint: Endpoint) -> str:
    return "" if endpoint.queue is None else str(endpoint.queue)


COLUMNS: tuple[SourceColumn, ...] = (
    SourceColumn(
        shape=Shape(header="SOURCE", priority=0, min_width=44, max_width=64),
        cell=lambda e: e.source,
    ),
    SourceColumn(
        shape=Shape(header="STATE", priority=0, min_width=8),
        cell=_state_text,
        style=lambda e: endpoint_style(e.state),
    ),
    SourceColumn(
        shape=Shape(header="VERSION", priority=4, min_width=6, max_width=20),
        cell=lambda e: e.version or "",
    ),
    _right("PID", 3, _pid),
    _right("CONNECT-MS", 7, lambda e: ms_text(e.connect_ms)),
    _right("ANSWER-MS", 2, lambda e: ms_text(e.first_answer_ms)),
    _right("QUEUE", 5, _queue),
    SourceColumn(
        shape=Shape(header="FOUND-BY", priority=6, min_width=12, max_width=60),
        cell=lambda e: ", ".join(e.found_by),
    ),
    SourceColumn(
        shape=Shape(header="ORIGIN", priority=8, min_width=10, max_width=48),
        cell=lambda e: e.origin or "",
        is_wide=True,
    ),
    SourceColumn(
        shape=Shape(header="WCHAN", priority=8, min_width=6),
        cell=lambda e: e.wchan or "",
        is_wide=True,
    ),
    SourceColumn(
        shape=Shape(header="ASKED", priority=8, min_width=10, max_width=60),
        cell=lambda e: ", ".join(e.asked),
        is_wide=True,
    ),
    SourceColumn(
        shape=Shape(header="DETAIL", priority=8, min_width=10, max_width=60),
        cell=lambda e: e.skip_detail,
        is_wide=True,
    ),
)


def in_order(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    """What failed first, then what answered, then what is merely not there."""
    return sorted(endpoints, key=lambda e: (_rank(e.state), e.kind, e.address))


def _rank(state: EndpointState) -> int:
    if state in ANSWERED:
        return 1
    return 2 if state in (EndpointState.ABSENT, EndpointState.INACTIVE) else 0


def cells(endpoints: Iterable[Endpoint], columns: Sequence[SourceColumn]) -> list[list[Cell]]:
    """The rows of the table."""
    return [[Cell(text=c.cell(e), style=c.style(e)) for c in columns] for e in endpoints]


def chains(inventory: Inventory, *, arrow: str = "→") -> list[str]:
    """Sentences from daemon to process: one an engine, then one for each sick container."""
    containers = [c for c in inventory.containers if not c.is_sandbox]
    groups: dict[tuple[str, str], list[Container]] = {}
    for container in containers:
        groups.setdefault((container.engine.value, container.origin), []).append(container)
    engines = [engine for engine, _ in groups]
    sentences = [
        _of_engine(inventory, group, arrow, is_one=engines.count(engine) == 1)
        for (engine, _), group in sorted(groups.items())
        if engine != Engine.OCI or any(c.verdict is not Verdict.OK for c in group)
    ]
    sick = [c for c in containers if c.has_problem or c.verdict is Verdict.UNKNOWN]
    sick.sort(key=lambda c: (not c.has_problem, c.name or c.id))
    sentences += [container_sentence(inventory, c, arrow) for c in sick[:CONTAINERS_TOLD]]
    if len(sick) > CONTAINERS_TOLD:
        rest = len(sick) - CONTAINERS_TOLD
        sentences.append(f"{rest} more like these: rtscope ps --problems")
    return sentences


def _of_engine(
    inventory: Inventory, group: Sequence[Container], arrow: str, *, is_one: bool
) -> str:
    live = [c for c in group if c.state in (State.RUNNING, State.PAUSED)]
    steps = _daemon_steps(inventory, (live or group)[0])
    if not is_one:
        steps[0] += f" ({visible(group[0].origin)})"
    shims = {c.shim_pid for c in group if c.shim_pid is not None}
    if shims:
        silent = {c.shim_pid for c in group if c.shim_pid and _is_task_unknown(c)}
        steps.append(_shims_step(inventory, shims, silent))
    states = [c for c in group if _verdict(c, Layer.OCI) is not Verdict.NOT_EXPECTED]
    if states:
        good = sum(1 for c in states if _verdict(c, Layer.OCI) is Verdict.OK)
        names = "/".join(sorted({c.oci_runtime or "oci" for c in states}))
        word = f"{good}" if good == len(states) else f"{good} of {len(states)}"
        steps.append(f"{word} {names} state{'' if len(states) == 1 else 's'} ok")
    ended = len(group) - len(live)
    steps.append(_alive(live) + (f", {ended} not running" if ended else ""))
    return f" {arrow} ".join(steps)


def _alive(live: Sequence[Container]) -> str:
    known = sum(1 for c in live if c.pid is not None)
    return f"{known} init alive" if known == 1 else f"{known} inits alive"


def _shims_step(inventory: Inventory, shims: set[int], silent: set[int]) -> str:
    good = len(shims) - len(silent)
    text = f"{good} of {len(shims)} shims ok" if silent else _count(len(shims), "shim") + " ok"
    if silent:
        named = listed(_shim_text(inventory, pid) for pid in sorted(silent))
        text += f", silent: {named}"
    return text


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _shim_text(inventory: Inventory, pid: int) -> str:
    shim = next((s for s in inventory.shims if s.key.pid == pid), None)
    if shim is None or shim.process_state not in ("T", "t", "D"):
        return str(pid)
    word = "blocked" if shim.process_state == "D" else "stopped"
    return f"{pid} ({word}, state {shim.process_state})"


def container_sentence(inventory: Inventory, container: Container, arrow: str = "→") -> str:
    """From its daemon to its init: each link with how it stands, then what is wrong."""
    steps = _daemon_steps(inventory, container)
    if container.shim_pid is not None:
        word = "silent" if _is_task_unknown(container) else _word(container, Layer.SHIM)
        shim = _shim_text(inventory, container.shim_pid)
        number, space, state = shim.partition(" ")
        steps.append(f"shim {number} {word}{space}{state}")
    elif _verdict(container, Layer.SHIM) is not Verdict.NOT_EXPECTED:
        steps.append(f"shim {_word(container, Layer.SHIM)}")
    if _verdict(container, Layer.OCI) is not Verdict.NOT_EXPECTED:
        steps.append(f"{container.oci_runtime or 'oci'} state {_word(container, Layer.OCI)}")
    steps.append("init alive" if container.pid is not None else f"init {_init_word(container)}")
    name = visible(container.name or container.id)
    why = f": {visible(container.problem)}" if container.problem else ""
    return f"{name}: {f' {arrow} '.join(steps)}{why}"


def _init_word(container: Container) -> str:
    return "not known" if container.state is State.UNKNOWN else "gone"


def _is_task_unknown(container: Container) -> bool:
    return _verdict(container, Layer.TASK) is Verdict.UNKNOWN


def _word(container: Container, layer: Layer) -> str:
    return _verdict(container, layer).value.replace("_", " ")


def _verdict(container: Container, layer: Layer) -> Verdict:
    view = container.layers.get(layer)
    return Verdict.NOT_EXPECTED if view is None else view.verdict


def _daemon_steps(inventory: Inventory, container: Container) -> list[str]:
    """The daemons above it, each with how it answered."""
    engine = _engine_endpoint(inventory, container)
    steps = [] if engine is None else [_answer(engine)]
    below = _containerd(inventory, container, engine)
    if below is not None and below is not engine:
        steps.append(_answer(below))
    return steps or [container.engine.value]


def _engine_endpoint(inventory: Inventory, container: Container) -> Endpoint | None:
    kinds = _ENGINE_KINDS.get(container.engine, ())
    same = [
        e
        for e in inventory.endpoints
        if e.kind in kinds and (e.source == container.endpoint or e.origin == container.origin)
    ]
    return min(same, key=lambda e: (kinds.index(e.kind), e.address), default=None)


def _containerd(
    inventory: Inventory, container: Container, engine: Endpoint | None
) -> Endpoint | None:
    if _verdict(container, Layer.CONTAINER) is Verdict.NOT_EXPECTED:
        return None
    daemons = [e for e in inventory.endpoints if e.kind == "containerd"]
    if engine is not None and engine.below is not None:
        daemons = [e for e in daemons if e.address == engine.below]
    elif engine is not None and engine.kind == "cri":
        daemons = [e for e in daemons if e.origin == engine.origin]
    return daemons[0] if len(daemons) == 1 else None


def _answer(endpoint: Endpoint) -> str:
    name = _DAEMON.get(endpoint.kind, endpoint.kind)
    if endpoint.state in ANSWERED and endpoint.first_answer_ms is not None:
        return f"{name} {endpoint.state.value} {ms_text(endpoint.first_answer_ms)} ms"
    state = endpoint.holder_state
    mark = f" (state {state})" if state in ("T", "t", "D") else ""
    return f"{name} {endpoint.state.value}{mark}"
