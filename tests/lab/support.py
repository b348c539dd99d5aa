"""What was really run: the table of docs/support.md, computed from labs.

python -m tests.lab.support writes it into the file; the test compares.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.lab import asking, engines
from tests.lab.node import Node

PATH = os.path.join(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
    "docs",
    "support.md",
)
BEGIN, END = "<!-- table: python -m tests.lab.support -->", "<!-- end of table -->"
HEAD = ("system", "version", "listed", "sandbox", "task", "shim", "OCI state", "process tree")
ATTEMPTS = 4
LAYERS = ("sandbox", "task", "shim", "oci", "process")
APPLIES = {
    "docker": ("task", "shim", "oci", "process"),
    "containerd (ctr)": ("task", "shim", "oci", "process"),
    "CRI plugin of containerd": LAYERS,
    "podman": ("shim", "oci", "process"),
    "runc, bare": ("oci", "process"),
    "crun, bare": ("oci", "process"),
    "runsc, bare": ("oci", "process"),
    "youki, bare": ("oci", "process"),
    "crun under docker, ctr, CRI, podman": ("oci", "process"),
    "runsc under docker, ctr": ("task", "shim", "oci", "process"),
    "youki under ctr": ("task", "shim", "oci", "process"),
    "containerd-shim-runc-v1": ("task", "shim", "oci", "process"),
    "containerd-shim (runtime.v1.linux)": ("task", "shim", "oci", "process"),
}


def systems_of(entry: Mapping[str, Any]) -> Iterator[str]:
    """The systems that a container is an example of."""
    runtime, engine = entry["oci_runtime"], entry["engine"]
    if engine == "oci":
        yield f"{runtime}, bare"
        return
    names = {"docker": "docker", "containerd": "containerd (ctr)", "podman": "podman"}
    yield names.get(engine, "CRI plugin of containerd")
    for other in ("crun", "runsc", "youki"):
        if runtime == other:
            yield next(name for name in APPLIES if name.startswith(f"{other} under"))
    kind = entry["runtime_type"] or ""
    if kind.endswith("runc.v1"):
        yield "containerd-shim-runc-v1"
    if kind.endswith("v1.linux"):
        yield "containerd-shim (runtime.v1.linux)"


def version_of(node: Node, system: str) -> str:
    """The version of the system in this lab."""
    versions = node.versions()
    keys = {
        "docker": "dockerd", "podman": "podman", "runc, bare": "runc", "crun, bare": "crun",
        "runsc, bare": "runsc", "youki, bare": "youki",
    }  # fmt: skip
    key = keys.get(system, "containerd")
    for name in ("crun", "runsc", "youki"):
        if system.startswith(f"{name} under"):
            key = name
    text = versions.get(key, "")
    youki = engines.youki()
    if key == "youki" or system.startswith("youki"):
        text = _printed(youki) if youki else ""
    pattern = r"\d{8}" if key == "runsc" else r"\d+\.\d+(\.\d+)?"
    found = re.search(pattern, text)
    return found[0] if found else text or "unknown"


def _printed(binary: str) -> str:
    return subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout


def lines(nodes: Sequence[Node]) -> list[str]:
    """The table's rows; asked again where something seems missing while the machine is busy."""
    for _ in range(ATTEMPTS - 1):
        found = _lines(nodes)
        if not any("| NO |" in line for line in found):
            return found
    return _lines(nodes)


def _lines(nodes: Sequence[Node]) -> list[str]:
    """The table's rows, each system and version once, sorted."""
    found: dict[tuple[str, str], dict[str, bool]] = {}
    for node in nodes:
        rows = {asking.key_of(row): row for row in asking.rows(node)}
        for entry in node.population():
            if entry["restless"]:
                continue
            row = rows.get(asking.key_of(entry))
            for system in systems_of(entry):
                marks = found.setdefault((system, version_of(node, system)), {"listed": True})
                marks["listed"] &= row is not None
                if row is None or entry["pid"] is None or entry["kind"] == "sandbox":
                    continue
                for layer in APPLIES[system]:
                    is_ok = row["layers"].get(layer, {}).get("verdict") == "ok"
                    marks[layer] = marks.get(layer, True) and is_ok
    order = list(APPLIES)
    return [_line(*key, found[key]) for key in sorted(found, key=lambda k: (order.index(k[0]), k))]


def _line(system: str, version: str, marks: Mapping[str, bool]) -> str:
    cells = ["yes" if marks["listed"] else "NO"]
    for layer in LAYERS:
        if layer not in APPLIES[system]:
            cells.append("-")
        else:
            cells.append({True: "yes", False: "NO", None: "not run"}[marks.get(layer)])
    return f"| {system} | {version} | {' | '.join(cells)} |"


def committed() -> list[str]:
    """The rows that stand in docs/support.md."""
    with open(PATH, encoding="utf-8") as file:
        inside = file.read().split(BEGIN, 1)[1].split(END, 1)[0]
    return [line for line in inside.splitlines() if line.startswith("| ")][2:]


def write(table: list[str]) -> None:
    """Put the rows into the file."""
    with open(PATH, encoding="utf-8") as file:
        before, rest = file.read().split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    head = [f"| {' | '.join(HEAD)} |", "|" + " --- |" * len(HEAD)]
    with open(PATH, "w", encoding="utf-8") as file:
        file.write(before + BEGIN + "\n" + "\n".join([*head, *table]) + "\n" + END + after)


def main() -> None:
    """Bring up one lab of each generation and write what was seen."""
    table: list[str] = []
    for generation in ("forky", "trixie", "host"):
        with Node(f"support-{generation}", generation=generation) as node:
            table += lines([node])
    order = list(APPLIES)
    write(sorted(set(table), key=lambda line: (order.index(line.split(" | ")[0][2:]), line)))


if __name__ == "__main__":
    main()
