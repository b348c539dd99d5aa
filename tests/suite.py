"""Runs the groups of tests, each in a process of its own, and prints a table of minutes.

    python -m tests.suite lint|unit|test|all

A group that needs real daemons or a terminal gets a second try of what failed, alone and after the
others: the machines are shared and slow, and a test that passes then is listed by name as such. A
test that fails twice fails the run.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

BIN = os.path.join(os.path.dirname(sys.executable), "")
GROUP_LIMIT_S = 40 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    pytest: tuple[str, ...] = ()
    retries: int = 0


@dataclass(slots=True)
class Outcome:
    name: str
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    is_ok: bool = True
    second_try: list[str] = field(default_factory=list)


LINT = Group(
    name="lint",
    commands=(
        (BIN + "ruff", "format", "--check", "."),
        (BIN + "ruff", "check", "."),
        (BIN + "mypy",),
        (BIN + "lint-imports",),
    ),
)
PREPARE = Group(
    name="prepare",
    commands=(
        (sys.executable, "-m", "tests.lab.prepare", "--suites", "forky,trixie", "--youki"),
        (sys.executable, "-m", "tests.contract.prepare"),
        (sys.executable, "-m", "tests.lab.vm", "build"),
    ),
)
UNIT = Group(name="unit", pytest=("tests/unit", "tests/cli", "tests/fuzz", "-n", "2"), retries=1)
VIEW = Group(name="view", pytest=("tests/tui",), retries=1)
CONTRACT = Group(name="contract", pytest=("tests/contract",), retries=1)
LAB = Group(name="lab", pytest=("tests/lab", "-m", "not long"), retries=1)
LONG = Group(name="long", pytest=("tests", "-m", "long"), retries=1)

PLANS: dict[str, tuple[Group, ...]] = {
    "lint": (LINT,),
    "unit": (UNIT,),
    "test": (LINT, PREPARE, UNIT, VIEW, CONTRACT, LAB),
    "all": (LINT, PREPARE, UNIT, VIEW, CONTRACT, LAB, LONG),
}


def run_commands(group: Group) -> Outcome:
    outcome = Outcome(group.name)
    for command in group.commands:
        print(f"+ {' '.join(command)}", flush=True)
        if subprocess.run(command, stdin=subprocess.DEVNULL, timeout=GROUP_LIMIT_S).returncode:
            outcome.is_ok = False
    return outcome


def run_pytest(group: Group) -> Outcome:
    outcome = Outcome(group.name)
    with tempfile.TemporaryDirectory(prefix="rtscope-suite-") as cache:
        base = [sys.executable, "-m", "pytest", "-q", "--durations=5", "-o", f"cache_dir={cache}"]
        code, text = _tee([*base, *group.pytest])
        _count(text, outcome)
        tries = 0
        while code == 1 and tries < group.retries:
            tries += 1
            failed = sorted(set(re.findall(r"^(?:FAILED|ERROR) (\S+)", text, re.MULTILINE)))
            print(f"+ second try of {len(failed)} tests of {group.name}", flush=True)
            code, text = _tee([*base, *group.pytest, "--lf", "--lfnf=none"])
            if code == 0:
                outcome.second_try = failed
                outcome.passed += outcome.failed
                outcome.failed = 0
        outcome.is_ok = code == 0
    return outcome


def _tee(command: Sequence[str]) -> tuple[int, str]:
    print(f"+ {' '.join(command)}", flush=True)
    lines: list[str] = []
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.decode(errors="replace")
        lines.append(line)
        print(line, end="", flush=True)
    return process.wait(timeout=GROUP_LIMIT_S), "".join(lines)


def _count(text: str, outcome: Outcome) -> None:
    summary = next((s for s in reversed(text.splitlines()) if re.search(r"\d+ \w+.* in ", s)), "")
    for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", summary):
        if word == "passed":
            outcome.passed += int(number)
        elif word == "skipped":
            outcome.skipped += int(number)
        else:
            outcome.failed += int(number)


def main(argv: Sequence[str]) -> int:
    if len(argv) != 1 or argv[0] not in PLANS:
        print(__doc__, file=sys.stderr)
        return 2
    outcomes = []
    for group in PLANS[argv[0]]:
        start = time.monotonic()
        print(f"\n=== {group.name}", flush=True)
        outcome = run_pytest(group) if group.pytest else run_commands(group)
        outcome.seconds = time.monotonic() - start
        outcomes.append(outcome)
        if group is PREPARE and not outcome.is_ok and os.environ.get("RTSCOPE_REQUIRE_LAB") == "1":
            print("the lab could not be prepared: stopping here", file=sys.stderr)
            break
    print(f"\n{'group':<10}{'minutes':>8}{'passed':>8}{'failed':>8}{'skipped':>9}")
    for o in outcomes:
        word = "" if o.is_ok else "  FAILED"
        print(f"{o.name:<10}{o.seconds / 60:>8.1f}{o.passed:>8}{o.failed:>8}{o.skipped:>9}{word}")
        for name in o.second_try:
            print(f"    passed only at the second try: {name}")
    total = sum(o.seconds for o in outcomes) / 60
    print(f"{'total':<10}{total:>8.1f}")
    passed, failed = sum(o.passed for o in outcomes), sum(o.failed for o in outcomes)
    print(f"{passed} passed, {failed} failed, {sum(o.skipped for o in outcomes)} skipped")
    return 0 if all(o.is_ok for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
