"""Every number of seconds of the program, in one place.

Source of the values: docs/architecture.md, "Deadlines".
"""

from rtscope.model.facts import fact, field_names

DEFAULT_VERB_S = 2.5
"""A reading verb that lists answers within this, whatever the node's daemons do."""

LONGEST_TIMEOUT_S = 86_400.0
"""More than anybody waits, and less than what the system's own clocks can count."""


@fact
class Deadlines:
    """Limits of one run, in seconds."""

    connect_s: float = 0.3
    first_answer_s: float = 1.0
    request_s: float = 1.5
    shim_s: float = 0.5
    verb_s: float = DEFAULT_VERB_S
    slow_s: float = 0.3
    blocking_read_s: float = 0.5

    def scaled_to(self, verb_s: float) -> "Deadlines":
        """These limits stretched or shrunk so that the whole verb takes `verb_s` at most.

        The label `slow` stays where it is: it describes the daemon, not our patience.
        """
        factor = verb_s / self.verb_s
        scaled = {name: getattr(self, name) * factor for name in field_names(Deadlines)}
        return Deadlines(**{**scaled, "slow_s": self.slow_s})


SETTLED_S = 2.0
"""What changed this short a time before it was read may have been seen by some sources only."""

SHIM_GOES_S = 0.1
"""A shim whose container is gone has this long to go, too, before it is called left over."""

REFRESH_S = 2.0
QUIET_REFRESH_S = 5.0
QUIET_AFTER_S = 30.0
RECONCILE_S = 10.0
PAUSE_AFTER_S = 600.0
WATCH_INTERVAL_S = 2.0
WAITING_AFTER_S = 0.3
BACKOFF_S = (5.0, 10.0, 30.0, 60.0)
FADE_S = 10.0
