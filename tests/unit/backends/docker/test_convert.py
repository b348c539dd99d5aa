import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rtscope.backends.docker.convert import (
    STATES,
    DocumentError,
    images_from_list,
    name_from,
    pod_from,
    record_from_config,
    record_from_list,
    state_word_from,
    time_from,
    version_from_server,
)
from rtscope.model.records import ContainerRecord
from rtscope.model.state import Layer, State

DATA = Path(__file__).parents[3] / "data/docker/28.5.2"


def listed(**changes: object) -> ContainerRecord:
    document = {"Id": "a" * 64, "Names": ["/web"], "State": "running", "Status": "Up 3 seconds"}
    return record_from_list(
        {**document, **changes}, origin="/data", below="/c.sock", below_namespace="moby"
    )


def configured(name: str) -> ContainerRecord:
    document = json.loads((DATA / f"containers/{name}.config.v2.json").read_text())
    return record_from_config(document, origin="/data", below=None, below_namespace="moby")


def recorded() -> dict[str | None, ContainerRecord]:
    documents = json.loads((DATA / "containers.json").read_text())
    records = [
        record_from_list(d, origin="/data", below="/c.sock", below_namespace="moby")
        for d in documents
    ]
    return {record.name: record for record in records}


def test_record_from_list_recorded_states_are_told():
    states = {name: (r.state, r.state_raw) for name, r in recorded().items()}
    assert states["d-run"] == (State.RUNNING, "running")
    assert states["d-paused"] == (State.PAUSED, "paused")
    assert states["d-restart"] == (State.STOPPED, "restarting")
    assert states["d-exited"] == (State.STOPPED, "exited")
    assert states["d-created"] == (State.CREATED, "created")


def test_record_from_list_recorded_exit_codes_and_health():
    records = recorded()
    assert records["d-exited"].exit_code == 3
    assert records["d-oom"].exit_code == 137
    assert records["d-restart"].exit_code == 1
    assert records["d-run"].exit_code is None
    assert records["d-created"].exit_code is None
    assert records["d-health"].health == "unhealthy"
    assert records["d-run"].health is None


def test_record_from_list_recorded_says_what_it_is_and_what_is_below():
    record = recorded()["d-run"]
    assert record.layer is Layer.ENGINE
    assert (record.below, record.below_namespace) == ("/c.sock", "moby")
    assert record.image_ref == "rtlab/busybox:1"
    assert record.image_id is not None
    assert record.image_id.startswith("sha256:")
    assert record.ref.origin == "/data"
    assert record.ref.namespace == ""
    assert record.created_at is not None
    assert record.created_at.tzinfo is UTC
    assert record.started_at is None
    assert record.pid is None
    assert record.is_complete


@pytest.mark.parametrize("health", ["starting", "healthy", "unhealthy"])
def test_record_from_list_health_of_its_own_field_wins(health: str):
    record = listed(Health={"Status": health, "FailingStreak": 0}, Status="Up 1 second")
    assert record.health == health


def test_record_from_list_without_health_check_has_no_health():
    assert listed(Health={"Status": "none"}).health is None
    assert listed(Status="Up 2 hours (Paused)").health is None


def test_record_from_list_status_of_starting_probe():
    assert listed(Status="Up 2 seconds (health: starting)").health == "starting"


def test_record_from_list_unknown_word_is_unknown_and_kept():
    record = listed(State="dreaming")
    assert (record.state, record.state_raw) == (State.UNKNOWN, "dreaming")


def test_record_from_list_every_word_of_docker_is_mapped():
    assert set(STATES) == {
        "created",
        "running",
        "paused",
        "restarting",
        "removing",
        "exited",
        "dead",
    }


def test_record_from_list_hostile_text_is_kept_complete():
    evil = "a\x1b[31m\n\u202e" + "x" * 70_000
    record = listed(Labels={evil: evil}, Command=evil)
    assert record.labels == {evil: evil}
    assert record.command == evil


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"Id": ""},
        {"Id": 7},
        {"Id": "a", "Names": 5},
        {"Id": "a", "Names": [None]},
        {"Id": "a", "Created": "yesterday"},
        {"Id": "a", "Created": 1e300},
        {"Id": "a", "Labels": [1, 2]},
        {"Id": "a", "Status": 9},
        {"Id": "a", "State": {"x": 1}, "Health": "bad"},
    ],
)
def test_record_from_list_wrong_shape_is_a_document_error(document: object):
    with pytest.raises(DocumentError):
        record_from_list(document, origin="/data", below=None, below_namespace=None)


def test_record_from_list_podmans_document_is_read():
    record = listed(
        Names=["/p-run"], ImageID="sha256:1", Labels=None, Ports=None, Created=0, Command="sleep 1"
    )
    assert record.name == "p-run"
    assert record.labels == {}
    assert record.created_at is None


