"""What threads tell the app."""

from textual.message import Message

from rtscope.model.inventory import Inventory
from rtscope.model.observation import Observation
from rtscope.tui.live import Look
from rtscope.tui.picture import Prepared


class KernelTaken(Message):
    """A look at the kernel is done."""

    def __init__(self, look: Look, cost_s: float) -> None:
        super().__init__()
        self.look = look
        self.cost_s = cost_s


class SourceTaken(Message):
    """A source answered, or its time is up."""

    def __init__(self, observation: Observation, cost_s: float) -> None:
        super().__init__()
        self.observation = observation
        self.cost_s = cost_s


class InventoryTaken(Message):
    """The join of what is known now."""

    def __init__(
        self, inventory: Inventory, cost_s: float, prepared: Prepared | None = None
    ) -> None:
        super().__init__()
        self.inventory = inventory
        self.prepared = prepared
        self.cost_s = cost_s


class WorkFailed(Message):
    """A thread ended with an exception: a mistake of ours."""

    def __init__(self, what: str, error: BaseException) -> None:
        super().__init__()
        self.what = what
        self.error = error


class DocumentTaken(Message):
    """A raw document was fetched, or could not be."""

    def __init__(self, key: str, name: str, document: object, removed: int, error: str) -> None:
        super().__init__()
        self.key = key
        self.name = name
        self.document = document
        self.removed = removed
        self.error = error
