"""One source's place in the schedule. Pure: the caller brings the clock."""

from collections.abc import Iterable

from rtscope.config.deadlines import BACKOFF_S, RECONCILE_S, WAITING_AFTER_S
from rtscope.model.facts import fact, replace
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.state import ANSWERED, EndpointState

UNHURRIED = frozenset({"oci", "dockerfs", "podmanfs", "kubelet"})
"""State directories: they change when processes do, and are read again when those did."""

_HELD = {"T": EndpointState.STOPPED, "t": EndpointState.STOPPED, "D": EndpointState.BLOCKED}


@fact
class SourceView:
    """How a source stands at this moment.

    Attributes:
        waiting_s: How long its request is out; None if none is, or not for long.
        age_s: Since its last answer; None before the first.
        next_s: Until it is asked again; None while it is asked, or where a change asks it.
    """

    endpoint: Endpoint
    waiting_s: float | None = None
    age_s: float | None = None
    next_s: float | None = None

    @property
    def word(self) -> str:
        """`ok`, `silent`, or `waiting 0.3 s`."""
        if self.waiting_s is not None and self.endpoint.skip is None:
            return f"waiting {self.waiting_s:.1f} s"
        if self.endpoint.state is EndpointState.UNKNOWN:
            return "asking"
        return self.endpoint.state.value


class Slot:
    """One source: whether it is being asked, what it said last, and when it is due.

    Attributes:
        asked_at: When the request that is out was made; None if none is out.
        is_again: It is to be asked once more as soon as the answer is there.
        is_owed: Something changed, and it was not heard since.
        failures: Requests in a row that nobody answered.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.observation: Observation | None = None
        self.asked_at: float | None = None
        self.answered_at: float | None = None
        self.due_at = 0.0
        self.is_again = False
        self.is_owed = False
        self.failures = 0
        self.cost_s = 0.0

    @property
    def is_timed(self) -> bool:
        """Whether a timer asks it: shims are asked on doubt only."""
        return self.endpoint.kind != "shim"

    @property
    def is_of_files(self) -> bool:
        """Whether it is read from the node's own files and shims: no daemon can hold it up."""
        return self.endpoint.kind in UNHURRIED or not self.is_timed

    def found(self, endpoint: Endpoint, now: float) -> bool:
        """Discovery saw it again; whether what is shown of it changes."""
        before, self.endpoint = self.endpoint, endpoint
        if before.skip is not endpoint.skip or before.daemon != endpoint.daemon:
            self.due_at = now
            self.failures = 0
            return True
        return False

    def hold(self, letter: str | None) -> bool:
        """Its holder stands still (T, D) or went on; whether that is new."""
        state = _HELD.get(letter or "")
        if state is not None and self.endpoint.skip is None:
            detail = f"its holder is {state} (state {letter})"
            self.endpoint = replace(
                self.endpoint, skip=state, skip_detail=detail, holder_state=letter
            )
            return True
        is_ours = self.endpoint.skip in _HELD.values()
        if state is None and is_ours and letter is not None:
            self.endpoint = replace(self.endpoint, skip=None, skip_detail="", holder_state=letter)
            self.due_at = 0.0
            self.failures = 0
            return True
        return False

    def may_ask(self, now: float) -> bool:
        return self.asked_at is None and self.endpoint.skip is None and now >= self.due_at

    def asked(self, now: float) -> None:
        self.asked_at = now
        self.is_again = False

    def poke(self, now: float, gap_s: float) -> None:
        """Something changed: ask it soon, unless it does not answer anyway."""
        if self.endpoint.skip is not None or self.failures:
            return
        self.is_owed = True
        if self.asked_at is not None:
            self.is_again = True
        else:
            last = self.answered_at if self.answered_at is not None else now - gap_s
            self.due_at = min(self.due_at, last + gap_s)

    def answered(self, observation: Observation, now: float, cost_s: float) -> None:
        self.asked_at = None
        self.is_owed = self.is_again
        self.observation = observation
        self.cost_s = cost_s
        state = observation.endpoint.state
        if state in ANSWERED:
            self.answered_at = now
        self.failures = self.failures + 1 if state is EndpointState.SILENT else 0

    def schedule(self, now: float, interval_s: float) -> None:
        """When it is due next, given how often a healthy source is asked."""
        if self.failures:
            self.due_at = now + BACKOFF_S[min(self.failures, len(BACKOFF_S)) - 1]
        elif not self.is_timed:
            self.due_at = float("inf")
        else:
            self.due_at = now + interval_s
        if self.is_again and not self.failures:
            self.is_again = False
            self.due_at = now

    def view(self, now: float) -> SourceView:
        last = self.observation.endpoint if self.observation is not None else self.endpoint
        if self.endpoint.skip is not None:
            last = replace(self.endpoint, state=self.endpoint.skip, version=last.version)
        else:
            last = replace(last, queue=self.endpoint.queue)
        waiting = None if self.asked_at is None else now - self.asked_at
        return SourceView(
            endpoint=last,
            waiting_s=waiting if waiting is not None and waiting >= WAITING_AFTER_S else None,
            age_s=None if self.answered_at is None else now - self.answered_at,
            next_s=None
            if self.asked_at is not None or self.due_at == float("inf")
            else max(0.0, self.due_at - now),
        )


def interval_of(slot: Slot, slots: Iterable[Slot], refresh_s: float, share: float) -> float:
    """Seconds between two questions, so that asking everybody takes that share of one core."""
    total_s = sum(one.cost_s for one in slots)
    fair_s = total_s / share
    if slot.endpoint.kind in UNHURRIED:
        return max(RECONCILE_S, fair_s)
    return max(refresh_s, min(fair_s, 6 * RECONCILE_S))
