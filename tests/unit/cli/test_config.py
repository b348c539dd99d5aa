import json

import pytest

from tests.unit.cli.seams import result, use
from tests.unit.render import schemas
from tests.unit.render.build import inventory, population


@pytest.fixture
def config_file(tmp_path, monkeypatch):
    """The user's configuration file, alone in a directory of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    path = tmp_path / "rtscope" / "rtscope.toml"
    path.parent.mkdir()

    def write(text):
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    return write


def values(capsys, *words):
    code, out, _ = result(capsys, "config", "-o", "json", *words)
    assert code == 0
    document = json.loads(out)
    schemas.validate("config", document)
    return {v["key"]: (v["value"], v["origin"]) for v in document["values"]}, document["files"]


def test_each_value_says_where_it_came_from(capsys, config_file, monkeypatch):
    path = config_file('timeout = "5s"\nnested = true\n')
    monkeypatch.setenv("RTSCOPE_HOST_ROOT", "/host")
    monkeypatch.setenv("DOCKER_HOST", "unix:///d.sock")
    found, files = values(capsys, "--host", "unix:///x.sock")
    assert found["timeout"] == (5.0, f"{path}:1")
    assert found["nested"] == (True, f"{path}:2")
    assert found["hosts"] == (["unix:///x.sock"], "--host")
    assert found["host_root"] == ("/host", "RTSCOPE_HOST_ROOT")
    assert found["DOCKER_HOST"] == ("unix:///d.sock", "environment")
    assert found["read_only"] == (False, "default")
    assert {"path": path, "state": "read", "detail": None} in files


def test_table_names_the_files(capsys, config_file):
    path = config_file('color = "never"\n')
    code, out, err = result(capsys, "config")
    assert code == 0
    assert f"{path}:1" in out
    assert f"note: {path}: read" in err


@pytest.mark.parametrize("text", ["timeout = [", "colour = 3", "timeout = -1", 'color = "red"'])
def test_file_that_is_not_understood_is_2_for_every_verb(capsys, config_file, monkeypatch, text):
    path = config_file(text)
    use(monkeypatch, inventory())
    for verb in ("config", "ps", "tree", "sources"):
        code, out, err = result(capsys, verb)
        assert (code, out) == (2, "")
        assert path in err


def test_configured_columns_are_those_of_the_table(capsys, config_file, monkeypatch):
    config_file('columns = ["name", "pid"]')
    use(monkeypatch, population())
    assert result(capsys, "ps")[1].splitlines()[0].split() == ["NAME", "PID"]
    assert "NAMESPACE" in result(capsys, "ps", "-o", "wide")[1]
    assert result(capsys, "ps", "--columns", "id")[1].splitlines()[0] == "ID"


def test_configured_engines_narrow_the_list_and_say_so(capsys, config_file, monkeypatch):
    config_file('engines = ["cri"]')
    use(monkeypatch, population())
    _, out, err = result(capsys, "ps", "--columns", "name", "--no-header")
    assert out.split() == ["api"]
    assert "only cri, as configured" in err
    _, out, err = result(capsys, "ps", "--all-runtimes", "--columns", "name", "--no-header")
    assert {"api", "web-1", "-"} < set(out.split())
    assert "as configured" not in err
    _, out, _ = result(capsys, "ps", "--engine", "docker", "--columns", "name", "--no-header")
    assert "web-1" in out.split()


def test_configured_colour_is_used(capsys, config_file, monkeypatch):
    config_file('color = "always"')
    use(monkeypatch, population())
    assert "\x1b[1m" in result(capsys, "ps")[1]
    assert "\x1b" not in result(capsys, "ps", "--color", "never")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in result(capsys, "ps")[1]
