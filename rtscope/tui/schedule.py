"""When the kernel, the sources and the join get their turn, each in a thread of its own.

One request in flight per source; a silent one delays nobody. What a look, an answer and a join cost
is measured, and the more they cost the rarer they are: the view takes its share of a core and no
more, however many containers there are.
"""

import threading
import time
from collections.abc import Callable

from textual.message import Message

from rtscope.backends.base import Targets
from rtscope.config.deadlines import QUIET_AFTER_S, QUIET_REFRESH_S, RECONCILE_S, REFRESH_S
from rtscope.correlate.collect import skipped
from rtscope.correlate.join import join
from rtscope.model.facts import replace
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Observation
from rtscope.procfs.gauges import Gauges
from rtscope.procfs.host import Host
from rtscope.tui.live import NodeSource, said
from rtscope.tui.messages import InventoryTaken, KernelTaken, SourceTaken, WorkFailed
from rtscope.tui.slots import Slot, SourceView, interval_of

Post = Callable[[Message], object]
Clock = Callable[[], float]

ASK_SHARE, QUIET_ASK_SHARE = 0.015, 0.004
LOOK_SHARE = 0.02
JOIN_SHARE = 0.05
"""Parts of one core that asking, looking at /proc and joining may take."""

FIRST_JOIN_S = 0.5
"""The first picture waits this long for sources, so that rows do not change their face at once."""

_CHANGE_GAP_S = 1.0


