"""Hostile names, labels, commands: no byte of them reaches a terminal raw, none is lost in JSON."""

import json
import os
import subprocess
import sys
import unicodedata
from collections.abc import Iterator

import pytest

from tests.lab import asking, processes
from tests.lab import seed as seeds
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

# Direction marks and isolates. Source: Unicode Standard Annex 9, table of explicit characters.
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
WEIRD = ("d-weird", "t-weird", "p-weird")
VIEWS = (
    asking.EVERYTHING,
    (*asking.EVERYTHING, "-o", "wide", "--no-trunc"),
    ("tree",),
    ("tree", "--no-trunc"),
    ("sources", "-o", "wide"),
)


def dangerous(text: str) -> set[str]:
    """Characters that could move the cursor, colour the terminal or turn the text around."""
    return {
        char
        for char in text
        if (unicodedata.category(char) in ("Cc", "Cs") and char != "\n") or char in BIDI
    } | (set("\u2028\u2029") & set(text))


@pytest.mark.parametrize("view", VIEWS, ids=" ".join)
def test_nothing_that_steers_a_terminal_is_printed(node: Node, view: tuple[str, ...]) -> None:
    done = subprocess.run(
        [asking.RTSCOPE, *view, *asking.PATIENT, "--color", "never"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for stream in (done.stdout, done.stderr):
        assert dangerous(stream.decode("utf-8")) == set()


def test_one_row_a_container_in_the_table(node: Node) -> None:
    done = asking.run(*asking.EVERYTHING, *asking.PATIENT, "-o", "wide", "--no-trunc")
    lines = done.stdout.splitlines()
    listed = asking.document(*asking.EVERYTHING, *asking.PATIENT)["containers"]
    for name in WEIRD:
        rows = [row for row in listed if row["name"] == name]
        assert rows
        assert sum(name in line.split() for line in lines) >= 1
    ids = {row["id"] for row in asking.of_node(node, listed)}
    for identifier in ids:
        assert sum(line.split()[0] == identifier for line in lines if line.strip()) >= 1
    # The header, and a line for each row: nothing that a label holds has made another.
    assert abs(len(lines) - 1 - len(listed)) <= others_changed(node, listed)


def others_changed(node: Node, listed: list[dict[str, object]]) -> int:
    """How many rows of other labs on this machine may have come or gone in between."""
    return len(listed) - len(asking.of_node(node, listed))


def test_json_keeps_labels_complete(node: Node) -> None:
    rows = {row["name"]: row for row in asking.rows(node)}
    docker = rows["d-weird"]["labels"]
    assert docker[f"key{seeds.HOSTILE}"] == seeds.HOSTILE
    assert docker["nul"] == "a\0b"
    assert docker["big"] == "x" * seeds.BIG_LABEL_BYTES
    assert rows["t-weird"]["labels"]["weird"] == seeds.HOSTILE
    assert rows["p-weird"]["labels"]["weird"] == seeds.HOSTILE


def test_json_keeps_commands_complete(node: Node) -> None:
    rows = {row["name"]: row for row in asking.rows(node)}
    # Of a container of ctr's only its bundle tells the command, which a listing does not read.
    for name in ("d-weird", "p-weird"):
        assert seeds.HOSTILE in rows[name]["command"], name


def test_json_is_ascii_or_escaped(node: Node) -> None:
    done = subprocess.run(
        [asking.RTSCOPE, *asking.EVERYTHING, *asking.PATIENT, "-o", "json"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    text = done.stdout.decode("utf-8")
    json.loads(text)
    assert "\x1b" not in text
    assert "\0" not in text


def test_annotations_of_pods_reach_no_terminal(node: Node) -> None:
    done = asking.run("ps", "-a", "--sandboxes", "--filter", "pod=web", "-o", "wide")
    assert done.returncode == 0, done.stderr
    assert dangerous(done.stdout) == set()
    assert "web" in done.stdout


@pytest.fixture
def garbled(node: Node) -> Iterator[int]:
    """A process in a container's cgroup whose arguments and name are no UTF-8; its pid."""
    beside = node.entry("d-run")["pid"]
    mounts = processes.hierarchies()
    cgroups = [
        f"{mounts[name]}{path}/cgroup.procs"
        for name, path in processes.cgroups_of(beside).items()
        if name in mounts and path != "/"
    ]
    script = (
        "import sys, time\n"
        "for path in sys.argv[2:]:\n"
        "    open(path, 'w').write('0')\n"
        "open('/proc/self/comm', 'wb').write(b'\\xff\\x1b[2J\\n\\xfe')\n"
        "print('ready', flush=True)\n"
        "time.sleep(3600)\n"
    )
    words = [sys.executable.encode(), b"-I", b"-S", b"-c", script.encode()]
    words += [b"\xff\xfe\x1b]0;title\x07\xc3\x28\n\xe2\x80\xae", *map(os.fsencode, cgroups)]
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def test_a_process_without_utf8_is_drawn_and_breaks_nothing(node: Node, garbled: int) -> None:
    table = subprocess.run(
        [asking.RTSCOPE, "tree", "--no-trunc", *asking.PATIENT, "--color", "never"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=True,
    )
    text = table.stdout.decode("utf-8")
    assert dangerous(text) == set()
    assert str(garbled) in text
    drawn = {one["pid"]: one for one in asking.document("tree", *asking.PATIENT)["nodes"]}
    assert garbled in drawn
    assert drawn[garbled]["name"]


def test_saving_and_reading_back_keeps_hostile_text(
    node: Node, garbled: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = os.path.join(tmp_path_factory.mktemp("hostile"), "node.json.gz")
    saved = asking.run("observe", path, *asking.PATIENT)
    assert saved.returncode == 0, saved.stderr
    assert "Traceback" not in saved.stderr
    again = asking.document("ps", "-a", "--all-runtimes", "--from", path)
    rows = {row["name"]: row for row in asking.of_node(node, again["containers"])}
    assert rows["d-weird"]["labels"]["nul"] == "a\0b"
    for view in (("ps", "-a"), ("tree",), ("sources",)):
        done = asking.run(*view, "--from", path)
        assert done.returncode == 0, done.stderr
        assert dangerous(done.stdout) == set()
