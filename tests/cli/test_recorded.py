"""The reading verbs on a whole generated node, through file, join and renderers."""

import json
import re

import pytest

from rtscope.capture.file import load, save
from rtscope.cli import run
from tests.generate import generated_observations
from tests.unit.render import golden, schemas

COUNT = 12


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("node") / "node.json.gz")
    save(path, generated_observations(COUNT))
    return path


@pytest.fixture
def rtscope(recording, capsys):
    def result(*words, code=0):
        assert run([*words, "--from", recording]) == code
        return capsys.readouterr().out

    return result


def test_every_container_is_one_row(rtscope):
    rows = rtscope("ps", "-a", "--no-header").splitlines()
    assert len(rows) == COUNT
    assert not any("!" in row or "?" in row for row in rows)


def test_documents_follow_their_schemas(rtscope):
    for verb, words in (
        ("ps", ("-a", "--all-runtimes", "--sandboxes")),
        ("tree", ()),
        ("sources", ()),
    ):
        document = json.loads(rtscope(verb, *words, "-o", "json"))
        schemas.validate(verb, document)
        assert document["recorded_at"] is not None


def test_tree_has_every_container_and_every_parent(rtscope):
    document = json.loads(rtscope("tree", "-o", "json"))
    nodes = {node["key"]: node for node in document["nodes"]}
    assert len(nodes) == len(document["nodes"])
    assert sum(1 for n in nodes.values() if n["kind"] == "container") >= COUNT
    for node in nodes.values():
        assert node["parent"] is None or node["key"] in nodes[node["parent"]]["children"]
    assert document["roots"] == [k for k, n in nodes.items() if n["parent"] is None]


def test_tree_of_each_container_by_the_selector_that_ps_prints(rtscope):
    for selector in rtscope("ps", "-a", "-q").split():
        lines = rtscope("tree", selector).splitlines()
        assert sum(1 for line in lines if " container " in line) == 1, selector


def test_texts_are_those_of_last_time(rtscope, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name, words in {
        "node-ps.txt": ("ps", "-a", "-o", "wide", "--utc"),
        "node-sources.txt": ("sources",),
    }.items():
        text = re.sub(r"^# RECORDING.*\n", "", rtscope(*words))
        golden.check(name, text)


def test_tree_is_ascii_where_the_locale_is_not_utf8(rtscope, monkeypatch):
    monkeypatch.setenv("LC_ALL", "C")
    assert rtscope("tree").isascii()
    assert rtscope("sources").isascii()
    monkeypatch.setenv("LC_ALL", "en_US.UTF-8")
    assert "├" in rtscope("tree")


def test_filters_reach_the_tree(rtscope):
    assert "podman" not in rtscope("tree", "--engine", "docker")
    assert "dockerd" in rtscope("tree", "--engine", "docker")


def test_observe_of_a_recording_gives_it_back(rtscope, recording, tmp_path):
    copy = str(tmp_path / "copy.json")
    rtscope("observe", copy)
    assert load(copy).observations == load(recording).observations


def test_observe_to_stdout_follows_its_schema(rtscope):
    document = json.loads(rtscope("observe", "-"))
    schemas.validate("observe", document)
    assert document["removed"] == []


def test_thousand_containers_are_listed_completely(tmp_path, capsys):
    path = str(tmp_path / "big.json.gz")
    save(path, generated_observations(1000))
    assert run(["ps", "-a", "-q", "--from", path]) == 0
    words = capsys.readouterr().out.split()
    assert len(words) == len(set(words)) == 1000