class Schedule:
    """Owned by the app and called in its thread only; threads come back as messages.

    Attributes:
        changed_at: When anything was last different; inventory_at: when the picture was last true.
        is_paused: Nothing is asked.
    """

    def __init__(
        self,
        source: NodeSource,
        post: Post,
        *,
        refresh_s: float = REFRESH_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._source = source
        self.post = post
        self._clock = clock
        self.refresh_s = refresh_s
        self.slots: dict[str, Slot] = {}
        self.kernel: Observation | None = None
        self.gauges: tuple[Gauges | None, Gauges | None] = (None, None)
        self.inventory: Inventory | None = None
        self.is_paused = False
        self.started_at = clock()
        self.changed_at = self.started_at
        self.looked_at: float | None = None
        self._full_at = float("-inf")
        self._look_cost_s = 0.0
        self._full_cost_s = 0.0
        self._is_looking = False
        self._is_joining = False
        self._is_dirty = False
        self._join_at = 0.0

    # ------------------------------------------------------------ what is due
    @property
    def pace_s(self) -> float:
        """Seconds between two looks: the refresh, or longer when nothing changes."""
        return max(self.refresh_s, QUIET_REFRESH_S) if self.is_quiet else self.refresh_s

    @property
    def is_quiet(self) -> bool:
        """Nothing changed for a while."""
        return self._clock() - self.changed_at > QUIET_AFTER_S

    @property
    def is_asking(self) -> bool:
        """A request is out."""
        return any(slot.asked_at is not None for slot in self.slots.values())

    @property
    def is_settled(self) -> bool:
        """Nothing is in flight and nothing waits to be joined."""
        is_busy = self._is_looking or self._is_joining or self._is_dirty
        return self.inventory is not None and not (is_busy or self.is_asking)

    def tick(self) -> None:
        """Start what is due."""
        if self.is_paused:
            return
        now = self._clock()
        if not self._is_looking and self._look_is_due(now):
            self._look(now)
        for slot in self.slots.values():
            if self.kernel is not None and slot.may_ask(now):
                self._ask(slot, self.kernel, now)
        self._maybe_join(now)

    def _look_is_due(self, now: float) -> bool:
        return self.looked_at is None or now - self.looked_at >= max(
            self.pace_s, self._look_cost_s / LOOK_SHARE
        )

    def hurry(self) -> None:
        """The user wants to see it now: everything is due, except what does not answer."""
        now = self._clock()
        self._full_at = float("-inf")
        self.looked_at = None
        for slot in self.slots.values():
            slot.poke(now, 0.0)
        self.tick()

    def _look(self, now: float) -> None:
        gap = max(RECONCILE_S, self._full_cost_s / LOOK_SHARE)
        if self.is_quiet:
            gap *= 3
        is_full = now - self._full_at >= gap
        if is_full:
            self._full_at = now
        self._is_looking = True

        def work() -> Message:
            start = time.thread_time()
            look = self._source.look(is_full=is_full)
            return KernelTaken(look, time.thread_time() - start)

        if not self._start("kernel", work):
            self._is_looking = False

    def _ask(self, slot: Slot, kernel: Observation, now: float) -> None:
        endpoint = slot.endpoint

        def work() -> Message:
            start = time.thread_time()
            observation = self._source.observe(endpoint, kernel)
            if observation.source != endpoint.source:
                observation = replace(observation, source=endpoint.source)
            return SourceTaken(observation, time.thread_time() - start)

        slot.asked(now)
        if not self._start(endpoint.source, work):
            slot.asked_at = None
            slot.due_at = now + self.refresh_s

    def _start(self, name: str, work: Callable[[], Message]) -> bool:
        def run() -> None:
            try:
                message: Message = work()
            except BaseException as error:  # noqa: BLE001  # it goes to the log, the view goes on
                message = WorkFailed(name, error)
            self.post(message)

        try:
            threading.Thread(target=run, daemon=True, name=name).start()
        except RuntimeError:
            return False
        return True

    # ------------------------------------------------------------ what came back
    def take_look(self, message: KernelTaken) -> None:
        now = self._clock()
        look = message.look
        self._is_looking = False
        self.looked_at = now
        self.gauges = (self.gauges[1], look.gauges)
        is_first = self.kernel is None
        self.kernel = look.kernel
        if look.endpoints is None:
            self._look_cost_s = message.cost_s
        else:
            self._full_cost_s = message.cost_s
            self._discovered(look.endpoints, now)
        if look.is_changed:
            self._changed(now)
            gap = max(_CHANGE_GAP_S, 4 * sum(slot.cost_s for slot in self.slots.values()))
            for slot in self.slots.values():
                slot.poke(now, 0.0 if is_first else gap)
        self._hold(look.kernel, now)
        self.tick()

    def _discovered(self, endpoints: tuple[Endpoint, ...], now: float) -> None:
        before = self.slots
        self.slots = {}
        for endpoint in endpoints:
            slot = before.get(endpoint.source)
            if slot is None:
                slot = Slot(endpoint)
                self._changed(now)
            elif slot.found(endpoint, now):
                self._changed(now)
            self.slots[endpoint.source] = slot
        if before.keys() - self.slots.keys():
            self._changed(now)

    def _hold(self, kernel: Observation, now: float) -> None:
        letters = {daemon.key: daemon.process_state for daemon in kernel.daemons}
        for slot in self.slots.values():
            daemon = slot.endpoint.daemon
            if daemon is not None and slot.hold(letters.get(daemon)):
                self._changed(now)

    def take_answer(self, message: SourceTaken) -> None:
        now = self._clock()
        slot = self.slots.get(message.observation.source)
        if slot is None:
            return
        before = slot.observation
        slot.answered(message.observation, now, message.cost_s)
        share = QUIET_ASK_SHARE if self.is_quiet else ASK_SHARE
        slot.schedule(now, interval_of(slot, self.slots.values(), self.pace_s, share))
        if before is None or said(before) != said(message.observation):
            self._changed(now)
            self._poke_shims(slot, now)
        self._maybe_join(now)

    def _poke_shims(self, slot: Slot, now: float) -> None:
        """What containerd records anew may have a bundle that the shims were not asked about."""
        if slot.endpoint.kind in ("containerd", "cri"):
            for other in self.slots.values():
                if other.endpoint.kind == "shim" and other.observation is not None:
                    other.poke(now, _CHANGE_GAP_S)

    def _changed(self, now: float) -> None:
        self.changed_at = now
        self._is_dirty = True

    # ------------------------------------------------------------ join
    def _maybe_join(self, now: float) -> None:
        if not self._is_dirty or self._is_joining or self.kernel is None or now < self._join_at:
            return
        is_early = self.inventory is None and now - self.started_at < FIRST_JOIN_S
        if is_early and (
            not self.slots or any(s.asked_at is not None for s in self.slots.values())
        ):
            return
        self._is_dirty = False
        self._is_joining = True
        kernel, previous = self.kernel, self.inventory
        observations = self._observations(kernel)

        def work() -> Message:
            start = time.thread_time()
            inventory = join(self._source.completed(observations, kernel), previous)
            return InventoryTaken(inventory, time.thread_time() - start)

        if not self._start("join", work):
            self._is_joining = False
            self._is_dirty = True
            self._join_at = now + self.refresh_s

    def _observations(self, kernel: Observation) -> tuple[Observation, ...]:
        found = [kernel]
        for slot in self.slots.values():
            if slot.endpoint.skip is not None:
                # Nothing is read with these: they only stamp what was left alone.
                targets = Targets(node=kernel.node, host=Host("/"))
                found.append(skipped(slot.endpoint, targets))
            elif slot.observation is not None:
                found.append(slot.observation)
        return tuple(found)

    def take_inventory(self, message: InventoryTaken) -> None:
        now = self._clock()
        self._is_joining = False
        self.inventory = message.inventory
        self._join_at = now + message.cost_s / JOIN_SHARE
        self._maybe_join(now)

    def take_failure(self, message: WorkFailed) -> None:
        """A thread of ours failed: as if it had said nothing, and later once more."""
        now = self._clock()
        if message.what == "kernel":
            self._is_looking = False
            self.looked_at = now
        elif message.what == "join":
            self._is_joining = False
            self._join_at = now + QUIET_REFRESH_S
        elif message.what in self.slots:
            slot = self.slots[message.what]
            slot.asked_at = None
            slot.due_at = now + RECONCILE_S

    # ------------------------------------------------------------ for the screen
    def views(self) -> list[SourceView]:
        """How every source stands now."""
        now = self._clock()
        return [slot.view(now) for slot in self.slots.values()]

    @property
    def age_s(self) -> float | None:
        """Since the last look that found the picture still true."""
        return None if self.looked_at is None else self._clock() - self.looked_at
