"""What `:` and the palette understand: one table for both."""

import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider

from rtscope.model.facts import fact
from rtscope.render.columns import BY_KEY
from rtscope.tui.views.groups import GROUPS
from rtscope.tui.views.registry import VIEWS

if TYPE_CHECKING:
    from rtscope.tui.actions import Actions

COPIED = ("id", "name", "pid", "command")
PANELS = ("chain", "processes", "raw")


@fact
class Command:
    """One command.

    Attributes:
        words: What may follow; empty where nothing does.
        is_free: Anything may follow.
    """

    name: str
    title: str
    run: "Callable[[Actions, str], None]"
    words: "Callable[[Actions], Iterable[str]] | None" = None
    is_free: bool = False


def _view(number: int) -> "Callable[[Actions, str], None]":
    return lambda app, _: app.action_view(number)


def _panel(tab: int) -> "Callable[[Actions, str], None]":
    return lambda app, _: app.open_detail(tab)


def _sorts(_app: "Actions") -> Iterable[str]:
    return ("problems", *BY_KEY, *(f"-{key}" for key in BY_KEY))


def _themes(app: "Actions") -> Iterable[str]:
    own = [name for name in app.available_themes if name.startswith("rtscope-")]
    return [*own, *(name for name in app.available_themes if name not in own)]


COMMANDS: tuple[Command, ...] = (
    *(
        Command(name=entry.name, title=f"view: {entry.title}", run=_view(number))
        for number, entry in enumerate(VIEWS, 1)
    ),
    *(
        Command(name=name, title=f"detail: {name} of the selection", run=_panel(number))
        for number, name in enumerate(PANELS)
    ),
    Command(name="filter", title="narrow the list", run=lambda app, w: app.set_filter(w),
            is_free=True),
    Command(name="sort", title="sort by a column; problems: the usual order",
            run=lambda app, w: app.set_sort(w), words=_sorts),
    Command(name="group", title="group the rows", run=lambda app, w: app.set_group(w),
            words=lambda _: (*GROUPS, "none")),
    Command(name="columns", title="choose columns: id,name or +pod,-image; none: the usual ones",
            run=lambda app, w: app.set_columns(w), words=lambda _: BY_KEY, is_free=True),
    Command(name="all", title="stopped ones too, or not",
            run=lambda app, _: app.containers.toggle_all()),
    Command(name="sandboxes", title="pause containers too, or not",
            run=lambda app, _: app.containers.toggle_sandboxes()),
    Command(name="copy", title="copy a fact of the selection", run=lambda app, w: app.copy_fact(w),
            words=lambda _: COPIED),
    Command(name="theme", title="colours", run=lambda app, w: app.set_theme(w), words=_themes),
    Command(name="pause", title="pause and go on", run=lambda app, _: app.action_pause()),
    Command(name="refresh", title="look again now", run=lambda app, _: app.action_refresh_now()),
    Command(name="mouse", title="give the mouse to the terminal or take it",
            run=lambda app, _: app.action_mouse()),
    Command(name="command", title="the command line of what is on screen",
            run=lambda app, _: app.action_equivalent()),
    Command(name="help", title="every key", run=lambda app, _: app.action_help()),
    Command(name="quit", title="leave rtscope", run=lambda app, _: app.leave()),
)  # fmt: skip

_ALIASES = {"q": "quit", "q!": "quit", "ps": "containers", "c": "containers", "h": "help"}
_BY_NAME = {command.name: command for command in COMMANDS}


def run_command(app: "Actions", text: str) -> None:
    """Runs what was typed after `:`; says what is wrong with it."""
    name, _, rest = text.strip().partition(" ")
    if not name:
        return
    command = _BY_NAME.get(_ALIASES.get(name, name)) or _only(name)
    if command is None:
        app.tell(f"no command {name!r}; Tab completes, ? lists all", is_wrong=True)
        return
    command.run(app, rest.strip())


def _only(prefix: str) -> Command | None:
    found = [command for command in COMMANDS if command.name.startswith(prefix)]
    return found[0] if len(found) == 1 else None


def completions(app: "Actions", text: str) -> Sequence[str]:
    """Whole lines that the text may become."""
    name, space, rest = text.partition(" ")
    if not space:
        return [command.name for command in COMMANDS if command.name.startswith(name)]
    command = _BY_NAME.get(name)
    if command is None or command.words is None:
        return []
    head, _, last = rest.rpartition(",")
    before = f"{head}," if head else ""
    sign = last[:1] if last[:1] in ("+", "-") and command.name == "columns" else ""
    words = command.words(app)
    return [f"{name} {before}{sign}{w}" for w in words if w.startswith(last[len(sign) :])]


def shell_line(words: Sequence[str]) -> str:
    """Words as a person may paste them into a shell."""
    return " ".join(word if word == "|" else shlex.quote(word) for word in words)


class Palette(Provider):
    """The same commands in Textual's palette."""

    async def discover(self) -> Hits:
        for line, title, run in self._entries():
            yield DiscoveryHit(line, run, help=title)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for line, title, run in self._entries():
            score = matcher.match(f"{line} {title}")
            if score > 0:
                yield Hit(score, matcher.highlight(line), run, text=line, help=title)

    def _entries(self) -> Iterable[tuple[str, str, Callable[[], None]]]:
        app: Actions = self.app  # type: ignore[assignment]  # the only app there is
        for command in COMMANDS:
            if command.words is not None:
                for word in command.words(app):
                    yield f"{command.name} {word}", command.title, self._run(command, word)
            elif not command.is_free:
                yield command.name, command.title, self._run(command, "")

    def _run(self, command: Command, word: str) -> Callable[[], None]:
        app: Actions = self.app  # type: ignore[assignment]  # the only app there is
        return lambda: command.run(app, word)
