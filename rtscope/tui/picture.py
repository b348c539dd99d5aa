"""What the app hands to its views and bars: facts of one moment."""

from collections.abc import Mapping
from datetime import datetime

from rtscope.correlate.nodes import TreeNode
from rtscope.model.facts import fact, field
from rtscope.model.inventory import Container, Inventory
from rtscope.procfs.gauges import Gauges
from rtscope.tui.keeper import Shown
from rtscope.tui.slots import SourceView


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

    @property
    def is_recorded(self) -> bool:
        return self.inventory is not None and self.inventory.recorded_at is not None

    def container(self, key: str | None) -> Container | None:
        shown = self.shown.get(key) if key is not None else None
        return None if shown is None else shown.container
