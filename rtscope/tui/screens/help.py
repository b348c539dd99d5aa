"""The help: made of the keys themselves, as they are bound now."""

from collections.abc import Mapping

from rich.style import Style as Paint
from textual.app import ComposeResult
from textual.screen import ModalScreen

from rtscope.render.words import LEGEND
from rtscope.tui.keys import KEYS, SECTIONS, keys_of
from rtscope.tui.pieces import Pieces
from rtscope.tui.views.chain import Line
from rtscope.tui.widgets.rows import Rows

_KEYS_CELLS = 18

FILTER_HELP = """\
words          any field holds it; several words: all of them
name=web*      one field, as in ps --filter: id name image state label namespace engine
label=app=web  runtime pid exited pod health verdict nested user
^web-[0-9]+$   a word with ^ $ * + ? [ ] ( ) { } | \\ is a regular expression
!paused        everything but"""

COMMAND_HELP = """\
:containers :tree :sources   views        :sort COLUMN  :group engine  :columns id,name,+pod
:filter TEXT  :theme NAME    :copy id     :all :sandboxes :pause :refresh :quit"""


class HelpRows(Rows):
    """Lines that were made beforehand."""

    def __init__(self, lines: list[Line]) -> None:
        super().__init__(id="help-rows")
        self.lines = lines

    def pieces(self, index: int, width: int) -> Pieces:
        return self.lines[index][1]


class HelpScreen(ModalScreen[None]):
    """Closed by Escape, q or ?."""

    def __init__(self, keymap: Mapping[str, str], paints: Mapping[str, Paint]) -> None:
        super().__init__(id="help")
        self._paints = paints
        self.rows = HelpRows(help_lines(keymap))

    def compose(self) -> ComposeResult:
        yield self.rows

    def on_mount(self) -> None:
        self.rows.border_title = "Keys and signs — Esc closes"
        self.rows.redraw(self._paints)
        self.rows.show([key for key, _ in self.rows.lines])
        self.set_focus(self.rows)


def help_lines(keymap: Mapping[str, str]) -> list[Line]:
    """Every key with what it does, then filters, commands and the signs of LAYERS."""
    lines: list[Line] = []
    for where, title in SECTIONS.items():
        lines.append((f"section {where}", [(title, "accent")]))
        if where == "anywhere":
            lines.append(("views", [(f"  {'1 2 3':<{_KEYS_CELLS}}", "head"), ("view", "plain")]))
        for key in (key for key in KEYS if key.where == where):
            bound = " ".join(keys_of(key, keymap))
            lines.append((key.id, [(f"  {bound:<{_KEYS_CELLS}}", "head"), (key.title, "plain")]))
        lines.append((f"end {where}", []))
    for title, text in (("Filter", FILTER_HELP), ("Commands", COMMAND_HELP), ("Signs", LEGEND)):
        lines.append((f"section {title}", [(title, "accent")]))
        for number, line in enumerate(text.splitlines()):
            lines.append((f"{title} {number}", [(f"  {line}", "plain")]))
        lines.append((f"end {title}", []))
    marks = (
        "! a layer misses it or differs   ? a layer could not be asked   ● marked",
        "· gone: shown for 10 s with its last facts; stale: only a silent source knew it",
    )
    for number, line in enumerate(marks):
        lines.append((f"mark {number}", [(f"  {line}", "plain")]))
    return lines
