import json
import sys
import types

import pytest

from rtscope.model.state import EndpointState
from tests.unit.cli.seams import result, use
from tests.unit.render import schemas
from tests.unit.render.build import docker, inventory, population
from tests.unit.render.nodes import chain


@pytest.fixture
def node(monkeypatch):
    use(monkeypatch, population())
    module = types.ModuleType("rtscope.correlate.chain")
    module.tree = lambda _inventory: tuple(chain())
    monkeypatch.setitem(sys.modules, "rtscope.correlate.chain", module)


def test_tree_draws_the_chain(node, capsys):
    code, out, _ = result(capsys, "tree")
    assert code == 0
    assert len(out.splitlines()) == len(chain())


def test_tree_of_one_container(node, capsys):
    _, out, _ = result(capsys, "tree", "worker")
    assert "web-1" not in out
    assert "dockerd" in out


def test_tree_json_follows_the_schema(node, capsys):
    _, out, _ = result(capsys, "tree", "-o", "json", "--no-processes", "--depth", "4")
    document = json.loads(out)
    schemas.validate("tree", document)
    assert {n["kind"] for n in document["nodes"]} == {
        "node",
        "daemon",
        "namespace",
        "container",
        "shim",
    }


def test_tree_problems(node, capsys):
    _, out, _ = result(capsys, "tree", "--problems")
    assert "worker" in out
    assert "web-1" not in out


def test_tree_of_nobody_is_3(node, capsys):
    assert result(capsys, "tree", "nobody")[0] == 3
    assert result(capsys, "tree", "--depth", "-1")[0] == 2
    assert result(capsys, "tree", "-o", "name")[0] == 2


def test_sources_table_then_sentences(node, capsys):
    code, out, _ = result(capsys, "sources")
    table, _, sentences = out.partition("\n\n")
    assert code == 0
    assert table.splitlines()[0].startswith("SOURCE")
    assert "53 (stopped, state T)" in sentences


def test_sources_json_follows_the_schema(node, capsys):
    _, out, _ = result(capsys, "sources", "-o", "json")
    document = json.loads(out)
    schemas.validate("sources", document)
    assert len(document["sources"]) == 2
    _, out, _ = result(capsys, "sources", "-o", "jsonl")
    assert [json.loads(line)["kind"] for line in out.splitlines()][:2] == ["meta", "source"]


def test_sources_wide_says_what_was_asked(node, capsys):
    assert "GET /containers/json" in result(capsys, "sources", "-o", "wide")[1]


def test_sick_source_stands_first(monkeypatch, capsys):
    sick = docker(address="/z.sock", state=EndpointState.SILENT)
    use(monkeypatch, inventory(endpoints=(docker(), sick)))
    lines = result(capsys, "sources")[1].splitlines()
    assert lines[1].startswith("docker:///z.sock")
