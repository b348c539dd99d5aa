"""What is on screen beyond what the inventory says now.

A container that went away fades with its last facts instead of vanishing under the cursor. One that
only a source knew that is silent now did not go away: it stays, marked with the age of what is
shown.
"""

from collections.abc import Mapping

from rtscope.config.deadlines import FADE_S
from rtscope.model.facts import fact
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Endpoint
from rtscope.model.state import ANSWERED, EndpointState

_GONE = frozenset({EndpointState.ABSENT, EndpointState.INACTIVE, EndpointState.DEAD})


@fact(eq=False)
class Shown:
    """A container on screen.

    Attributes:
        gone_at: When it was first missing, by the caller's clock; None while it is there.
        is_stale: It is missing because its source does not answer.
    """

    container: Container
    gone_at: float | None = None
    is_stale: bool = False

    def gone_s(self, now: float) -> float | None:
        return None if self.gone_at is None else max(0.0, now - self.gone_at)


class Keeper:
    """Remembers what vanished, for a while."""

    def __init__(self) -> None:
        self._now: Mapping[str, Container] = {}
        self._gone: dict[str, Shown] = {}
        self._shown: dict[str, Shown] | None = None

    def take(self, inventory: Inventory, now: float) -> None:
        """The next picture."""
        self._shown = None
        present = {container.key: container for container in inventory.containers}
        for key, container in self._now.items():
            if key not in present and key not in self._gone:
                self._gone[key] = Shown(container=container, gone_at=now)
        for key in present.keys() & self._gone.keys():
            del self._gone[key]
        silent = [e for e in inventory.endpoints if e.state not in ANSWERED | _GONE]
        for key, ghost in list(self._gone.items()):
            is_stale = any(_is_of(ghost.container, endpoint) for endpoint in silent)
            # A source that answers again and does not know it: from now on it is gone.
            since = now if ghost.is_stale and not is_stale else ghost.gone_at
            self._gone[key] = Shown(container=ghost.container, gone_at=since, is_stale=is_stale)
        self._now = present
        self.expire(now)

    def expire(self, now: float) -> bool:
        """Drops what faded long enough; whether anything did."""
        over = [
            key
            for key, ghost in self._gone.items()
            if not ghost.is_stale and (ghost.gone_s(now) or 0.0) >= FADE_S
        ]
        for key in over:
            del self._gone[key]
        if over:
            self._shown = None
        return bool(over)

    @property
    def has_ghosts(self) -> bool:
        return bool(self._gone)

    def shown(self) -> dict[str, Shown]:
        """Key -> what is on screen."""
        if self._shown is None:
            self._shown = {k: Shown(container=container) for k, container in self._now.items()}
            self._shown.update(self._gone)
        return self._shown


def _is_of(container: Container, endpoint: Endpoint) -> bool:
    """Whether the container's own record came from this source, not from a lower layer's."""
    kind = container.engine.value
    return endpoint.kind == kind and container.endpoint in (endpoint.address, endpoint.source)
