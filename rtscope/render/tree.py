"""The chain as a drawn tree: `node → daemon → namespace → container → shim → process`."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from rtscope.correlate.nodes import TreeNode
from rtscope.model.facts import fact, replace
from rtscope.model.state import Verdict
from rtscope.render.escape import visible
from rtscope.render.ids import SHORT_ID, is_hex_id
from rtscope.render.style import Style, paint
from rtscope.render.text import Paper
from rtscope.render.width import cut, width
from rtscope.render.words import verdict_style

PROCESSES_SHOWN = 6
"""Children of one process that are drawn before the rest is counted."""

_PLAIN_KINDS = frozenset({"node", "process", "daemon", "owner"})
_SICK = frozenset({"stopped", "blocked", "silent", "dead", "T", "D", "Z"})
_LETTERS = {
    "T": "stopped (T)",
    "t": "traced (t)",
    "D": "blocked (D)",
    "Z": "zombie (Z)",
    "X": "dead (X)",
}
"""Source: proc_pid_stat(5), field 3."""

_PROCESS_KINDS = frozenset({"process", "cgroup"})


@fact
class Branches:
    """The signs that a tree is drawn with."""

    fork: str
    last: str
    through: str
    empty: str


UNICODE = Branches(fork="├─ ", last="└─ ", through="│  ", empty="   ")
ASCII = Branches(fork="|- ", last="`- ", through="|  ", empty="   ")


def prune(nodes: Iterable[TreeNode], is_wanted: Callable[[TreeNode], bool]) -> list[TreeNode]:
    """The wanted nodes with everything above and below them."""
    every = {node.key: node for node in nodes}
    kept: set[str] = set()
    for node in every.values():
        if is_wanted(node):
            _keep_below(node.key, every, kept)
            _keep_above(node, every, kept)
    return [_with_children(node, kept) for node in every.values() if node.key in kept]


def _keep_below(key: str, every: Mapping[str, TreeNode], kept: set[str]) -> None:
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if one in every and one not in kept:
            kept.add(one)
            waiting.extend(every[one].children)


def _keep_above(node: TreeNode, every: Mapping[str, TreeNode], kept: set[str]) -> None:
    parent = node.parent
    while parent is not None and parent in every and parent not in kept:
        kept.add(parent)
        parent = every[parent].parent


def _with_children(node: TreeNode, kept: set[str]) -> TreeNode:
    return replace(node, children=tuple(key for key in node.children if key in kept))


def without(nodes: Iterable[TreeNode], is_hidden: Callable[[TreeNode], bool]) -> list[TreeNode]:
    """The nodes that are not hidden; what stands below a hidden node goes with it."""
    every = {node.key: node for node in nodes}
    kept: set[str] = set()
    for node in every.values():
        if node.parent is None or node.parent not in every:
            waiting = [node.key]
            while waiting:
                one = every[waiting.pop()]
                if not is_hidden(one) and one.key not in kept:
                    kept.add(one.key)
                    waiting.extend(key for key in one.children if key in every)
    return [_with_children(node, kept) for node in every.values() if node.key in kept]


def without_processes(nodes: Iterable[TreeNode]) -> list[TreeNode]:
    """The chain down to the OCI runtime."""
    return without(nodes, lambda node: node.kind in _PROCESS_KINDS)


def to_depth(nodes: Iterable[TreeNode], depth: int) -> list[TreeNode]:
    """The nodes at most `depth` steps below a root; a root is at 0."""
    every = {node.key: node for node in nodes}

    def level(node: TreeNode) -> int:
        steps = 0
        while node.parent is not None and node.parent in every and steps <= depth:
            node = every[node.parent]
            steps += 1
        return steps

    kept = {node.key for node in every.values() if level(node) <= depth}
    return [_with_children(node, kept) for node in every.values() if node.key in kept]


def tree_lines(nodes: Sequence[TreeNode], paper: Paper) -> list[str]:
    """One line a node."""
    every = {node.key: node for node in nodes}
    signs = UNICODE if paper.is_unicode else ASCII
    every = _with_words(every)
    lines: list[str] = []
    for node in nodes:
        if node.parent not in every:
            _draw(every[node.key], every, signs, paper, lines)
    return lines


def _with_words(every: Mapping[str, TreeNode]) -> dict[str, TreeNode]:
    """Nodes whose words depend on others: a pod's pause container, a paused one's processes."""
    pods = {node.id for node in every.values() if node.kind == "pod" and node.id}
    paused = {n.container for n in every.values() if n.kind == "container" and n.state == "paused"}
    told: dict[str, TreeNode] = {}
    for key, node in every.items():
        if node.kind == "container" and node.id in pods:
            node = replace(node, detail=f"sandbox {node.detail}".rstrip())
        elif node.kind == "process" and node.state == "D" and node.container in paused:
            node = replace(node, state="frozen")
        told[key] = node
    return told


def _draw(
    root: TreeNode,
    every: Mapping[str, TreeNode],
    signs: Branches,
    paper: Paper,
    lines: list[str],
) -> None:
    """Depth first without recursion: a chain of processes may be deeper than Python's stack."""
    waiting: list[tuple[TreeNode | str, str, str]] = [(root, "", "")]
    while waiting:
        node, own, below = waiting.pop()
        if isinstance(node, str):
            lines.append(_fitted(own, [(node, Style.DIM)], paper))
            continue
        children = _shown_children(node, every, paper)
        has_process = any(isinstance(c, TreeNode) and c.pid == node.pid for c in children)
        lines.append(_fitted(own, label(node, has_process=has_process), paper))
        for index, child in reversed(list(enumerate(children))):
            is_last = index == len(children) - 1
            branch, step = (signs.last, signs.empty) if is_last else (signs.fork, signs.through)
            waiting.append((child, below + branch, below + step))


