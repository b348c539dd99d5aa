"""Times the view: first paint, CPU while busy and while idle, memory, and how fast a key acts.

    python -m bench.tui [first busy-300 busy-2000 idle key]

The view runs on a pseudo-terminal of 120x40 as a user runs it: `busy-300` and `idle` against 300
running containers of a lab, `busy-2000` against generated observations that change every second.
"""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence

from bench.measure import ROOT, Limits, interleaved, median_s, run

RTSCOPE = os.path.join(os.path.dirname(sys.executable), "rtscope")
TICKS = os.sysconf("SC_CLK_TCK")
_SPAN_S = 40.0
_QUIET_S = 45.0
_SEQUENCE = re.compile(rb"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>()][A-Z0-9]?")


class View:
    """The view on a terminal of ours."""

    def __init__(self, command: Sequence[str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        environ = {
            **os.environ,
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "XDG_CONFIG_HOME": "/nonexistent",
            "XDG_STATE_HOME": "/tmp/rtscope-bench-state",
            "PYTHONPATH": ROOT,
        }
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environ, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def read(self, seconds: float) -> bytes:
        """What it paints in this time; terminals must be read, or the writer waits."""
        end, got = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self.master], [], [], left)
            if ready:
                got += os.read(self.master, 1 << 16)
        self.seen = (self.seen + got)[-(1 << 20) :]
        return got

    def until(self, text: str, seconds: float = 60) -> float:
        """Seconds until this was painted."""
        start, got = time.monotonic(), b""
        while text.encode() not in _SEQUENCE.sub(b"", got):
            if time.monotonic() - start > seconds:
                raise TimeoutError(f"{text!r} was never painted")
            ready, _, _ = select.select([self.master], [], [], 1)
            if ready:
                got += os.read(self.master, 1 << 16)
        return time.monotonic() - start

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def cpu_s(self) -> float:
        with open(f"/proc/{self.process.pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def rss_mb(self) -> float:
        with open(f"/proc/{self.process.pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)

    def percent_of_a_core(self, seconds: float) -> float:
        before, start = self.cpu_s(), time.monotonic()
        self.read(seconds)
        return 100 * (self.cpu_s() - before) / (time.monotonic() - start)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            with contextlib.suppress(OSError):  # EIO: the other end is closed
                self.read(1)
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


@contextlib.contextmanager
def view(*command: str) -> Iterator[View]:
    one = View(command)
    try:
        yield one
    finally:
        one.close()


def first_paint(limits: Limits) -> None:
    taken = []
    for _ in range(9):
        with view(RTSCOPE) as one:
            one.until("Containers]")
            taken.append(time.monotonic() - one.started)
    imports = interleaved(
        {"textual": lambda: run([sys.executable, "-c", "import textual.app"])}, runs=9
    )
    seconds, textual = sorted(taken)[4], median_s(imports["textual"])
    print(f"first paint {seconds * 1000:.0f} ms, import textual.app {textual * 1000:.0f} ms")
    if seconds > limits._limits["tui"]["first_paint_s"]:
        limits.check("tui", "first_paint_ratio", seconds / textual)
    else:
        limits.check("tui", "first_paint_s", seconds, " s")


def key(one: View, limits: Limits) -> None:
    """From the key to the paint that it causes, while refreshes go on."""
    taken = []
    for number in range(60):
        one.read(0.11)
        start = time.monotonic()
        one.press("j" if number % 40 < 20 else "k")
        while not select.select([one.master], [], [], 5)[0]:
            pass
        taken.append((time.monotonic() - start) * 1000)
    taken.sort()
    print(f"key: median {taken[30]:.1f} ms, worst of 60 {taken[-1]:.1f} ms")
    limits.check("tui", "key_ms", taken[54], " ms")


def busy(limits: Limits, name: str, *command: str, keys: bool = False) -> None:
    with view(*command) as one:
        one.until("running")
        one.read(12)
        limits.check("tui", name, one.percent_of_a_core(_SPAN_S), " %")
        limits.check("tui", "rss_mb", one.rss_mb(), " MB")
        if keys:
            key(one, limits)


def idle(limits: Limits) -> None:
    with view(RTSCOPE) as one:
        one.until("running")
        one.read(_QUIET_S)
        limits.check("tui", "idle_percent", one.percent_of_a_core(_SPAN_S), " %")
        one.press("z")
        one.read(2)
        print(f"  paused: {one.percent_of_a_core(15):.2f} % of a core")


def played(count: int) -> int:
    """The view over generated observations of which one container changes every second."""
    import dataclasses
    import threading

    from rtscope.tui.app import RtscopeApp
    from rtscope.tui.layout import Layout
    from rtscope.tui.log import Log
    from tests.generate import generated_observations
    from tests.tui.nodes import PlayedNode

    node = PlayedNode(generated_observations(count))

    def churn() -> None:
        number = 0
        while True:
            time.sleep(1)
            number += 1
            docker = next(o for o in node.observations.values() if o.kind == "docker")
            first, *rest = docker.containers
            changed = dataclasses.replace(first, restart_count=number)
            node.put(dataclasses.replace(docker, containers=(changed, *rest)))

    threading.Thread(target=churn, daemon=True).start()
    app = RtscopeApp(node, log=Log(os.devnull), layout=Layout(is_seen=True), refresh_s=1.0)
    app.run()
    return 0


def live() -> int:
    """The view as it is, at a refresh of 1 s."""
    from rtscope.config.settings import Settings
    from rtscope.tui.app import run as run_view

    return run_view(Settings(environ=dict(os.environ)), refresh_s=1.0)


def main(argv: Sequence[str]) -> int:
    if argv and argv[0] == "live":
        return live()
    if argv and argv[0] == "played":
        return played(int(argv[1]))
    wanted = set(argv) or {"first", "busy-300", "busy-2000", "idle", "key"}
    limits = Limits()
    if "first" in wanted:
        first_paint(limits)
    if "busy-2000" in wanted:
        print("\n2000 generated containers, one changes every second, refresh 1 s")
        command = (sys.executable, "-m", "bench.tui", "played", "2000")
        busy(limits, "busy_2000_percent", *command, keys="key" in wanted)
    if wanted & {"busy-300", "idle"}:
        from tests.lab.node import many

        with many(300):
            print("\n300 running containers")
            if "busy-300" in wanted:
                command = (sys.executable, "-m", "bench.tui", "live")
                busy(limits, "busy_300_percent", *command, keys="key" in wanted)
            if "idle" in wanted:
                idle(limits)
    return limits.exit_code()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(code)
