"""JSON documents as lines that fold and can be searched."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rtscope.model.facts import fact
from rtscope.render.escape import visible
from rtscope.tui.pieces import Piece, Pieces
from rtscope.tui.views.chain import Line

_DEEP = 3
"""Objects below this depth start folded."""


@fact(eq=False)
class Loaded:
    """A document as it came, or why it did not.

    Attributes:
        removed: How many values redaction took out.
        error: Why there is none; empty while it is on its way, too.
    """

    name: str
    document: Any = None
    removed: int = 0
    error: str = ""
    is_here: bool = False


class Folding:
    """Which branches are open, and what is searched for."""

    def __init__(self) -> None:
        self._chosen: dict[str, bool] = {}
        self.search = ""

    def is_open(self, path: str, depth: int) -> bool:
        return self._chosen.get(path, depth < _DEEP)

    def turn(self, path: str, depth: int) -> None:
        self._chosen[path] = not self.is_open(path, depth)

    def unfold_to(self, path: str) -> None:
        """Open everything above a line."""
        while "\x1f" in path:
            path = path.rpartition("\x1f")[0]
            self._chosen[path] = True


def raw_lines(documents: Mapping[str, Loaded], folding: Folding) -> list[Line]:
    """Every document under a heading of its own."""
    lines: list[Line] = []
    for key, loaded in documents.items():
        is_open = folding.is_open(key, 0)
        lines.append((key, _heading(loaded, is_open)))
        if is_open and loaded.is_here and not loaded.error:
            for name, member in _roots(loaded.document):
                lines.extend(_value(name, member, key, 1, folding))
    return lines or [("none", [("no source of it has documents", "dim")])]


def _heading(loaded: Loaded, is_open: bool) -> Pieces:
    sign = "▾ " if is_open else "▸ "
    pieces: list[Piece] = [(sign, "accent"), (loaded.name, "head")]
    if loaded.error:
        pieces.append((f"  {loaded.error}", "warn"))
    elif not loaded.is_here:
        pieces.append(("  asking", "dim"))
    elif loaded.removed:
        pieces.append((f"  {loaded.removed} values removed", "warn"))
    return pieces


def _value(name: str, value: Any, path: str, depth: int, folding: Folding) -> Iterator[Line]:
    own = f"{path}\x1f{name}"
    indent = "  " * depth
    head: list[Piece] = [(indent, "plain")]
    members = _members(value)
    if members:
        is_open = folding.is_open(own, depth)
        head.append(("▾ " if is_open else "▸ ", "accent"))
        head += _marked(name, "plain", folding.search)
        if not is_open:
            count = f"{len(members)} {'entry' if len(members) == 1 else 'entries'}"
            head.append((f"  {count}", "dim"))
        yield own, head
        if is_open:
            for key, member in members:
                yield from _value(key, member, own, depth + 1, folding)
        return
    head.append(("  ", "plain"))
    if name:
        head += _marked(name, "plain", folding.search)
        head.append((": ", "dim"))
    tone = "dim" if value in (None, "", [], {}) else "ok" if isinstance(value, str) else "accent"
    head += _marked(_text(value), tone, folding.search)
    yield own, head


def _roots(document: Any) -> list[tuple[str, Any]]:
    """What stands right below the heading."""
    return _members(document) or [("", document)]


def _members(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), member) for key, member in value.items()]
    if isinstance(value, list):
        return [(str(number), member) for number, member in enumerate(value)]
    return []


def _text(value: Any) -> str:
    if isinstance(value, str):
        return visible(value) or '""'
    return json.dumps(value)


def _marked(text: str, tone: str, search: str) -> Iterator[Piece]:
    """The text with every match of the search marked."""
    text = visible(text)
    folded, wanted = text.casefold(), search.casefold()
    at = 0
    while wanted and len(folded) == len(text):
        found = folded.find(wanted, at)
        if found < 0:
            break
        if found > at:
            yield text[at:found], tone
        yield text[found : found + len(wanted)], "match"
        at = found + len(wanted)
    if at < len(text):
        yield text[at:], tone


def matching_paths(documents: Mapping[str, Loaded], search: str) -> list[str]:
    """Paths of every line that holds the text, folded ones too, in order."""
    wanted = search.casefold()
    if not wanted:
        return []
    found: list[str] = []
    for key, loaded in documents.items():
        if loaded.is_here and not loaded.error:
            for name, member in _roots(loaded.document):
                found.extend(_matching(name, member, key, wanted))
    return found


def _matching(name: str, value: Any, path: str, wanted: str) -> Iterator[str]:
    own = f"{path}\x1f{name}"
    members = _members(value)
    text = name if members else f"{name}: {_text(value)}"
    if wanted in visible(text).casefold():
        yield own
    for key, member in members:
        yield from _matching(key, member, own, wanted)
