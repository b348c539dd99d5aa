"""How busy the node is: CPU, memory and pressure, from files that never block."""

from rtscope.model.facts import fact
from rtscope.procfs.host import Host

_BYTES = 8192


@fact
class Gauges:
    """One reading.

    Attributes:
        busy, total: CPU time since boot in ticks, of all CPUs. Source: proc_stat(5), first line.
        memory_percent: Memory that cannot be given to a new process.
            Source: proc_meminfo(5), MemAvailable.
        pressure_percent: Part of the last 10 s in which some task waited for CPU, memory or I/O,
            the worst of the three, by name. Source: Linux, Documentation/accounting/psi.rst.
    """

    busy: int | None = None
    total: int | None = None
    memory_percent: float | None = None
    pressure_percent: float | None = None
    pressure_of: str | None = None

    def cpu_percent(self, before: "Gauges | None") -> float | None:
        """Between two readings; None without a first one."""
        if before is None or None in (self.busy, self.total, before.busy, before.total):
            return None
        assert self.busy is not None
        assert self.total is not None
        assert before.busy is not None
        assert before.total is not None
        total = self.total - before.total
        return None if total <= 0 else 100 * max(0, self.busy - before.busy) / total


def read_gauges(host: Host) -> Gauges:
    """What can be read now; what cannot is None."""
    busy, total = _cpu(_text(host, "/proc/stat"))
    pressure, name = _pressure(host)
    return Gauges(
        busy=busy,
        total=total,
        memory_percent=_memory(_text(host, "/proc/meminfo")),
        pressure_percent=pressure,
        pressure_of=name,
    )


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path, _BYTES).decode("ascii", "replace")
    except OSError:
        return ""


def _cpu(text: str) -> tuple[int | None, int | None]:
    words = text.split("\n", 1)[0].split()
    if len(words) < 6 or words[0] != "cpu":
        return None, None
    ticks = [int(word) for word in words[1:9]]
    idle = ticks[3] + ticks[4]
    return sum(ticks) - idle, sum(ticks)


def _memory(text: str) -> float | None:
    values = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            values[name] = int(rest.split()[0])
    if len(values) < 2 or not values["MemTotal"]:
        return None
    return 100 * (1 - values["MemAvailable"] / values["MemTotal"])


def _pressure(host: Host) -> tuple[float | None, str | None]:
    found = []
    for name in ("cpu", "memory", "io"):
        _, mark, rest = _text(host, f"/proc/pressure/{name}").partition("some avg10=")
        if mark:
            found.append((float(rest.split()[0]), name))
    return max(found) if found else (None, None)