def _shown_children(
    node: TreeNode, every: Mapping[str, TreeNode], paper: Paper
) -> list[TreeNode | str]:
    children: list[TreeNode | str] = [every[key] for key in node.children if key in every]
    processes = [c for c in children if isinstance(c, TreeNode) and c.kind == "process"]
    if paper.is_full or len(processes) <= PROCESSES_SHOWN + 1 or len(processes) != len(children):
        return children
    rest = len(children) - PROCESSES_SHOWN
    return [*children[:PROCESSES_SHOWN], f"{paper.ellipsis} {rest} more processes (--no-trunc)"]


def label(node: TreeNode, *, has_process: bool = False) -> list[tuple[str, Style]]:
    """The pieces of a node's line: kind, name, id, pid, state, detail, and what is wrong.

    Args:
        node: The node.
        has_process: Its init is drawn below it, with its pid.
    """
    pieces: list[tuple[str, Style]] = []
    if node.kind not in _PLAIN_KINDS and not node.name.startswith(node.kind):
        pieces.append((node.kind, Style.DIM))
    name = visible(node.name)
    detail = visible(node.detail)
    if node.kind == "process" and detail.startswith(node.name):
        name, detail = detail, ""
    if name:
        pieces.append((name, Style.HEAD if node.kind in ("node", "container") else Style.PLAIN))
    if node.id and node.id != node.name:
        pieces.append((_short(node.id), Style.DIM if name else Style.PLAIN))
    if node.pid is not None and not (has_process and node.kind == "container"):
        pieces.insert(0 if node.kind == "process" else len(pieces), _pid(node))
    if node.state and not _is_quiet(node):
        pieces.append((_state_word(node), _state_style(node)))
    if detail:
        pieces.append((detail, Style.DIM))
    return pieces + _wrong(node)


def _pid(node: TreeNode) -> tuple[str, Style]:
    return (str(node.pid) if node.kind == "process" else f"pid {node.pid}", Style.DIM)


def _wrong(node: TreeNode) -> list[tuple[str, Style]]:
    if node.verdict in (Verdict.DIFFERS, Verdict.MISSING, Verdict.UNKNOWN):
        sign = "?" if node.verdict is Verdict.UNKNOWN else "!"
        why = f": {visible(node.why)}" if node.why else ""
        return [(f"{sign} {node.verdict.value}{why}", verdict_style(node.verdict))]
    return [(visible(node.why), Style.WARN)] if node.why else []


def _is_quiet(node: TreeNode) -> bool:
    """A sleeping or running process is what everybody expects."""
    return node.kind in ("process", "shim") and node.state in ("S", "R", "I")


def _state_word(node: TreeNode) -> str:
    state = node.state or ""
    return _LETTERS.get(state, visible(state))


def _short(identifier: str) -> str:
    return identifier[:SHORT_ID] if is_hex_id(identifier) else visible(identifier)


def _state_style(node: TreeNode) -> Style:
    if node.state in ("running", "ok"):
        return Style.OK
    if (
        node.state in ("stopped", "blocked", "silent", "dead", "T", "D")
        and node.kind != "container"
    ):
        return Style.PROBLEM
    return Style.WARN if node.state in ("paused", "slow", "denied", "unknown") else Style.PLAIN


def _fitted(prefix: str, pieces: Sequence[tuple[str, Style]], paper: Paper) -> str:
    """Prefix and pieces on one line; on a terminal the last ones are cut."""
    limit = None if paper.is_full else paper.columns
    parts = [prefix]
    used = width(prefix)
    for index, (text, style) in enumerate(pieces):
        gap = " " if index else ""
        if limit is not None:
            room = limit - used - len(gap)
            if room < width(paper.ellipsis):
                break
            text = cut(text, room, paper.ellipsis)
        used += len(gap) + width(text)
        parts.append(gap + paint(text, style, paper.is_colour))
    line = "".join(parts)
    return line if limit is None or used <= limit else cut(line, limit, "")
