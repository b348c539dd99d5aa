"""Containers that systemd-machined has registered: those of systemd-nspawn and of libvirt-lxc.

machined writes one file a machine below /run/systemd/machines, made of lines KEY=VALUE. Reading
them needs no daemon, no D-Bus and no root.

Source: systemd, src/machine/machine.c, machine_save(); systemd-machined.service(8).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Self

from rtscope.backends.base import Backend, Discovering, Draft, Targets
from rtscope.config.deadlines import Deadlines
from rtscope.config.settings import Settings
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.records import ContainerRecord
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Layer, Reason, State
from rtscope.procfs.host import Host

KIND = "nspawn"
MACHINES = "/run/systemd/machines"
MAX_BYTES = 64 << 10
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class NspawnBackend:
    """Reads one directory of machine files."""

    name: ClassVar[str] = KIND
    wave: ClassVar[int] = 2  # files only: it waits for no daemon

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    @classmethod
    def discover(cls, kernel: Observation, host: Host, settings: Settings) -> Iterable[Endpoint]:
        """The directory of this node, and those that the configuration names."""
        if host.exists(MACHINES):
            yield Endpoint(kind=KIND, address=MACHINES, found_by=("default path",))
        for path in settings.roots.get(KIND, ()):
            yield Endpoint(kind=KIND, address=path, found_by=("configuration",))

    @classmethod
    def connect(cls, endpoint: Endpoint, deadlines: Deadlines) -> Self:
        """Opens nothing: `observe` does."""
        return cls(endpoint)

    def observe(self, targets: Targets) -> Observation:
        """One record for each container; a file that says nothing useful is a gap."""
        draft = Draft(self._endpoint, targets)
        directory = self._endpoint.address
        draft.asked(directory)
        try:
            names = sorted(targets.host.names(directory))
        except OSError as error:
            is_gone = isinstance(error, FileNotFoundError)
            reason = Reason.ABSENT if is_gone else Reason.DENIED
            draft.describe(state=EndpointState.ABSENT if is_gone else EndpointState.DENIED)
            draft.gap("containers", reason, f"{directory}: {(error.strerror or '').lower()}")
            return draft.observation()
        draft.answered()
        for name in self._wanted(names, targets):
            self._read(f"{directory}/{name}", draft, targets.host)
        return draft.observation()

    def close(self) -> None:
        """Nothing is held open."""

    def _wanted(self, names: Iterable[str], targets: Targets) -> Iterator[str]:
        """All of them, or those that were asked for.

        Beside the files lie `unit:NAME` links and, while one is written, hidden files.
        """
        asked = None if targets.scope is None else {ref.id for ref in targets.scope}
        for name in names:
            if not name.startswith(".") and ":" not in name and (asked is None or name in asked):
                yield name

    def _read(self, path: str, draft: Draft, host: Host) -> None:
        name = path.rsplit("/", 1)[-1]
        try:
            facts = parse_machine(host.read(path, MAX_BYTES))
        except FileNotFoundError:
            return  # it ended while we looked
        except OSError as error:
            detail = f"{path}: {(error.strerror or '').lower()}"
            draft.gap("container", Reason.DENIED, detail, subject=name)
            return
        if not facts:
            draft.gap("container", Reason.MALFORMED, f"{path}: no machine's file", subject=name)
        elif facts.get("CLASS") == "container":
            draft.add(record_from_machine(self._endpoint.address, name, facts))


def parse_machine(content: bytes) -> dict[str, str]:
    """The lines KEY=VALUE of a machine's file; what is none is left out."""
    facts = {}
    for line in content.decode("utf-8", "replace").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#") and key.isupper():
            facts[key] = value.strip('"')
    return facts


def record_from_machine(directory: str, name: str, facts: Mapping[str, str]) -> ContainerRecord:
    """A machine as a container; the join looks its leader up in /proc."""
    return ContainerRecord(
        ref=Ref(origin=directory, namespace="", id=name),
        layer=Layer.ENGINE,
        name=facts.get("NAME", name),
        state=State.RUNNING,
        state_raw="running",
        pid=_number(facts.get("LEADER")),
        created_at=_instant(facts.get("REALTIME")),
        image_ref=facts.get("ROOT"),
        labels={"service": facts["SERVICE"]} if "SERVICE" in facts else {},
    )


def _number(text: str | None) -> int | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 18:
        return None
    return int(text) or None


def _instant(text: str | None) -> datetime | None:
    """Microseconds since the epoch."""
    microseconds = _number(text)
    try:
        return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


# mypy fails here when a method is missing or misspelt.
_CONFORMS: type[Backend] = NspawnBackend
_DISCOVERS: type[Discovering] = NspawnBackend
