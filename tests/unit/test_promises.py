"""The page of promises names tests that exist."""

import os
import re

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def defined() -> set[str]:
    names: set[str] = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "tests")):
        for file in files:
            if file.startswith("test_") and file.endswith(".py"):
                with open(os.path.join(folder, file), encoding="utf-8") as source:
                    names |= set(re.findall(r"def (test_\w+)", source.read()))
    return names


def test_every_test_that_the_architecture_names_exists():
    with open(os.path.join(ROOT, "docs", "architecture.md"), encoding="utf-8") as page:
        named = set(re.findall(r"`(test_\w+)`", page.read()))
    assert len(named) > 40
    assert named - defined() == set()


def test_the_stream_that_the_kubelet_reads_is_called_nowhere():
    callers = []
    for folder, _, files in os.walk(os.path.join(ROOT, "rtscope")):
        for file in files:
            path = os.path.join(folder, file)
            if file.endswith(".py") and os.path.basename(folder) != "_pb":
                with open(path, encoding="utf-8") as source:
                    if "GetContainerEvents" in source.read():
                        callers.append(path)
    assert callers == []
