"""The processes of one container as a tree: pid, state, user, age and command."""

import pwd
from collections.abc import Iterator

from rtscope.model.inventory import Container, Inventory
from rtscope.model.records import Process
from rtscope.model.state import State
from rtscope.render.units import age_text
from rtscope.render.width import width as width_of
from rtscope.tui.pieces import Piece, Pieces, fitted
from rtscope.tui.views.chain import Line

_WORDS = {
    "R": "running",
    "S": "sleeping",
    "D": "blocked D",
    "T": "stopped T",
    "t": "traced t",
    "Z": "zombie Z",
    "I": "idle",
    "X": "dead X",
}
"""Source: proc_pid_stat(5), field 3."""

_BAD = frozenset({"D", "T", "t", "Z", "X"})
_users: dict[int, str] = {}


def process_lines(inventory: Inventory, container: Container, now_ns: int) -> list[Line]:
    """One line a process, init first."""
    found = [
        inventory.processes[key.pid]
        for key in container.processes
        if key.pid in inventory.processes and inventory.processes[key.pid].key == key
    ]
    if not found:
        return [("none", [(_why_none(container), "dim")])]
    rows = list(_ordered(found))
    users = max(4, *(width_of(user_name(p.uid)) for p, _ in rows))
    head = f"{'PID':>8}  {'STATE':<10}{fitted('USER', users)}  {'AGE':>5}  COMMAND"
    lines: list[Line] = [("head", [(head, "head")])]
    is_paused = container.state is State.PAUSED
    for process, prefix in rows:
        lines.append(
            (str(process.key.pid), _row(process, prefix, users, inventory, now_ns, is_paused))
        )
    return lines


def _why_none(container: Container) -> str:
    if container.state in (State.STOPPED, State.CREATED):
        return f"no process: the container is {container.state.value}"
    return "no process of it is known"


def _row(
    process: Process, prefix: str, users: int, inventory: Inventory, now_ns: int, is_paused: bool
) -> Pieces:
    word = _WORDS.get(process.state, process.state)
    tone = "problem" if process.state in _BAD else "plain"
    if is_paused and process.is_frozen is not False:
        word, tone = "frozen", "warn"
    age_s = now_ns / 1e9 - process.key.start / inventory.node.clk_tck
    if process.cmdline:
        command: Piece = (" ".join(process.cmdline), "plain")
    else:
        command = (f"[{process.comm}]", "dim")
    return [
        (f"{process.key.pid:>8}  ", "plain"),
        (fitted(word, 10), tone),
        (fitted(user_name(process.uid), users) + "  ", "plain"),
        (f"{age_text(age_s):>5}  ", "dim"),
        (prefix, "dim"),
        command,
    ]


def _ordered(processes: list[Process]) -> Iterator[tuple[Process, str]]:
    """Depth first, each with the lines of the tree before it."""
    pids = {process.key.pid for process in processes}
    children: dict[int, list[Process]] = {}
    for process in sorted(processes, key=lambda p: p.key):
        children.setdefault(process.ppid if process.ppid in pids else 0, []).append(process)
    waiting = [(p, "", "") for p in reversed(children.get(0, []))]
    while waiting:
        process, own, below = waiting.pop()
        yield process, own
        members = children.get(process.key.pid, [])
        for number in range(len(members) - 1, -1, -1):
            is_last = number == len(members) - 1
            fork, step = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
            waiting.append((members[number], below + fork, below + step))


def user_name(uid: int | None) -> str:
    """The node's name of the user, its number where there is none."""
    if uid is None:
        return "?"
    if uid not in _users:
        try:
            _users[uid] = pwd.getpwuid(uid).pw_name
        except KeyError:
            _users[uid] = str(uid)
    return _users[uid]
