import json

import pytest

from rtscope.cli.formats import Format, data_text
from rtscope.model.state import EndpointState
from rtscope.render.document import (
    container_document,
    lines_of,
    ps_document,
    sources_document,
    tree_document,
)
from rtscope.render.sources import chains
from rtscope.render.text import Paper
from tests.unit.render import schemas
from tests.unit.render.build import NOW, container, docker, inventory, population
from tests.unit.render.nodes import chain

PAPER = Paper()


def test_ps_document_follows_its_schema():
    node = population()
    schemas.validate("ps", ps_document(node, node.containers))


def test_every_field_of_a_container_is_in_the_schema():
    known = schemas.load("ps")["$defs"]["container"]["properties"]
    assert set(container_document(container(1))) == set(known)


def test_tree_document_follows_its_schema():
    document = tree_document(population(), chain())
    schemas.validate("tree", document)
    assert document["roots"] == ["node"]


def test_sources_document_follows_its_schema():
    node = population()
    schemas.validate("sources", sources_document(node, chains(node)))
    silent = inventory(endpoints=[docker(state=EndpointState.SILENT, version=None, queue=None)])
    document = sources_document(silent)
    schemas.validate("sources", document)
    assert document["sources"][0]["queue"] is None


def test_unknown_is_null_and_never_zero():
    document = container_document(container(1, pid=None, restart_count=None, uid=None, pod=None))
    assert [document[k] for k in ("pid", "restart_count", "uid", "pod", "exit_code")] == [None] * 5


def test_recording_is_marked_in_the_document():
    node = inventory([container(1)], recorded_at=NOW)
    assert ps_document(node, node.containers)["recorded_at"] == "2026-11-27T04:10:00Z"
    assert ps_document(inventory(), ())["recorded_at"] is None


HOSTILE = {
    "k\x1b": "v\x1b[2J\u202e\x9b" + "y" * 65_536,
    "bytes": "\udcff\ud800",
    "日本": "語🙂",
    "back": "\\ud83d",
}


@pytest.mark.parametrize("name", ["json", "jsonl", "yaml"])
def test_hostile_text_is_complete_and_harmless(name):
    node = inventory([container(1, labels=HOSTILE, name="a\nb\x07")])
    text = data_text(
        Format(name=name), ps_document(node, node.containers), {"containers": "container"}, PAPER
    )
    assert text.isascii()
    assert all(line.isprintable() for line in text.splitlines())
    text.encode("ascii")
    if name == "json":
        shown = json.loads(text)["containers"][0]
    elif name == "jsonl":
        shown = json.loads(text.splitlines()[1])
    else:
        import yaml

        shown = yaml.safe_load(text)["containers"][0]
    assert shown["labels"] == HOSTILE
    assert shown["name"] == "a\nb\x07"


def test_jsonl_is_meta_first_then_one_object_a_line():
    node = population()
    lines = list(lines_of(ps_document(node, node.containers), {"containers": "container"}))
    assert lines[0]["kind"] == "meta"
    assert "containers" not in lines[0]
    assert [line["kind"] for line in lines[1:]] == ["container"] * 7 + ["gap"]
    tree = list(lines_of(tree_document(node, chain()), {"nodes": "node"}))
    assert tree[1]["kind"] == "node"
    assert tree[1]["node_kind"] == "node"


def test_custom_columns_are_a_table():
    node = population()
    form = Format(name="custom-columns", argument="NAME:.name,APP:.labels.app,PID:.pid")
    text = data_text(form, ps_document(node, node.containers), {"containers": "container"}, PAPER)
    lines = text.splitlines()
    assert lines[0].split() == ["NAME", "APP", "PID"]
    assert lines[1].split() == ["web-1", "-", "101"]
    assert lines[5].split() == ["api", "api", "105"]


def test_jsonpath_of_the_document():
    node = population()
    form = Format(name="jsonpath", argument='{.containers[?(@.engine=="oci")].id}')
    lists = {"containers": "container"}
    assert data_text(form, ps_document(node, node.containers), lists, PAPER) == "bare\n"
