"""Each message, field and method of ours has upstream's number, type and label.

Upstream's files come out of Debian packages: `python -m tests.contract.prepare` fetches them.
"""

import importlib
import os
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from tests.contract import prepare
from tests.contract.upstream import Definitions, compile_protos, compile_upstream

REPOSITORY = Path(__file__).resolve().parents[2]
SUITES = ("forky", "bookworm")

# Where upstream's source names a type otherwise. ttrpc keeps a stand-in for google.rpc.Status in
# its folder; its generated code uses the real one (ttrpc 1.2, request.pb.go, Response.Status).
TYPE_ALIASES = {".Status": ".google.rpc.Status"}
# containerd 1.x has the envelope beside the service that streams it.
MESSAGE_ALIASES = {
    ("bookworm", ".containerd.types.Envelope"): ".containerd.services.events.v1.Envelope",
}

# Message -> suite -> how many fields of ours were found there and agree. Map entries count as
# messages of their own.
COMPARED_FILE = Path(__file__).with_name("compared_fields.toml")


@pytest.fixture(scope="session")
def cache() -> Path:
    if not prepare.is_ready():
        if os.environ.get("RTSCOPE_REQUIRE_LAB") == "1":
            pytest.fail("upstream's protos are missing: python -m tests.contract.prepare")
        pytest.skip("upstream's protos are missing: python -m tests.contract.prepare")
    return prepare.CACHE


@pytest.fixture(scope="session")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Definitions:
    folder = REPOSITORY / "protos"
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.proto"))
    return compile_protos(names, folder, tmp_path_factory.mktemp("ours") / "set.pb")


@pytest.fixture(scope="session")
def upstream(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Definitions]:
    work = tmp_path_factory.mktemp("upstream")
    return {suite: compile_upstream(suite, cache, work) for suite in SUITES}


def _upstream_message(
    upstream: dict[str, Definitions], suite: str, name: str
) -> descriptor_pb2.DescriptorProto | None:
    return upstream[suite].messages.get(MESSAGE_ALIASES.get((suite, name), name))


def _type_of(suite: str, field: descriptor_pb2.FieldDescriptorProto) -> tuple[int, int, str]:
    type_name = TYPE_ALIASES.get(field.type_name, field.type_name)
    for (where, our_name), their_name in MESSAGE_ALIASES.items():
        if where == suite and type_name == their_name:
            type_name = our_name
    return field.type, field.label, type_name


def _differences(
    suite: str, ours: descriptor_pb2.DescriptorProto, theirs: descriptor_pb2.DescriptorProto
) -> tuple[int, set[str], list[str]]:
    """Fields that agree, names that upstream lacks, and what disagrees."""
    by_name = {field.name: field for field in theirs.field}
    by_number = {field.number: field for field in theirs.field}
    absent: set[str] = set()
    wrong: list[str] = []
    for field in ours.field:
        named, numbered = by_name.get(field.name), by_number.get(field.number)
        if named is None and numbered is None:
            absent.add(field.name)
        elif named is None or numbered is None or named.number != field.number:
            wrong.append(f"{field.name} = {field.number}: name and number do not belong together")
        elif _type_of(suite, named) != _type_of("", field):
            wrong.append(f"{field.name}: {_type_of('', field)} is {_type_of(suite, named)}")
    return len(ours.field) - len(absent) - len(wrong), absent, wrong


