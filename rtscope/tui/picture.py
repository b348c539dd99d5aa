"""What the app hands to its views and bars: facts of one moment."""

from collections.abc import Mapping
from datetime import datetime

from rtscope.correlate.nodes import TreeNode
from rtscope.model.facts import fact, field
from rtscope.model.inventory import Container, Inventory
from rtscope.model.state import Layer, State, Verdict
from rtscope.procfs.gauges import Gauges
from rtscope.tui.keeper import Shown
from rtscope.tui.slots import SourceView


@fact
class Counts:
    """How many of what: counted once a join, shown with every tick."""

    containers: int = 0
    running: int = 0
    problems: int = 0
    shims: int = 0
    silent_shims: int = 0


def counts_of(inventory: Inventory) -> Counts:
    """What the header says of an inventory; pause containers are no containers to it."""
    real = [c for c in inventory.containers if not c.is_sandbox]
    held = sum(1 for shim in inventory.shims if shim.process_state in ("T", "t", "D"))
    return Counts(
        containers=len(real),
        running=sum(1 for c in real if c.state is State.RUNNING),
        problems=sum(1 for c in inventory.containers if c.has_problem),
        shims=len(inventory.shims),
        silent_shims=max(held, len({c.shim_pid for c in inventory.containers if _is_silent(c)})),
    )


def _is_silent(container: Container) -> bool:
    view = container.layers.get(Layer.TASK)
    return container.shim_pid is not None and view is not None and view.verdict is Verdict.UNKNOWN


@fact(eq=False)
class Prepared:
    """What is computed beside the join, in its thread: the screen's thread shall stay free.

    Attributes:
        short_ids: As in `Context`.
        columns, widths: Of the list's columns, over every row.
        tree: None where the tree was not on screen.
    """

    short_ids: Mapping[str, str]
    columns: tuple[str, ...] = ()
    widths: tuple[int, ...] = ()
    tree: tuple[TreeNode, ...] | None = None


@fact(eq=False)
class Picture:
    """One moment.

    Attributes:
        inventory: None until the first join.
        shown: Container key -> what is on screen, ghosts included.
        at: Now, as ages are counted: a recording's own time if it is one.
        clock: The schedule's clock, for ages of ghosts.
        age_s: Since the picture was last found to be true; None for a recording.
        gauges: The last reading and the one before.
        mode: `live`, `paused`, `replay NAME`, `demo`; is_read_only adds itself.
    """

    at: datetime
    clock: float
    inventory: Inventory | None = None
    shown: Mapping[str, Shown] = field(default_factory=dict)
    sources: tuple[SourceView, ...] = ()
    age_s: float | None = None
    gauges: tuple[Gauges | None, Gauges | None] = (None, None)
    mode: str = "live"
    is_read_only: bool = False
    tree: tuple[TreeNode, ...] = ()
    prepared: Prepared | None = None
    counts: Counts = field(default_factory=Counts)

    @property
    def is_recorded(self) -> bool:
        return self.inventory is not None and self.inventory.recorded_at is not None

    def container(self, key: str | None) -> Container | None:
        shown = self.shown.get(key) if key is not None else None
        return None if shown is None else shown.container
