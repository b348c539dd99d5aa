"""Every key of the view, in one table: bindings, help, footer and configuration are made of it."""

from collections.abc import Iterable, Mapping

from textual.binding import Binding

from rtscope.errors import UsageError
from rtscope.model.facts import fact

ANYWHERE, LIST, CONTAINERS, TREE, DETAIL, RAW = (
    "anywhere", "list", "containers", "tree", "detail", "raw",
)  # fmt: skip


@fact
class Key:
    """One binding.

    Attributes:
        id: What `[tui.keys]` of the configuration names.
        keys: Textual's names, separated by commas.
        where: In which part of the screen it holds.
        hint: Short word for the footer; empty: it stands in the help only.
    """

    id: str
    keys: str
    action: str
    title: str
    where: str = ANYWHERE
    hint: str = ""


KEYS: tuple[Key, ...] = (
    Key(id="open", keys="enter,ctrl+j", action="open", title="open the detail, fold a group, jump",
        where=LIST, hint="open"),
    Key(id="back", keys="escape", action="go_back", title="close, leave, clear the filter"),
    Key(id="filter", keys="slash", action="filter", title="filter the list, search the detail",
        hint="filter"),
    Key(id="command", keys="colon", action="command", title="type a command, Tab completes",
        hint="command"),
    Key(id="all", keys="a", action="toggle_all", title="stopped ones too, or not",
        where=CONTAINERS, hint="all"),
    Key(id="group", keys="o", action="group", title="group by engine, pod, project, namespace",
        where=CONTAINERS, hint="group"),
    Key(id="yank", keys="y", action="equivalent", title="the command line of what is on screen"),
    Key(id="help", keys="question_mark,f1", action="help", title="this help", hint="help"),
    Key(id="quit", keys="q,ctrl+q", action="leave", title="back, and in the end quit", hint="quit"),
    Key(id="down", keys="j,down", action="move(1)", title="down"),
    Key(id="up", keys="k,up", action="move(-1)", title="up"),
    Key(id="first", keys="g,home", action="edge(-1)", title="first row"),
    Key(id="last", keys="G,end", action="edge(1)", title="last row"),
    Key(id="page-down", keys="ctrl+f,pagedown", action="page(1)", title="a page down"),
    Key(id="page-up", keys="ctrl+b,pageup", action="page(-1)", title="a page up"),
    Key(id="expand", keys="right,plus", action="unfold(True)", title="open this branch",
        where=TREE, hint="expand"),
    Key(id="collapse", keys="left,minus", action="unfold(False)", title="close it, go up",
        where=TREE, hint="collapse"),
    Key(id="slide-right", keys="right", action="slide(1)", title="scroll to the right"),
    Key(id="slide-left", keys="left", action="slide(-1)", title="scroll to the left"),
    Key(id="mark", keys="space", action="mark", title="mark, fold in a document", where=LIST),
    Key(id="unmark", keys="u", action="unmark", title="take all marks away", where=CONTAINERS),
    Key(id="detail", keys="d", action="detail", title="open or close the detail"),
    Key(id="next-tab", keys="right_square_bracket", action="tab(1)",
        title="next tab of the detail", where=DETAIL, hint="tab"),
    Key(id="previous-tab", keys="left_square_bracket", action="tab(-1)",
        title="previous tab of the detail", where=DETAIL),
    Key(id="panel", keys="tab", action="panel", title="to the other panel"),
    Key(id="fullscreen", keys="f", action="fullscreen", title="detail on the whole screen or below",
        where=DETAIL, hint="full"),
    Key(id="next-match", keys="n", action="match(1)", title="next match", where=RAW),
    Key(id="previous-match", keys="N", action="match(-1)", title="previous match", where=RAW),
    Key(id="copy", keys="c", action="copy", title="copy id, name, pid or command", hint="copy"),
    Key(id="sort-name", keys="N", action="sort('name')", title="sort by name", where=CONTAINERS),
    Key(id="sort-image", keys="I", action="sort('image')", title="by image", where=CONTAINERS),
    Key(id="sort-engine", keys="E", action="sort('engine')", title="by engine", where=CONTAINERS),
    Key(id="sort-state", keys="S", action="sort('state')", title="by state", where=CONTAINERS),
    Key(id="sort-age", keys="A", action="sort('age')", title="by age", where=CONTAINERS),
    Key(id="sort-restarts", keys="R", action="sort('restarts')", title="by restarts",
        where=CONTAINERS),
    Key(id="sort-pid", keys="P", action="sort('pid')", title="by pid", where=CONTAINERS),
    Key(id="sort-layers", keys="L", action="sort('layers')", title="by layers",
        where=CONTAINERS),
    Key(id="sort-problems", keys="X", action="sort('')", title="problems first again",
        where=CONTAINERS),
    Key(id="refresh", keys="r,f5", action="refresh_now", title="look again now"),
    Key(id="pause", keys="z", action="pause", title="pause and go on"),
    Key(id="mouse", keys="m", action="mouse", title="give the mouse to the terminal or take it"),
    Key(id="palette", keys="ctrl+p", action="command_palette", title="every command by name"),
    Key(id="suspend", keys="ctrl+z", action="suspend_process", title="to the background; fg"),
    Key(id="interrupt", keys="ctrl+c", action="interrupt", title="quit at once"),
)  # fmt: skip

SECTIONS: Mapping[str, str] = {
    ANYWHERE: "Everywhere",
    LIST: "In lists",
    CONTAINERS: "Containers",
    TREE: "Tree",
    DETAIL: "Detail",
    RAW: "Raw documents",
}

_SIGNS = {
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "tab": "Tab",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
    "plus": "+",
    "minus": "-",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "home": "Home",
    "end": "End",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
}


def sign_of(key: str) -> str:
    """How a person writes the key."""
    if key.startswith("ctrl+"):
        return f"Ctrl-{key[5:]}"
    return _SIGNS.get(key, key.upper() if key.startswith("f") and key[1:].isdigit() else key)


def bindings(keys: Iterable[Key] = KEYS) -> list[Binding]:
    """Bindings of the app. They come before any widget's, so that keys act in their order."""
    made = [
        Binding(key.keys, key.action, key.title, show=False, priority=True, id=key.id)
        for key in keys
    ]
    return made + [
        Binding(str(number), f"view({number})", f"view {number}", show=False, priority=True)
        for number in range(1, 10)
    ]


def keymap_of(configured: Mapping[str, str]) -> dict[str, str]:
    """The configuration's keys, checked.

    Raises:
        UsageError: there is no such action.
    """
    known = {key.id for key in KEYS}
    for name in configured:
        if name not in known:
            raise UsageError(
                f"key of {name!r}: there is no such action", f"known: {', '.join(sorted(known))}"
            )
    return dict(configured)


def keys_of(key: Key, keymap: Mapping[str, str]) -> list[str]:
    """The keys as they are bound now, as a person writes them."""
    names = [one.strip() for one in keymap.get(key.id, key.keys).split(",")]
    return [sign_of(name) for name in names if name != "ctrl+j"]


def where_of(action: str) -> frozenset[str]:
    """Where an action holds: of all its bindings."""
    return _WHERE.get(action, frozenset({ANYWHERE}))


_WHERE: dict[str, frozenset[str]] = {}
for _key in KEYS:
    _name = _key.action.partition("(")[0]
    _WHERE[_name] = _WHERE.get(_name, frozenset()) | {_key.where}
