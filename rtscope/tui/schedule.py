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
from rtscope.correlate.collect import silent, skipped
from rtscope.correlate.join import join
from rtscope.model.facts import replace
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Observation
from rtscope.procfs.gauges import Gauges
from rtscope.procfs.host import Host
from rtscope.tui.live import NodeSource, said
from rtscope.tui.messages import InventoryTaken, KernelTaken, SourceTaken, WorkFailed
from rtscope.tui.picture import Prepared
from rtscope.tui.slots import Slot, SourceView, interval_of

Post = Callable[[Message], object]
Clock = Callable[[], float]

ASK_SHARE, QUIET_ASK_SHARE = 0.015, 0.004
LOOK_SHARE = 0.02
JOIN_SHARE = 0.04
"""Parts of one core that asking, looking at /proc and joining may take."""

FIRST_DAEMONS_S, FIRST_FILES_S = 1.0, 5.0
"""The first picture waits this long for daemons, and for what is read from the node's own files:
rows shall not change their face at once, and what was not read yet must not seem to be missing."""

LOOK_FIRST_S = 1.0
"""Sources wait this long for a look that is under way; one that hangs holds nobody up."""

CHANGE_GAP_S = 1.0
"""Between two questions to one source that changes ask for."""

TOGETHER_S = 2.0
"""After a change the join waits this long for the sources to speak of it: a container that ends is
gone for the kernel first and for its engine last, and in between they would seem to disagree."""


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
        cpu: Clock = time.thread_time,
        prepare: Callable[[Inventory], Prepared] | None = None,
    ) -> None:
        self._source = source
        self.post = post
        self._clock = clock
        self._cpu = cpu
        self._prepare = prepare
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
        self._discovered_at: float | None = None
        self._look_cost_s = 0.0
        self._full_cost_s = 0.0
        self._is_looking = False
        self._look_at = 0.0
        self._is_joining = False
        self._is_dirty = False
        self._dirty_at = 0.0
        self._is_look_owed = False
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
        return self.inventory is not None and not (self._is_dirty or self.is_in_flight)

    @property
    def is_in_flight(self) -> bool:
        """A thread is at work."""
        return self._is_looking or self._is_joining or self.is_asking

    def tick(self) -> None:
        """Start what is due."""
        if self.is_paused:
            return
        now = self._clock()
        if not self._is_looking and self._look_is_due(now):
            self._look(now)
        # Who stands still is not asked: what /proc says of it now comes first.
        is_blind = self._is_looking and now - self._look_at < LOOK_FIRST_S
        for slot in () if is_blind else self.slots.values():
            if self.kernel is not None and slot.may_ask(now):
                self._ask(slot, self.kernel, now)
        self._maybe_join(now)

    def _look_is_due(self, now: float) -> bool:
        if self._is_look_owed and (self.looked_at is None or now - self.looked_at >= CHANGE_GAP_S):
            return True
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
        self._look_at = now

        def work() -> Message:
            start = self._cpu()
            look = self._source.look(is_full=is_full)
            return KernelTaken(look, self._cpu() - start)

        if not self._start("kernel", work):
            self._is_looking = False

    def _ask(self, slot: Slot, kernel: Observation, now: float) -> None:
        endpoint = slot.endpoint

        def work() -> Message:
            start = self._cpu()
            observation = self._source.observe(endpoint, kernel)
            if observation.source != endpoint.source:
                observation = replace(observation, source=endpoint.source)
            return SourceTaken(observation, self._cpu() - start)

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
        self._is_look_owed = False
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
            gap = max(CHANGE_GAP_S, 4 * sum(slot.cost_s for slot in self.slots.values()))
            for slot in self.slots.values():
                slot.poke(now, 0.0 if is_first else gap)
        self._hold(look.kernel, now)
        self.tick()

    def _discovered(self, endpoints: tuple[Endpoint, ...], now: float) -> None:
        before = self.slots
        self.slots = {}
        if self._discovered_at is None:
            self._discovered_at = now
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
            # What it tells of may have begun or ended since /proc was read.
            self._is_look_owed = before is not None
        self._maybe_join(now)

    def _poke_shims(self, slot: Slot, now: float) -> None:
        """What containerd records anew may have a bundle that the shims were not asked about."""
        if slot.endpoint.kind in ("containerd", "cri"):
            for other in self.slots.values():
                if other.endpoint.kind == "shim" and other.observation is not None:
                    other.poke(now, CHANGE_GAP_S)

    def _changed(self, now: float) -> None:
        self.changed_at = now
        if not self._is_dirty:
            self._is_dirty = True
            self._dirty_at = now

    # ------------------------------------------------------------ join
    def _maybe_join(self, now: float) -> None:
        if not self._is_dirty or self._is_joining or self.kernel is None or now < self._join_at:
            return
        if self._is_early(now) if self.inventory is None else self._is_half(now):
            return
        self._is_dirty = False
        self._is_joining = True
        kernel, previous = self.kernel, self.inventory
        observations = self._observations(kernel)

        def work() -> Message:
            start = self._cpu()
            inventory = join(self._source.completed(observations, kernel), previous)
            prepared = None if self._prepare is None else self._prepare(inventory)
            return InventoryTaken(inventory, self._cpu() - start, prepared)

        if not self._start("join", work):
            self._is_joining = False
            self._is_dirty = True
            self._join_at = now + self.refresh_s

    def _is_early(self, now: float) -> bool:
        if self._discovered_at is None:
            return True
        waiting = [slot for slot in self.slots.values() if slot.observation is None]
        waiting = [slot for slot in waiting if slot.endpoint.skip is None]
        since = now - self._discovered_at
        if any(slot.is_of_files for slot in waiting):
            return since < FIRST_FILES_S
        return bool(waiting) and since < FIRST_DAEMONS_S

    def _is_half(self, now: float) -> bool:
        """Some have not said yet what others said already."""
        is_owed = self._is_look_owed or any(slot.is_owed for slot in self.slots.values())
        return is_owed and now - self._dirty_at < TOGETHER_S

    def _observations(self, kernel: Observation) -> tuple[Observation, ...]:
        found = [kernel]
        # Nothing is read with these: they only stamp what was left alone or is still out.
        targets = Targets(node=kernel.node, host=Host("/"))
        for slot in self.slots.values():
            if slot.endpoint.skip is not None:
                found.append(skipped(slot.endpoint, targets))
            elif slot.observation is not None:
                found.append(slot.observation)
            else:
                found.append(silent(slot.endpoint, targets, "has not answered yet"))
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
