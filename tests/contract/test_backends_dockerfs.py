"""docker's own files, in a data root that the test makes."""

import json
import os
from pathlib import Path

import pytest

from rtscope.backends.docker.files import MAX_FILE_BYTES, DockerFilesBackend
from rtscope.errors import BackendError
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.refs import Ref
from rtscope.model.state import EndpointState, Reason
from tests.contract.backend_cases import (
    PATIENT,
    as_nobody,
    naive_times,
    open_directory,
    targets,
)

DATA = Path(__file__).parents[1] / "data/docker/28.5.2/containers"


def fill(root: Path) -> dict[str, str]:
    """A data root of the recorded files; name -> id."""
    ids = {}
    for path in sorted(DATA.glob("*.config.v2.json")):
        document = json.loads(path.read_text())
        ids[path.name.split(".")[0]] = document["ID"]
        directory = root / "containers" / document["ID"]
        directory.mkdir(parents=True)
        (directory / "config.v2.json").write_text(path.read_text())
    return ids


def backend(root: Path) -> DockerFilesBackend:
    return DockerFilesBackend.connect(Endpoint(kind="dockerfs", address=str(root)), PATIENT)


def observe(root: Path, scope: tuple[Ref, ...] | None = None) -> Observation:
    reader = backend(root)
    try:
        return reader.observe(targets(scope=scope))
    finally:
        reader.close()
        reader.close()


def test_observe_recorded_files(tmp_path: Path):
    ids = fill(tmp_path)
    found = observe(tmp_path)
    assert {c.name: c.ref.id for c in found.containers} == ids
    assert {c.ref.origin for c in found.containers} == {str(tmp_path)}
    assert not any(c.is_complete for c in found.containers)
    assert found.gaps == ()
    assert found.endpoint.state is EndpointState.OK
    assert naive_times(found) == []


def test_observe_empty_root_has_no_gap(tmp_path: Path):
    (tmp_path / "containers").mkdir()
    found = observe(tmp_path)
    assert (found.containers, found.gaps) == ((), ())
    assert found.endpoint.state is EndpointState.OK


def test_observe_no_root_is_absent(tmp_path: Path):
    found = observe(tmp_path / "none")
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.ABSENT, EndpointState.ABSENT)


def test_observe_malformed_file_spares_the_others(tmp_path: Path):
    ids = fill(tmp_path)
    broken = tmp_path / "containers" / ids["d-oom"] / "config.v2.json"
    broken.write_text('{"ID": "')
    found = observe(tmp_path)
    assert len(found.containers) == len(ids) - 1
    (gap,) = found.gaps
    assert (gap.subject, gap.reason) == (ids["d-oom"], Reason.MALFORMED)
    assert str(broken) in gap.detail


def test_observe_file_of_another_container_is_malformed(tmp_path: Path):
    ids = fill(tmp_path)
    source = tmp_path / "containers" / ids["d-oom"] / "config.v2.json"
    (tmp_path / "containers" / ids["d-paused"] / "config.v2.json").write_text(source.read_text())
    found = observe(tmp_path)
    assert [g.subject for g in found.gaps] == [ids["d-paused"]]
    assert len({c.ref for c in found.containers}) == len(found.containers)


def test_observe_directory_without_file_is_a_gap(tmp_path: Path):
    (tmp_path / "containers" / ("e" * 64)).mkdir(parents=True)
    (gap,) = observe(tmp_path).gaps
    assert (gap.subject, gap.reason) == ("e" * 64, Reason.ABSENT)


def test_observe_other_names_are_left_alone(tmp_path: Path):
    (tmp_path / "containers" / "lost+found").mkdir(parents=True)
    (tmp_path / "containers" / ("E" * 64)).mkdir()
    assert observe(tmp_path).gaps == ()


def test_observe_oversized_file_is_not_read_whole(tmp_path: Path):
    ids = fill(tmp_path)
    path = tmp_path / "containers" / ids["d-oom"] / "config.v2.json"
    with path.open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    found = observe(tmp_path)
    assert [g.subject for g in found.gaps] == [ids["d-oom"]]
    assert len(found.containers) == len(ids) - 1


def test_observe_fifo_for_a_file_does_not_block(tmp_path: Path):
    directory = tmp_path / "containers" / ("f" * 64)
    directory.mkdir(parents=True)
    os.mkfifo(directory / "config.v2.json")
    (gap,) = observe(tmp_path).gaps
    assert gap.subject == "f" * 64


def test_observe_scope_reads_only_its_refs(tmp_path: Path):
    ids = fill(tmp_path)
    ref = Ref(origin=str(tmp_path), namespace="", id=ids["d-oom"])
    foreign = Ref(origin="/elsewhere", namespace="", id=ids["d-paused"])
    found = observe(tmp_path, scope=(ref, foreign))
    assert [c.ref for c in found.containers] == [ref]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can take another user's rights")
def test_observe_denied_names_owner_group_and_mode():
    with open_directory() as root:
        fill(root)
        (root / "containers").chmod(0o710)
        with as_nobody():
            found = observe(root)
    (gap,) = found.gaps
    assert (gap.reason, found.endpoint.state) == (Reason.DENIED, EndpointState.DENIED)
    assert "belongs to root:root, mode 0710" in gap.detail


def test_document_is_the_file(tmp_path: Path):
    ids = fill(tmp_path)
    ref = Ref(origin=str(tmp_path), namespace="", id=ids["d-oom"])
    assert backend(tmp_path).document(ref, targets())["Name"] == "/d-oom"
    gone = Ref(origin=str(tmp_path), namespace="", id="0" * 64)
    with pytest.raises(BackendError, match="no such file"):
        backend(tmp_path).document(gone, targets())
