"""The views: one entry each."""

from collections.abc import Callable

from rtscope.model.facts import fact
from rtscope.tui.views.base import View
from rtscope.tui.views.containers import ContainersView
from rtscope.tui.views.sources import SourcesView
from rtscope.tui.views.tree import TreeView


@fact
class Entry:
    """One view.

    Attributes:
        name: Of the command line (`:tree`) and of the saved layout.
    """

    name: str
    title: str
    make: Callable[[], View]


VIEWS: tuple[Entry, ...] = (
    Entry(name="containers", title="Containers", make=ContainersView),
    Entry(name="tree", title="Tree", make=TreeView),
    Entry(name="sources", title="Sources", make=SourcesView),
)
