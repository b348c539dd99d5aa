"""The reading verbs on this machine as it is, whatever runs on it: processes, not functions."""

import json
import subprocess
import sys

import pytest

from tests.unit.render import schemas


def rtscope(*words):
    return subprocess.run(
        [sys.executable, "-m", "rtscope", *words], capture_output=True, text=True, timeout=100
    )


@pytest.mark.parametrize(
    ("verb", "words"),
    [("ps", ("-a", "--all-runtimes")), ("tree", ()), ("sources", ())],
)
def test_document_of_this_machine_follows_its_schema(verb, words):
    done = rtscope(verb, *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    schemas.validate(verb, document)
    assert document["recorded_at"] is None
    assert "Traceback" not in done.stderr


def test_observation_of_this_machine_is_read_back(tmp_path):
    path = str(tmp_path / "node.json.gz")
    done = rtscope("observe", path)
    assert done.returncode == 0, done.stderr
    live = rtscope("ps", "-a", "--all-runtimes", "-q", "--from", path)
    assert live.returncode == 0, live.stderr
    assert len(live.stdout.split("\n")) == len(set(live.stdout.split("\n")))


def test_host_root_without_a_proc_says_so_and_does_not_crash(tmp_path):
    done = rtscope("ps", "--host-root", str(tmp_path))
    assert done.returncode in (0, 2, 5)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
