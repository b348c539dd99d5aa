"""Running commands side by side: wall time, peak memory, medians and limits."""

import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RUNS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    seconds: float
    peak_bytes: int
    stdout: str
    code: int


def run(command: Sequence[str], environ: Mapping[str, str] | None = None) -> Run:
    """One run of a command, its own process group's leader; peak memory is that of the process."""
    read_end, write_end = os.pipe()
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=write_end,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environ or {})},
    )
    os.close(write_end)
    chunks = []
    while chunk := os.read(read_end, 1 << 16):
        chunks.append(chunk)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - start
    os.close(read_end)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        seconds=seconds,
        peak_bytes=usage.ru_maxrss * 1024,
        stdout=b"".join(chunks).decode(errors="replace"),
        code=process.returncode,
    )


def interleaved(
    contestants: Mapping[str, Callable[[], Run]], runs: int = RUNS
) -> dict[str, list[Run]]:
    """Every contestant once a round, so that a noisy minute hits all of them."""
    taken: dict[str, list[Run]] = {name: [] for name in contestants}
    for contestant in contestants.values():
        contestant()
    for _ in range(runs):
        for name, contestant in contestants.items():
            taken[name].append(contestant())
    return taken


def median_s(runs: Sequence[Run]) -> float:
    return statistics.median(r.seconds for r in runs)


class Limits:
    """bench/limits.toml, and what went beyond it."""

    def __init__(self) -> None:
        with open(os.path.join(ROOT, "bench", "limits.toml"), "rb") as file:
            self._limits = tomllib.load(file)
        self.beyond: list[str] = []

    def check(self, section: str, name: str, value: float, unit: str = "") -> None:
        limit = self._limits[section][name]
        is_met = value <= limit
        print(
            f"  {name:<28}{value:>9.2f}{unit}   limit {limit}{unit}",
            "ok" if is_met else "NOT MET",
        )
        if not is_met:
            self.beyond.append(f"{section}.{name}")

    def exit_code(self) -> int:
        if self.beyond:
            print(f"beyond the limit: {', '.join(self.beyond)}", file=sys.stderr)
        return 1 if self.beyond else 0
