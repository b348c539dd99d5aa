import gzip
import io
import json
import os
import stat

import pytest

from rtscope.capture import file as capture_file
from rtscope.capture.file import load, save
from rtscope.capture.removed import Removed
from rtscope.errors import UsageError
from tests.unit.capture.build import NOW, full_observation, plain_observation
from tests.unit.render import schemas


@pytest.mark.parametrize("name", ["node.json", "node.json.gz"])
def test_saved_observations_are_read_back(tmp_path, name):
    path = str(tmp_path / name)
    observations = (plain_observation(), full_observation())
    save(path, observations)
    recording = load(path)
    assert recording.observations == observations
    assert recording.recorded_at == max(o.taken_at for o in observations)
    assert recording.notes == ()


def test_saved_file_is_private_and_alone(tmp_path):
    before = os.umask(0)
    try:
        save(str(tmp_path / "node.json"), (plain_observation(),))
    finally:
        os.umask(before)
    assert os.listdir(tmp_path) == ["node.json"]
    assert stat.S_IMODE(os.stat(tmp_path / "node.json").st_mode) == 0o600


def test_saving_over_a_readable_file_makes_it_private(tmp_path):
    path = tmp_path / "node.json"
    path.write_text("old")
    path.chmod(0o644)
    save(str(path), (plain_observation(),))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(str(path)).recorded_at == NOW


def test_same_observations_give_the_same_bytes(tmp_path):
    for name in ("a.json.gz", "b.json.gz"):
        save(str(tmp_path / name), (full_observation(),))
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "b.json.gz").read_bytes()
    assert json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))


def test_failed_save_leaves_the_old_file_and_nothing_beside(tmp_path, monkeypatch):
    path = tmp_path / "node.json"
    path.write_text("old")

    def full_disk(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(capture_file.os, "fsync", full_disk)
    with pytest.raises(UsageError, match="No space left"):
        save(str(path), (plain_observation(),))
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["node.json"]


def test_save_to_a_missing_directory_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be written"):
        save(str(tmp_path / "no" / "node.json"), (plain_observation(),))


def test_save_to_stdout_is_one_ascii_line(capsys):
    save("-", (full_observation(),), (Removed(path="p", reason="r"),))
    text = capsys.readouterr().out
    assert text.isascii()
    assert text.count("\n") == 1
    document = json.loads(text)
    schemas.validate("observe", document)
    assert document["removed"] == [{"path": "p", "reason": "r"}]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[]",
        b"{}",
        b'{"observations": []}',
        b'{"schema_version": 1, "observations": []}',
        b'{"schema_version": 99, "observations": [{}]}',
        b'{"schema_version": 1, "observations": [{}]}',
        b"\x1f\x8b broken",
        gzip.compress(b"{}" * 1000)[:-20],
        b"[" * 200_000,
        b"\xff\xfe",
    ],
    ids=range(12),
)
def test_file_that_is_no_recording_is_a_usage_error_that_names_it(tmp_path, content):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        load(str(path))
    assert "bad.json" in error.value.message


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_file_that_cannot_be_read_is_a_usage_error(tmp_path, name):
    with pytest.raises(UsageError):
        load(str(tmp_path / name))


def test_huge_file_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(capture_file, "LIMIT_BYTES", 1000)
    (tmp_path / "big.json").write_bytes(b" " * 2000)
    (tmp_path / "big.json.gz").write_bytes(gzip.compress(b" " * 1_000_000))
    for name in ("big.json", "big.json.gz"):
        with pytest.raises(UsageError, match="more than"):
            load(str(tmp_path / name))


def test_recording_comes_from_stdin(monkeypatch, tmp_path):
    save(str(tmp_path / "n.json"), (plain_observation(),))
    content = (tmp_path / "n.json").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert load("-").observations == (plain_observation(),)


def test_things_of_a_newer_version_are_noted(tmp_path):
    path = tmp_path / "n.json"
    save(str(path), (plain_observation(),))
    document = json.loads(path.read_text())
    document["observations"][0]["colour"] = "red"
    path.write_text(json.dumps(document))
    assert "Observation.colour" in load(str(path)).notes[0]
