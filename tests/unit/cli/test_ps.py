import json

import pytest

from rtscope.cli import watch
from rtscope.model.state import EndpointState, Reason
from tests.unit.cli.seams import result, use
from tests.unit.render import schemas
from tests.unit.render.build import (
    NOW,
    container,
    containerd,
    docker,
    gap,
    hex_id,
    inventory,
    population,
)


@pytest.fixture
def node(monkeypatch):
    use(monkeypatch, population())


@pytest.fixture
def ps(node, capsys):
    return lambda *words: result(capsys, "ps", *words)


def test_table_has_a_header_and_the_live_rows(ps):
    code, out, err = ps()
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:3] == ["ID", "NAME", "IMAGE"]
    assert [line.split()[1] for line in lines[1:]] == ["db", "web-1", "worker", "api"]
    assert "note: 1 more not shown" in err
    assert "silent" in err


def test_no_header(ps):
    assert "NAME" not in ps("--no-header")[1]


def test_json_follows_the_schema_and_is_alone_on_stdout(ps):
    code, out, _ = ps("-a", "--all-runtimes", "-o", "json")
    document = json.loads(out)
    schemas.validate("ps", document)
    assert code == 0
    assert len(document["containers"]) == 6


def test_quiet_prints_selectors_that_name_each_row(ps):
    _, out, _ = ps("-a", "-q", "--all-runtimes")
    for selector in out.split():
        code, one, _ = ps(selector, "-q")
        assert (code, one.strip()) == (0, selector)


def test_quiet_in_full(ps):
    assert ps("-q", "--no-trunc", "web-1")[1] == hex_id(1) + "\n"


def test_names(ps):
    assert ps("-o", "name", "db", "bare")[1] == "docker/db\noci/bare\n"


def test_wide_and_columns(ps):
    assert "NAMESPACE" in ps("-o", "wide")[1]
    assert ps("--columns", "name,pid", "--no-header", "web-1")[1].split() == ["web-1", "101"]


def test_short_letters_of_docker_users(ps):
    _, out, _ = ps("-a", "-f", "name=job", "-n", "moby", "-q")
    assert out.split() == [hex_id(4)[:12]]


def test_yaml_jsonl_jsonpath_and_custom_columns(ps):
    import yaml

    assert yaml.safe_load(ps("-o", "yaml")[1])["node"] == "node-1"
    kinds = [json.loads(line)["kind"] for line in ps("-o", "jsonl")[1].splitlines()]
    assert kinds[0] == "meta"
    assert kinds.count("container") == 4
    assert ps("-o", "jsonpath={.containers[0].name}")[1] == "db\n"
    assert ps("-o", "custom-columns=N:.name")[1].split() == ["N", "db", "web-1", "worker", "api"]


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "xml"),
        ("-o", "jsonpath="),
        ("-o", "jsonpath={.a"),
        ("-o", "custom-columns=x"),
        ("-f", "colour=red"),
        ("--sort", "colour"),
        ("--columns", "colour"),
        ("--since", "yesterday"),
        ("--last", "0"),
        ("--interval", "x", "-w"),
        ("--engine", "lxc"),
        ("--nope",),
        ("--timeout", "soon"),
        ("--demo", "--from", "x.json"),
    ],
)
def test_usage_error_is_2_with_a_line_that_helps(ps, words):
    code, out, err = ps(*words)
    assert code == 2
    assert out == ""
    assert err.startswith("rtscope: ")
    assert "Traceback" not in err


def test_recording_that_is_not_there_is_2(capsys):
    code, out, err = result(capsys, "ps", "--from", "/nowhere/x.json")
    assert (code, out) == (2, "")
    assert "/nowhere/x.json: cannot be read" in err


def test_nothing_found_is_3(ps):
    code, out, err = ps("nobody")
    assert (code, out) == (3, "")
    assert "nobody: not found" in err


def test_ambiguous_is_3_and_names_the_candidates(monkeypatch, capsys):
    use(
        monkeypatch,
        inventory(
            [
                container(1, id="c1", name="c1", namespace="a"),
                container(2, id="c1", name="c1", namespace="b"),
            ]
        ),
    )
    code, _, err = result(capsys, "ps", "c1")
    assert code == 3
    assert "ns:a/c1" in err
    assert "ns:b/c1" in err


def test_strict_turns_a_gap_into_4(ps, monkeypatch, capsys):
    assert ps("--strict")[0] == 4
    use(monkeypatch, inventory([container(1)]))
    assert result(capsys, "ps", "--strict")[0] == 0


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((EndpointState.SILENT, EndpointState.OK), 5),
        ((EndpointState.DENIED, EndpointState.OK), 6),
        ((EndpointState.OK, EndpointState.SILENT), 0),
        ((EndpointState.DENIED, EndpointState.DENIED), 6),
    ],
)
def test_every_named_endpoint_failed_is_5_or_6(monkeypatch, capsys, states, code):
    named = docker(state=states[0], is_named=True)
    other = containerd(state=states[1])
    use(monkeypatch, inventory([container(1)], endpoints=(named, other)))
    assert result(capsys, "ps")[0] == code