def compare(
    ours: Definitions, upstream: dict[str, Definitions]
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """How many fields agree by message and suite, and what does not."""
    compared: dict[str, dict[str, int]] = {}
    problems: list[str] = []
    for name, message in ours.messages.items():
        missing = {field.name for field in message.field}
        homes: dict[str, int] = {}
        for suite in SUITES:
            theirs = _upstream_message(upstream, suite, name)
            if theirs is None:
                continue
            homes[suite], absent, wrong = _differences(suite, message, theirs)
            missing &= absent
            problems += [f"{suite} {name}.{text}" for text in wrong]
        if not homes:
            problems.append(f"{name}: upstream has no such message")
        problems += [f"{name}.{field}: upstream has no such field" for field in sorted(missing)]
        compared[name.removeprefix(".")] = homes
    return compared, problems


def test_every_field_of_ours_is_upstreams(
    ours: Definitions, upstream: dict[str, Definitions]
) -> None:
    compared, problems = compare(ours, upstream)
    assert problems == []
    assert compared == tomllib.loads(COMPARED_FILE.read_text())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"number": 9}, "name and number do not belong together"),
        ({"number": 99, "name": "novelty"}, "upstream has no such field"),
        ({"name": "identifier"}, "name and number do not belong together"),
        ({"type": descriptor_pb2.FieldDescriptorProto.TYPE_BYTES}, "forky"),
        ({"label": descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED}, "bookworm"),
    ],
)
def test_a_field_that_is_not_upstreams_is_told(
    ours: Definitions, upstream: dict[str, Definitions], change: dict[str, Any], complaint: str
) -> None:
    name = ".containerd.services.containers.v1.Container"
    wrong = descriptor_pb2.DescriptorProto()
    wrong.CopyFrom(ours.messages[name])
    for attribute, value in change.items():
        setattr(wrong.field[0], attribute, value)
    _, problems = compare(Definitions(messages={name: wrong}), upstream)
    assert any(complaint in problem for problem in problems)


def test_a_message_that_upstream_lacks_is_told(upstream: dict[str, Definitions]) -> None:
    invented = Definitions(messages={".runtime.v1.Novelty": descriptor_pb2.DescriptorProto()})
    _, problems = compare(invented, upstream)
    assert problems == [".runtime.v1.Novelty: upstream has no such message"]


def test_every_value_of_an_enum_is_upstreams(
    ours: Definitions, upstream: dict[str, Definitions]
) -> None:
    compared = Counter[str]()
    for name, enum in ours.enums.items():
        mine = {value.name: value.number for value in enum.value}
        for suite in SUITES:
            theirs = upstream[suite].enums.get(name)
            if theirs is not None:
                assert mine == {value.name: value.number for value in theirs.value}, name
                compared[name] += 1
    assert set(compared) == set(ours.enums)
    assert compared[".containerd.v1.types.Status"] == 2


def test_every_method_of_ours_is_upstreams(
    ours: Definitions, upstream: dict[str, Definitions]
) -> None:
    for path, method in ours.methods.items():
        homes = [suite for suite in SUITES if path in upstream[suite].methods]
        assert homes, f"{path}: upstream has no such method"
        for suite in homes:
            theirs = upstream[suite].methods[path]
            output = theirs.output_type
            for (where, our_name), their_name in MESSAGE_ALIASES.items():
                if where == suite and output == their_name:
                    output = our_name
            assert method.input_type == theirs.input_type, path
            assert method.output_type == output, path
            assert method.server_streaming == theirs.server_streaming, path
            assert not method.client_streaming
            assert not theirs.client_streaming
    assert len(ours.methods) == 28


def test_generated_modules_are_what_the_sources_say() -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "protos/generate.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    outdated = [line for line in done.stderr.splitlines() if line.endswith(".py")]
    assert outdated == []


def test_modules_keep_out_of_the_default_pool() -> None:
    from google.protobuf import descriptor_pool

    module = importlib.import_module("rtscope._pb.containers_pb2")
    message = module.Container(id="a")
    assert module.Container.FromString(message.SerializeToString()).id == "a"
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName(module.Container.DESCRIPTOR.full_name)


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_modules_work_with_each_implementation_of_protobuf(implementation: str) -> None:
    code = (
        "from rtscope._pb import containers_pb2 as c, task_types_pb2 as t, runc_options_pb2 as o\n"
        "m = c.Container(id='a', labels={'k': 'v'}); m.created_at.FromSeconds(5)\n"
        "m.runtime.options.Pack(o.Options(binary_name='crun'))\n"
        "n = c.Container.FromString(m.SerializeToString()); p = o.Options()\n"
        "assert n.runtime.options.Unpack(p) and p.binary_name == 'crun'\n"
        "assert n.created_at.ToDatetime().second == 5 and dict(n.labels) == {'k': 'v'}\n"
        "assert t.Status.Name(2) == 'RUNNING' and t.RUNNING == 2\n"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=REPOSITORY)