def test_name_from_links_prefers_its_own():
    assert name_from(["/other/alias", "/mine"]) == "mine"
    assert name_from([]) is None


def test_pod_from_cri_dockerd_names():
    pod = pod_from("k8s_app_web-0_shop_1b2c_2", {"io.kubernetes.sandbox.id": "s1"})
    assert pod is not None
    assert (pod.name, pod.namespace, pod.uid, pod.sandbox_id) == ("web-0", "shop", "1b2c", "s1")
    assert pod_from("k8s_something", {}) is None
    assert pod_from("web", {"io.kubernetes.pod.name": "web-0"}) is None
    assert pod_from(None, {}) is None


def test_is_sandbox_only_for_pods():
    assert listed(Names=["/k8s_POD_web-0_shop_1b2c_0"]).is_sandbox is True
    assert listed(Names=["/k8s_app_web-0_shop_1b2c_0"]).is_sandbox is False
    assert listed(Labels={"io.kubernetes.docker.type": "podsandbox"}).is_sandbox is False


def test_images_from_list_one_for_each_tag():
    document = {
        "Id": "sha256:1",
        "RepoTags": ["a/b:1", "localhost:5000/c:2"],
        "RepoDigests": ["a/b@sha256:9"],
        "Size": 7,
        "Created": 1577836800,
    }
    first, second = images_from_list(document, origin="/data")
    assert (first.image_ref, first.image_digest, first.size_bytes) == ("a/b:1", "sha256:9", 7)
    assert (second.image_ref, second.image_digest) == ("localhost:5000/c:2", None)
    assert first.created_at == datetime(2020, 1, 1, tzinfo=UTC)


def test_images_from_list_untagged_is_one_without_a_name():
    (image,) = images_from_list({"Id": "sha256:1", "RepoTags": None}, origin="/data")
    assert (image.image_ref, image.image_id) == (None, "sha256:1")


def test_record_from_config_oom_kill():
    record = configured("d-oom")
    assert (record.state, record.state_raw, record.exit_code) == (State.STOPPED, "exited", 137)
    assert record.oom_killed is True
    assert record.exit_reason == "OOMKilled"
    assert record.finished_at is not None
    assert record.pid is None
    assert record.is_complete is False


def test_record_from_config_running_has_no_end_and_no_health():
    record = configured("d-health")
    assert record.state is State.RUNNING
    assert record.pid is not None
    assert record.finished_at is None
    assert record.exit_code is None
    assert record.health is None
    assert record.restart_count == 0
    assert record.command == "sleep 100000"
    assert record.log_path is not None
    assert record.log_path.endswith("-json.log")


def test_record_from_config_restarting_created_paused():
    restarting = configured("d-restart")
    assert (restarting.state_raw, restarting.exit_code) == ("restarting", 1)
    assert restarting.restart_count
    created = configured("d-created")
    assert (created.state, created.started_at, created.exit_code) == (State.CREATED, None, None)
    paused = configured("d-paused")
    assert (paused.state, paused.state_raw) == (State.PAUSED, "paused")


def test_state_word_from_flags():
    started = {"StartedAt": "2026-01-01T00:00:00Z"}
    assert state_word_from({"Dead": True}) == "dead"
    assert state_word_from({"RemovalInProgress": True, "Dead": True}) == "removing"
    assert state_word_from(started) == "exited"
    assert state_word_from({"StartedAt": "0001-01-01T00:00:00Z"}) == "created"
    assert state_word_from({"Running": True, "Paused": True, "Restarting": False}) == "paused"


@pytest.mark.parametrize("document", [None, {}, {"State": {}}, {"ID": "x", "State": 5}, [1]])
def test_record_from_config_wrong_shape_is_a_document_error(document: object):
    with pytest.raises(DocumentError):
        record_from_config(document, origin="/data", below=None, below_namespace=None)


def test_time_from_go_year_one_is_none():
    assert time_from("0001-01-01T00:00:00Z") is None
    assert time_from("") is None
    assert time_from(None) is None


def test_time_from_nanoseconds_and_offsets_become_utc():
    expected = datetime(2024, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert time_from("2024-01-02T03:04:05.123456789Z") == expected
    assert time_from("2024-01-02T05:04:05.123456789+02:00") == expected


def test_version_from_server():
    assert version_from_server("Docker/28.5.2+dfsg4 (linux)") == "28.5.2+dfsg4"
    assert version_from_server("Libpod/4.3.1 (linux)") == "libpod 4.3.1"
    assert version_from_server("nginx") == "nginx"
    assert version_from_server(None) is None
