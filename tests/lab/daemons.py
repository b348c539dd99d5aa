"""Starts daemons in the lab's cgroup, remembers exactly which processes they are."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from tests.lab import processes
from tests.lab.layout import LabError, Layout

READY_S = 60.0
STOP_S = 15.0
_LOG_TAIL = 2000
# setsid -f: init becomes the parent, so no zombie of ours is left when a daemon dies.
_START = 'echo $$ > "$0.new" && mv "$0.new" "$0" && exec "$@"'


class Daemons:
    """The daemons of one lab by name; identities are kept in DIR/daemons.json."""

    def __init__(self, layout: Layout, environ: Mapping[str, str]) -> None:
        self._layout = layout
        self._environ = dict(environ)
        self._commands: dict[str, list[str]] = {}
        self._file = layout.path("daemons.json")
        self._known: dict[str, tuple[int, int]] = {}
        if os.path.exists(self._file):
            with open(self._file) as file:
                document = json.load(file)
            self._known = {n: (d["pid"], d["start_ticks"]) for n, d in document.items()}
            self._commands = {n: d["command"] for n, d in document.items()}

    @property
    def pids(self) -> dict[str, int]:
        """The daemons that live."""
        return {n: pid for n, (pid, start) in self._known.items() if processes.is_alive(pid, start)}

    def names(self) -> list[str]:
        return list(self._known)

    def identity(self, name: str) -> tuple[int, int]:
        """(pid, start in clock ticks since boot), living or not."""
        return self._known[name]

    def start(self, name: str, command: Sequence[str]) -> int:
        """Start it; it serves only once `wait_ready` says so."""
        self._commands[name] = list(command)
        pid_file = self._layout.path(f"pid/{name}")
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        inner = ["setsid", "-f", "sh", "-c", _START, pid_file, *command]
        with open(self._layout.path(f"log/{name}.log"), "ab") as log:
            subprocess.run(
                processes.in_cgroup(self._layout.cgroup, inner),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ,
                check=True,
            )
        if not processes.wait_until(lambda: os.path.exists(pid_file), READY_S, 0.005):
            raise LabError(f"{name} did not start")
        with open(pid_file) as file:
            pid = int(file.read())
        stat = processes.stat_of(pid)
        if stat is None:
            raise LabError(f"{name} ended at once:\n{self.log(name)}")
        self._known[name] = (pid, stat.start_ticks)
        self._save()
        return pid

    def wait_ready(self, name: str, answers: Callable[[], object]) -> None:
        """Poll `answers` (raises or is false until it serves)."""
        end = time.monotonic() + READY_S
        while True:
            if not processes.is_alive(*self._known[name]):
                raise LabError(f"{name} died:\n{self.log(name)}")
            try:
                if answers():
                    return
            except (OSError, LabError, ValueError) as error:
                last: object = error
            else:
                last = "no answer"
            if time.monotonic() > end:
                raise LabError(f"{name} does not serve ({last}):\n{self.log(name)}")
            time.sleep(0.03)

    def signal(self, name: str, number: int) -> bool:
        return processes.send(*self._known[name], number)

    def wait_gone(self, name: str, seconds: float = STOP_S) -> bool:
        pid, start = self._known[name]
        return processes.wait_until(lambda: not processes.is_alive(pid, start), seconds)

    def restart(self, name: str) -> int:
        """Start it again as before; it must be gone."""
        return self.start(name, self._commands[name])

    def log(self, name: str) -> str:
        try:
            with open(self._layout.path(f"log/{name}.log"), errors="replace") as file:
                return file.read()[-_LOG_TAIL:]
        except OSError:
            return ""

    def _save(self) -> None:
        document = {
            name: {"pid": pid, "start_ticks": start, "command": self._commands[name]}
            for name, (pid, start) in self._known.items()
        }
        with open(self._file + ".new", "w") as file:
            json.dump(document, file)
        os.rename(self._file + ".new", self._file)