def test_nothing_could_be_read_is_5(monkeypatch, capsys):
    use(monkeypatch, inventory(endpoints=(docker(state=EndpointState.SILENT),)))
    code, _, err = result(capsys, "ps")
    assert code == 5
    assert "looked at silent: docker:///run/docker.sock" in err


def test_node_without_any_runtime_is_0_and_says_where_it_looked(monkeypatch, capsys):
    use(monkeypatch, inventory(endpoints=()))
    code, out, err = result(capsys, "ps")
    assert code == 0
    assert out.split()[:2] == ["ID", "NAME"]
    assert "looked at /proc only" in err


def test_recording_is_marked_on_stdout_stderr_and_in_json(monkeypatch, capsys):
    use(monkeypatch, inventory([container(1)], recorded_at=NOW))
    _, out, err = result(capsys, "ps")
    assert out.startswith("# RECORDING")
    assert "note: RECORDING" in err
    _, out, _ = result(capsys, "ps", "-o", "json")
    assert json.loads(out)["recorded_at"] == "2026-11-27T04:10:00Z"


def test_hostile_names_never_reach_the_terminal_raw(monkeypatch, capsys):
    bad = container(1, name="x\x1b[31m\n\u202e\udcff", labels={"a\x9b": "\x07" * 65_536})
    node = inventory([bad], gaps=[gap(detail="\x1b]0;x\x07", reason=Reason.MALFORMED)])
    use(monkeypatch, node)
    for words in ((), ("-o", "wide"), ("--columns", "+labels"), ("-q",), ("-o", "name"),
                  ("-o", "json"), ("-o", "jsonl"), ("-o", "yaml"),
                  ("-o", "jsonpath={..name}"), ("-o", "custom-columns=A:.name")):  # fmt: skip
        _, out, err = result(capsys, "ps", *words)
        assert all(line.isprintable() for line in (out + err).splitlines()), words


def test_watch_prints_a_block_a_round(monkeypatch, capsys):
    monkeypatch.setattr(watch, "ROUNDS", 3)
    rounds = []

    def grow():
        rounds.append(container(len(rounds) + 1))
        return inventory(rounds)

    use(monkeypatch, grow)
    code, out, _ = result(capsys, "ps", "-w", "--interval", "0.2")
    assert code == 0
    assert out.count("NAME") == 3
    assert out.count("web-1") == 3
    assert out.count("web-3") == 1
    _, out, _ = result(capsys, "ps", "-w", "--interval", "0.2", "-o", "jsonl")
    assert [json.loads(line)["kind"] for line in out.splitlines()].count("meta") == 3


def test_bug_is_70_in_one_line_and_a_traceback_when_asked(monkeypatch, capsys, tmp_path):
    def broken():
        raise ZeroDivisionError("a\x1bbug")

    use(monkeypatch, broken)
    code, out, err = result(capsys, "ps")
    assert (code, out) == (70, "")
    assert len(err.splitlines()) == 1
    assert "ZeroDivisionError" in err
    assert "\x1b" not in err
    assert "Traceback" in result(capsys, "ps", "-v")[2]
    log = tmp_path / "log"
    assert str(log) in result(capsys, "ps", "--log-file", str(log))[2]
    assert "Traceback" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_interrupt_is_130(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    use(monkeypatch, interrupted)
    assert result(capsys, "ps") == (130, "", "")


def test_closed_pipe_is_141_and_quiet(monkeypatch, capsys):
    def closed():
        raise BrokenPipeError

    use(monkeypatch, closed)
    code, _, err = result(capsys, "ps")
    assert (code, err) == (141, "")


def test_watch_on_a_terminal_draws_over_the_last_round(monkeypatch, capsys):
    monkeypatch.setattr(watch, "ROUNDS", 2)
    monkeypatch.setattr(watch, "is_terminal", lambda: True)
    monkeypatch.setattr(watch, "lines", lambda: 4)
    use(monkeypatch, inventory([container(n) for n in range(1, 9)]))
    code, out, _ = result(capsys, "ps", "-w", "--interval", "0.2")
    assert code == 0
    assert out.count("\x1b[2J") == 1
    assert out.count("\x1b[H") == 2
    for frame in out.split("\x1b[H")[1:]:
        assert frame.count("\n") == 3
        assert "more lines)" in frame


def test_watch_reads_shims_in_rounds(monkeypatch, capsys):
    from rtscope.cli.reading import Reading

    seen = []
    use(monkeypatch, inventory([container(1)]))
    monkeypatch.setattr(
        Reading, "observations", lambda reading: seen.append(reading.is_repeated) or ()
    )
    monkeypatch.setattr(watch, "ROUNDS", 2)
    result(capsys, "ps", "-w", "--interval", "0.2")
    result(capsys, "ps")
    assert seen == [True, True, False]
