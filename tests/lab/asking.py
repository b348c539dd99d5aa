"""Runs rtscope as a user does, and picks one lab's rows out of what it prints."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from tests.lab.node import Node

RTSCOPE = os.path.join(os.path.dirname(sys.executable), "rtscope")
EVERYTHING = ("ps", "-a", "--all-runtimes", "--sandboxes")
# What is said counts in tests of content, not how fast: the machines are shared.
PATIENT = ("--timeout", "25s")


def run(
    *arguments: str, environ: Mapping[str, str] | None = None, timeout: float = 60
) -> "subprocess.CompletedProcess[str]":
    """The program's whole answer; the caller looks at the exit code."""
    return subprocess.run(
        [RTSCOPE, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout,
        env={**os.environ, **(environ or {})},
        check=False,
    )


def configured(node: Node) -> dict[str, str]:
    """Names the roots of the lab's bare runtimes, which leave no trace in /proc."""
    folder = node.layout.path("home/config")
    path = os.path.join(folder, "rtscope", "rtscope.toml")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        roots = [node.layout.path(f"oci/{name}") for name in ("runc", "crun", "youki", "runsc")]
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"[roots]\noci = {json.dumps(roots)}\n")
    return {"XDG_CONFIG_HOME": folder}


def document(*arguments: str, environ: Mapping[str, str] | None = None) -> Any:
    """The JSON document of a verb, which must end well and without a traceback."""
    done = run(*arguments, "-o", "json", environ=environ)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


def rows(node: Node, *arguments: str) -> list[dict[str, Any]]:
    """The rows of this lab: other labs may be up on the machine."""
    answer = document(*(arguments or EVERYTHING), *PATIENT, environ=configured(node))
    return of_node(node, answer["containers"])


def of_node(node: Node, containers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those whose store, bundle or cgroup is the lab's."""
    folder, cgroup = node.layout.dir + "/", node.layout.cgroup + "/"
    return [
        row
        for row in containers
        if any(folder in (row[k] or "") + "/" for k in ("origin", "endpoint", "bundle_dir"))
        or cgroup in (row["cgroup_path"] or "")
    ]


def key_of(record: Mapping[str, Any]) -> tuple[str, str, str]:
    """(engine, containerd's namespace, id), as an entry of the population and a row have it."""
    namespace = record["namespace"] or ""
    if record["engine"] in ("docker", "podman", "oci"):
        namespace = ""
    return (record["engine"], namespace, record["id"])
