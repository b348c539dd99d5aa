"""The line that filters, searches and commands are typed into.

It is fed by the app's own key handler, in the order of the keys: what is typed right after Enter or
`/` reaches what it was meant for, however fast it comes.
"""

from collections.abc import Callable, Mapping, Sequence

from rich.style import Style as Paint
from textual import events
from textual.strip import Strip
from textual.widget import Widget

from rtscope.render.width import width as cells_of
from rtscope.tui.pieces import Piece, strip_of

Changed = Callable[[str], None]
Completed = Callable[[str], Sequence[str]]
_HISTORY = 50


def _ignore(_text: str) -> None:
    return None


class Prompt(Widget):
    """One line of input with completion and a history for each of its signs.

    Attributes:
        sign: What stands before the text: `/`, `:`; empty while it is closed.
        text: What was typed.
    """

    def __init__(self, *, id: str) -> None:  # noqa: A002  # Textual's name
        super().__init__(id=id)
        self.sign = ""
        self.text = ""
        self.help = ""
        self._at = 0
        self._paints: Mapping[str, Paint] = {}
        self._on_change: Changed = _ignore
        self._on_done: Changed = _ignore
        self._on_cancel: Changed = _ignore
        self._complete: Completed = lambda _text: ()
        self._before = ""
        self._history: dict[str, list[str]] = {}
        self._back = 0

    @property
    def is_open(self) -> bool:
        return bool(self.sign)

    def open(
        self,
        sign: str,
        text: str = "",
        *,
        help_text: str = "",
        on_done: Changed,
        on_change: Changed = _ignore,
        on_cancel: Changed = _ignore,
        complete: Completed = lambda _text: (),
    ) -> None:
        """Take every key until Enter or Escape."""
        self.sign, self.text, self.help = sign, text, help_text
        self._before, self._at, self._back = text, len(text), 0
        self._on_change, self._on_done, self._on_cancel = on_change, on_done, on_cancel
        self._complete = complete
        self.add_class("-open")
        self.refresh()

    def close(self) -> None:
        self.sign = ""
        self.remove_class("-open")
        self.refresh()

    def paint(self, paints: Mapping[str, Paint]) -> None:
        self._paints = paints
        self.refresh()

    # ------------------------------------------------------------ keys
    def feed(self, event: events.Key) -> None:
        """One key."""
        action = getattr(self, f"_key_{event.key.replace('+', '_')}", None)
        if action is not None:
            action()
        elif event.character and event.is_printable:
            self.insert(event.character)
        self.refresh()

    def insert(self, text: str) -> None:
        """Typed or pasted text; only its first line."""
        line = "".join(char for char in text.split("\n", 1)[0] if char.isprintable())
        self._set(self.text[: self._at] + line + self.text[self._at :], self._at + len(line))

    def _set(self, text: str, at: int) -> None:
        self.text, self._at = text, at
        self._on_change(text)
        self.refresh()

    def _key_enter(self) -> None:
        text, done = self.text, self._on_done
        history = self._history.setdefault(self.sign, [])
        if text and (not history or history[-1] != text):
            history.append(text)
            del history[:-_HISTORY]
        self.close()
        done(text)

    # What was typed before the terminal was ours came through its line discipline: ICRNL.
    _key_ctrl_j = _key_enter

    def _key_escape(self) -> None:
        cancel, before = self._on_cancel, self._before
        self.close()
        cancel(before)

    _key_ctrl_c = _key_escape
    _key_ctrl_g = _key_escape

    def _key_backspace(self) -> None:
        if not self.text:
            self._key_escape()
        elif self._at:
            self._set(self.text[: self._at - 1] + self.text[self._at :], self._at - 1)

    _key_ctrl_h = _key_backspace

    def _key_delete(self) -> None:
        self._set(self.text[: self._at] + self.text[self._at + 1 :], self._at)

    def _key_ctrl_u(self) -> None:
        self._set(self.text[self._at :], 0)

    def _key_ctrl_w(self) -> None:
        head = self.text[: self._at].rstrip()
        head = head[: head.rfind(" ") + 1]
        self._set(head + self.text[self._at :], len(head))

    def _key_left(self) -> None:
        self._at = max(0, self._at - 1)

    def _key_right(self) -> None:
        if self._at < len(self.text):
            self._at += 1
        else:
            self._key_tab()

    def _key_home(self) -> None:
        self._at = 0

    _key_ctrl_a = _key_home

    def _key_end(self) -> None:
        self._at = len(self.text)

    _key_ctrl_e = _key_end

    def _key_tab(self) -> None:
        found = list(self._complete(self.text))
        if found:
            text = found[0] if len(found) == 1 else _common(found)
            if len(text) > len(self.text):
                self._set(text, len(text))

    def _key_up(self) -> None:
        self._recall(1)

    def _key_down(self) -> None:
        self._recall(-1)

    def _recall(self, step: int) -> None:
        history = self._history.get(self.sign, [])
        self._back = max(0, min(self._back + step, len(history)))
        text = history[-self._back] if self._back else ""
        self._set(text, len(text))

    # ------------------------------------------------------------ drawing
    def render_line(self, y: int) -> Strip:
        width = self.size.width
        base = self.rich_style
        if y or not self.is_open:
            return Strip.blank(width, base)
        under = self.text[self._at : self._at + 1] or " "
        pieces: list[Piece] = [
            (f"{self.sign} ", "accent"),
            (self.text[: self._at], "plain"),
            (under, "caret"),
            (self.text[self._at + 1 :], "plain"),
        ]
        hint = self._hint()
        room = width - 3 - cells_of(self.text)
        if hint and room > 8:
            pieces.append((f"  {hint}"[:room], "dim"))
        strip = strip_of(pieces, self._paints)
        return strip.crop_extend(0, width, base).apply_style(base)

    def _hint(self) -> str:
        if not self.text:
            return self.help
        found = list(self._complete(self.text))
        if found == [self.text]:
            return ""
        words = [text[self.text.rfind(" ") + 1 :].strip() for text in found[:8]]
        return ("Tab: " if found else "") + "  ".join(words)


def _common(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    for number, char in enumerate(first):
        if not last.startswith(first[: number + 1]) or char != last[number]:
            return first[:number]
    return first
