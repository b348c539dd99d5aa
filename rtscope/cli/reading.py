"""From flags to an inventory: the live node, a recording, or the demo node."""

import os
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rtscope.cli.terminal import note
from rtscope.config.effective import Effective, load_settings
from rtscope.errors import ExitCode, UsageError
from rtscope.model.facts import replace
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.state import EndpointState
from rtscope.render.filters import parse_filter
from rtscope.render.notes import (
    failed,
    gap_notes,
    is_incomplete,
    recording_note,
    silent_endpoints,
)

if TYPE_CHECKING:
    from rtscope.cli.rounds import Rounds

DEMO_FILE = os.path.join(os.path.dirname(os.path.dirname(__file__)), "demo", "node.json.gz")
DEMO_PLACE = "--demo"


class Reading:
    """One verb's way to the node; `take` may be called again and again (`--watch`).

    Attributes:
        effective: What was configured, settings included.
        place: File that is shown instead of the node; None for the live node.
        previous: What the last round knew.
        is_repeated: More rounds will follow: shims are asked in the first one only.
    """

    __slots__ = ("_rounds", "effective", "is_repeated", "needs", "place", "previous")

    def __init__(self, needs: frozenset[str], place: str | None, effective: Effective) -> None:
        self.needs = needs
        self.place = place
        self.effective = effective
        self.previous: Inventory | None = None
        self.is_repeated = False
        self._rounds: Rounds | None = None

    @property
    def narrowing(self) -> tuple[str, ...]:
        """The engines that a configuration file narrows the node to; empty is all."""
        return self.effective.settings.engines or ()

    def observations(self) -> tuple[Observation, ...]:
        """What every source says now, or said when it was recorded."""
        if self.place is not None:
            from rtscope.capture.file import load

            recording = load(DEMO_FILE if self.place == DEMO_PLACE else self.place)
            for line in recording.notes:
                note(line)
            return recording.observations
        if self.is_repeated:
            return self._next_round()
        from rtscope.correlate.collect import collect

        return collect(self.effective.settings, needs=self.needs)

    def _next_round(self) -> tuple[Observation, ...]:
        if self._rounds is None:
            from rtscope.cli.rounds import Rounds

            self._rounds = Rounds(self.effective.settings, self.needs)
        return self._rounds.take()

    def take(self) -> Inventory:
        """The node as it stands, joined."""
        return self.joined(self.observations())

    def joined(self, observations: tuple[Observation, ...]) -> Inventory:
        """These observations joined, with what the last round knew."""
        from rtscope.correlate.join import join

        inventory = join(observations, self.previous)
        if self.place is not None:
            taken_at = max((o.taken_at for o in observations), default=inventory.taken_at)
            inventory = replace(inventory, recorded_at=taken_at, is_demo=self.place == DEMO_PLACE)
        self.previous = inventory
        return inventory


def reading_of(args: Namespace, needs: Iterable[str] = ()) -> Reading:
    """The reading that the flags ask for.

    Raises:
        UsageError: flags that exclude each other, a recording that is not there.
    """
    place: str | None = args.from_file
    if args.demo:
        if place is not None:
            raise UsageError("--demo and --from: only one of them")
        if not os.path.exists(DEMO_FILE):
            raise UsageError("--demo: this installation has no demo node", f"missing: {DEMO_FILE}")
        place = DEMO_PLACE
    effective = effective_of(args)
    args.color = effective.color
    return Reading(frozenset(needs), place, effective)


def effective_of(args: Namespace) -> Effective:
    """Flags over environment over files.

    Raises:
        UsageError: a value or a configuration file is not understood.
    """
    given = {
        "timeout": args.timeout,
        "host": tuple(args.host),
        "host_root": args.host_root,
        "engines": engines_of(args),
        "color": args.color,
        "nested": args.nested,
        "activate": args.activate,
        "read_only": args.read_only,
        "all_runtimes": getattr(args, "all_runtimes", False),
    }
    return load_settings(given, os.environ)


def engines_of(args: Namespace) -> tuple[str, ...]:
    """`--engine docker,cri --engine oci` as one list.

    Raises:
        UsageError: there is no such engine.
    """
    names = [name.strip() for text in args.engine for name in text.split(",") if name.strip()]
    return tuple(parse_filter(f"engine={name}").value.lower() for name in names)


def say_notes(inventory: Inventory, args: Namespace) -> None:
    """On stderr: that it is a recording, and which sources did not answer and why."""
    recording = recording_note(inventory, args.from_file or DEMO_PLACE)
    if recording is not None:
        note(recording)
    for line in gap_notes(inventory.gaps, is_verbose=args.verbose):
        note(line)
    for line in silent_endpoints(inventory):
        note(line)


def exit_code(inventory: Inventory, args: Namespace) -> ExitCode:
    """0, 4 under --strict, 5 or 6 where all that was named, or everything, gave nothing."""
    if inventory.recorded_at is None:
        named = [e for e in inventory.endpoints if e.is_named]
        asked = named or [e for e in inventory.endpoints if _counts(e)]
        broken = failed(asked)
        is_empty = not inventory.containers and not inventory.processes
        if asked and len(broken) == len({e.source for e in asked}) and (named or is_empty):
            denied = all(e.state is EndpointState.DENIED for e in broken.values())
            return ExitCode.DENIED if denied else ExitCode.UNREADABLE
    if args.strict and is_incomplete(inventory):
        return ExitCode.INCOMPLETE
    return ExitCode.OK


def _counts(endpoint: Endpoint) -> bool:
    return endpoint.state not in (EndpointState.ABSENT, EndpointState.INACTIVE)
