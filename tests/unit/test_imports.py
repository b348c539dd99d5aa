"""What each command line loads: the price of a prompt answer at 3 a.m."""

import subprocess
import sys

import pytest

HEAVY = (
    "textual", "rich", "docker", "asyncio", "logging", "importlib.metadata", "pathlib", "shutil",
    "tempfile", "concurrent.futures", "http.client", "yaml", "shtab", "psutil", "urllib.request",
)  # fmt: skip

PROBE = """
import sys
sys.stdout = open("/dev/null", "w")
from rtscope.cli import run
try:
    run(sys.argv[1:])
finally:
    print(" ".join(sys.modules), file=sys.__stdout__)
"""


def modules_after(*words):
    result = subprocess.run(
        [sys.executable, "-c", PROBE, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(result.stdout.split())


def test_version_loads_next_to_nothing():
    loaded = modules_after("--version")
    assert not loaded & {"argparse", "dataclasses", "datetime", "json", "re", *HEAVY}


@pytest.mark.parametrize("words", [("--help",), ("ps", "--help"), ("tree", "--help")])
def test_help_loads_nothing_heavy(words):
    assert not modules_after(*words) & {*HEAVY, "grpc", "google.protobuf"}


@pytest.mark.parametrize("verb", ["ps", "tree", "sources"])
def test_recording_is_shown_without_anything_heavy(verb, tmp_path):
    from rtscope.capture.file import save
    from tests.unit.capture.build import plain_observation

    path = str(tmp_path / "node.json")
    save(path, (plain_observation(),))
    loaded = modules_after(verb, "--from", path)
    assert "rtscope.render.document" in loaded
    assert not loaded & {*HEAVY, "grpc", "google.protobuf"}


def test_live_list_loads_neither_the_view_nor_grpcio():
    loaded = modules_after("ps")
    assert not loaded & {"textual", "rich", "docker", "asyncio", "logging", "importlib.metadata"}
