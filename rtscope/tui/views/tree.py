"""The chain as a tree: dockerd, containerd, namespace or pod, shim, container, processes."""

from typing import ClassVar

from textual.app import ComposeResult

from rtscope.correlate.nodes import TreeNode
from rtscope.model.state import Verdict
from rtscope.render.tree import label
from rtscope.tui.keys import TREE
from rtscope.tui.picture import Picture
from rtscope.tui.pieces import Piece, Pieces
from rtscope.tui.views.base import View
from rtscope.tui.widgets.rows import Rows

_SICK = frozenset({Verdict.DIFFERS, Verdict.MISSING, Verdict.UNKNOWN})
_OPEN_KINDS = frozenset({"node", "daemon", "namespace"})
_FEW = 40
"""A namespace or daemon with more children than this starts closed."""


class TreeRows(Rows):
    """The rows; the view draws them."""

    view: "TreeView"

    def pieces(self, index: int, width: int) -> Pieces:
        return self.view.row(self.keys[index])


class TreeView(View):
    """Branches are opened by hand, by a sick node in them, or by the selection that it follows."""

    where: ClassVar[str] = TREE

    def __init__(self) -> None:
        super().__init__(id="tree")
        self._by_key: dict[str, TreeNode] = {}
        self._chosen: dict[str, bool] = {}
        self._sick_below: dict[str, int] = {}
        self._prefix: dict[str, str] = {}
        self._has_process: set[str] = set()
        self._source: tuple[TreeNode, ...] = ()
        self._filter = ""
        self._rows = TreeRows(id="tree-rows", empty="the node is being read")
        self._rows.view = self

    def compose(self) -> ComposeResult:
        yield self._rows

    @property
    def rows(self) -> Rows:
        return self._rows

    # ------------------------------------------------------------ what is shown
    def take(self, picture: Picture) -> None:
        self.picture = picture
        if picture.tree is self._source:
            return
        self._source = picture.tree
        self._by_key = {node.key: node for node in picture.tree}
        self._sick_below = _sick_below(picture.tree)
        self._has_process = {
            node.key for node in picture.tree
            if any(self._by_key[k].pid == node.pid for k in node.children if k in self._by_key)
        }  # fmt: skip
        self._arrange()

    def tick(self, picture: Picture) -> None:
        self.picture = picture

    def _arrange(self) -> None:
        keys: list[str] = []
        wanted = self._matching()
        self._prefix = {}
        waiting = [(node.key, "", "") for node in reversed(self._source) if node.parent is None]
        while waiting:
            key, own, below = waiting.pop()
            node = self._by_key[key]
            keys.append(key)
            self._prefix[key] = own
            if not self._is_open(node, wanted):
                continue
            children = [k for k in node.children if wanted is None or k in wanted]
            for number in range(len(children) - 1, -1, -1):
                is_last = number == len(children) - 1
                fork, step = ("└─", "  ") if is_last else ("├─", "│ ")
                waiting.append((children[number], below + fork, below + step))
        self._rows.show(keys)

    def _matching(self) -> set[str] | None:
        """Nodes that the filter names, and all above them; None without a filter."""
        if not self._filter:
            return None
        folded = self._filter.casefold()
        found: set[str] = set()
        for node in self._source:
            text = f"{node.kind} {node.name} {node.id or ''} {node.pid or ''} {node.detail}"
            if folded in text.casefold() or folded in (node.why or "").casefold():
                key: str | None = node.key
                while key is not None and key not in found:
                    found.add(key)
                    key = self._by_key[key].parent
        return found

    def _is_open(self, node: TreeNode, wanted: set[str] | None = None) -> bool:
        if not node.children:
            return False
        if wanted is not None and any(key in wanted for key in node.children):
            return True
        chosen = self._chosen.get(node.key)
        if chosen is not None:
            return chosen
        if node.kind == "node" or self._sick_below.get(node.key, 0):
            return True
        return node.kind in _OPEN_KINDS and len(node.children) <= _FEW

    # ------------------------------------------------------------ drawing
    def row(self, key: str) -> Pieces:
        node = self._by_key.get(key)
        if node is None:
            return ()
        sign = "" if not node.children else ("▾ " if self._is_shown_open(node) else "▸ ")
        pieces: list[Piece] = [(self._prefix.get(key, "") + sign, "dim")]
        if not node.children and self._prefix.get(key):
            pieces.append((" ", "dim"))
        for number, (text, style) in enumerate(label(node, has_process=key in self._has_process)):
            pieces.append((f" {text}" if number else text, style.value))
        if node.children and not self._is_shown_open(node):
            pieces += self._below(node)
            sick = self._sick_below.get(key, 0)
            if sick:
                pieces.append((f", {sick} sick", "problem"))
        return pieces

    def _below(self, node: TreeNode) -> list[Piece]:
        """What a closed branch hides: one container by its name, more by their number."""
        children = [self._by_key[key] for key in node.children if key in self._by_key]
        if node.kind == "shim" and len(children) == 1:
            child = children[0]
            tone = "ok" if child.state == "running" else "warn"
            return [(" → ", "dim"), (child.name, "head"), (f" {child.state or ''}", tone)]
        word = "process" if node.kind == "container" else "below"
        return [(f"  {len(children)} {word}", "dim")]

    def _is_shown_open(self, node: TreeNode) -> bool:
        return any(child in self._prefix for child in node.children)

    def status(self) -> Pieces:
        sick = sum(1 for node in self._source if node.verdict in _SICK)
        pieces: list[Piece] = [(f"{len(self._source)} nodes", "plain")]
        if sick:
            pieces.append((f", {sick} sick", "problem"))
        if self._filter:
            pieces.append((f" · /{self._filter}", "accent"))
        return pieces

    # ------------------------------------------------------------ what keys do
    def selected(self) -> str | None:
        """The container that the node belongs to, or that a shim serves."""
        node = self._by_key.get(self._rows.key or "")
        if node is None or node.container is not None or node.kind not in ("shim", "pod"):
            return None if node is None else node.container
        below = [self._by_key[key].container for key in node.children if key in self._by_key]
        return next((key for key in below if key is not None), None)

    def select(self, key: str) -> bool:
        """Opens the branches above a container and puts the cursor on it."""
        node = self._by_key.get(f"container|{key}")
        if node is None:
            return False
        parent = node.parent
        while parent is not None and parent in self._by_key:
            self._chosen[parent] = True
            parent = self._by_key[parent].parent
        self._arrange()
        return self._rows.move_to_key(node.key, is_centred=True)

    def open(self) -> str:
        node = self._by_key.get(self._rows.key or "")
        if node is None:
            return ""
        if node.kind == "daemon":
            return f"source {node.key}"
        if self.selected() is not None:
            return "detail"
        self.unfold(not self._is_shown_open(node))
        return ""

    def unfold(self, is_open: bool) -> None:
        """Opens the branch; closes it, or goes to its parent where it is closed already."""
        node = self._by_key.get(self._rows.key or "")
        if node is None:
            return
        if not is_open and not self._is_shown_open(node):
            if node.parent is not None:
                self._rows.move_to_key(node.parent)
            return
        self._chosen[node.key] = is_open
        self._arrange()
        self._rows.redraw()

    def filter(self, text: str) -> None:
        self._filter = text.strip()
        self._arrange()

    def filter_text(self) -> str:
        return self._filter

    def command_line(self) -> list[str]:
        return ["tree", "--all-runtimes"]


def _sick_below(nodes: tuple[TreeNode, ...]) -> dict[str, int]:
    """Key -> how many nodes below it are sick."""
    parents = {node.key: node.parent for node in nodes}
    found: dict[str, int] = {}
    for node in nodes:
        if node.verdict in _SICK and (node.kind != "daemon" or node.state != "absent"):
            parent = node.parent
            while parent is not None:
                found[parent] = found.get(parent, 0) + 1
                parent = parents.get(parent)
    return found
