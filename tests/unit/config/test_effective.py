import os
from pathlib import Path
from typing import Any

import pytest

from rtscope.config.deadlines import DEFAULT_VERB_S
from rtscope.config.durations import parse_duration
from rtscope.config.effective import Effective, load_settings
from rtscope.config.env import client_environ
from rtscope.config.file import KEYS, parse_config, read_config
from rtscope.errors import ExitCode, UsageError

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="files of root and of others are needed")


class Files:
    """A system file and a user's file of one run."""

    def __init__(self, directory: Path) -> None:
        self.system = directory / "etc-rtscope.toml"
        self.home = directory / "home"
        self.user = self.home / ".config" / "rtscope" / "rtscope.toml"
        self.user.parent.mkdir(parents=True)

    def load(self, environ: dict[str, str] | None = None, **args: Any) -> Effective:
        return load_settings(
            args,
            {"HOME": str(self.home), **(environ or {})},
            euid=os.geteuid(),
            system_file=str(self.system),
        )


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def _source(effective: Effective, key: str) -> str:
    return next(value.source for value in effective.values if value.key == key)


def test_without_files_everything_is_the_default(files: Files) -> None:
    effective = files.load()
    settings = effective.settings
    assert (settings.hosts, settings.host_root, settings.engines) == ((), "/", None)
    assert settings.deadlines.verb_s == DEFAULT_VERB_S
    assert (effective.color, effective.is_read_only, effective.files) == ("auto", False, ())
    assert {value.source for value in effective.values} == {"default"}


@needs_root
def test_the_users_file_beats_the_systems_and_a_flag_beats_both(files: Files) -> None:
    files.system.write_text('timeout = 3\ncolor = "never"\nengines = ["docker"]\n')
    files.user.write_text('# mine\ntimeout = "4s"\n[tui]\nrefresh = 7\n')
    effective = files.load()
    assert effective.settings.deadlines.verb_s == 4
    assert _source(effective, "timeout") == f"{files.user}:2"
    assert _source(effective, "color") == f"{files.system}:2"
    assert effective.settings.engines == ("docker",)
    assert effective.refresh_s == 7
    assert effective.files == (str(files.system), str(files.user))
    flagged = files.load(timeout="1500ms", color="always", all_runtimes=True)
    assert flagged.settings.deadlines.verb_s == 1.5
    assert (flagged.color, flagged.settings.engines) == ("always", None)
    assert _source(flagged, "timeout") == "--timeout"
    assert _source(flagged, "engines") == "--all-runtimes"


@needs_root
def test_sockets_and_roots_of_both_files_add_up(files: Files) -> None:
    files.system.write_text('[sockets]\ndocker = "/a.sock"\n[roots]\noci = ["/r1"]\n')
    files.user.write_text('[sockets]\ndocker = ["/b.sock", "/a.sock"]\ncontainerd = "/c.sock"\n')
    settings = files.load().settings
    assert settings.sockets == {"docker": ("/a.sock", "/b.sock"), "containerd": ("/c.sock",)}
    assert settings.roots == {"oci": ("/r1",)}


@needs_root
def test_read_only_of_root_cannot_be_taken_back(files: Files) -> None:
    files.system.write_text("read_only = true\n")
    files.user.write_text("read_only = false\n")
    effective = files.load(read_only=False)
    assert effective.is_read_only
    assert _source(effective, "read_only") == f"{files.system}:1"


@needs_root
def test_a_system_file_that_others_can_write_is_refused(files: Files) -> None:
    files.system.write_text("read_only = true\n")
    files.system.chmod(0o666)
    with pytest.raises(UsageError, match="others than root"):
        files.load()


@needs_root
@pytest.mark.parametrize("change", ["owner", "mode"])
def test_root_does_not_load_a_file_that_others_can_write(files: Files, change: str) -> None:
    files.user.write_text("nested = true\n")
    if change == "owner":
        os.chown(files.user, 12345, 12345)
    else:
        files.user.chmod(0o666)
    effective = files.load({"SUDO_UID": "12345"})
    assert not effective.settings.is_nested
    assert effective.ignored == (str(files.user),)


@needs_root
def test_through_sudo_another_users_environment_is_not_followed(files: Files) -> None:
    environ = {"HOME": str(files.home), "DOCKER_HOST": "tcp://x:1", "SUDO_UID": "12345"}
    assert client_environ(environ, 0) == environ
    os.chown(files.home, 12345, 12345)
    assert client_environ(environ, 0) == {}
    assert client_environ(environ, 12345) == environ
    assert client_environ({**environ, "SUDO_UID": "0"}, 0) != {}


@pytest.mark.skipif(ROOT, reason="as an ordinary user")
def test_a_users_own_file_is_loaded_for_the_user(files: Files) -> None:
    files.user.write_text("nested = true\n")
    assert files.load().settings.is_nested


def test_xdg_config_home_beats_home(files: Files, tmp_path: Path) -> None:
    own = tmp_path / "xdg" / "rtscope" / "rtscope.toml"
    own.parent.mkdir(parents=True)
    own.write_text('color = "always"\n')
    assert files.load({"XDG_CONFIG_HOME": str(tmp_path / "xdg")}).color == "always"


def test_host_root_by_flag_then_variable(files: Files) -> None:
    environ = {"RTSCOPE_HOST_ROOT": "/host"}
    assert files.load(environ).settings.host_root == "/host"
    assert _source(files.load(environ), "host_root") == "RTSCOPE_HOST_ROOT"
    assert files.load(environ, host_root="/other").settings.host_root == "/other"


def test_no_color_is_honoured_after_the_flag(files: Files) -> None:
    assert files.load({"NO_COLOR": "1"}).color == "never"
    assert files.load({"NO_COLOR": "1"}, color="always").color == "always"
    assert files.load({"NO_COLOR": ""}).color == "auto"


def test_without_home_nothing_of_a_user_is_read(tmp_path: Path) -> None:
    effective = load_settings({}, {}, system_file=str(tmp_path / "none"))
    assert effective.files == effective.ignored == ()


@pytest.mark.parametrize("timeout", ["0", "soon", "-1s", "5x"])
def test_a_timeout_that_makes_no_sense_is_a_usage_error(files: Files, timeout: str) -> None:
    with pytest.raises(UsageError) as caught:
        files.load(timeout=timeout)
    assert caught.value.exit_code is ExitCode.USAGE


@pytest.mark.parametrize(
    ("content", "line", "key", "said"),
    [
        ("timeout = true\n", 1, "timeout", "seconds"),
        ("timeout = 0\n", 1, "timeout", "more than 0"),
        ("\n\ncolor = 'blue'\n", 3, "color", "one of auto"),
        ("[sockets]\ndocker = 7\n", 2, "sockets.docker", "list of strings"),
        ("[sockets]\ndocker = 'relative'\n", 2, "sockets.docker", "absolute path"),
        ("[tui]\nrefresh = 0.1\n", 2, "tui.refresh", "at least 0.5"),
        ("tui.theme = 3\n", 1, "tui.theme", "string"),
        ("[tui.keys]\nfilter = []\n", 2, "tui.keys.filter", "string"),
        ("nested = 1\n", 1, "nested", "true or false"),
        ("colour = 'auto'\n", 1, "colour", "no such key"),
        ("[other]\nx = 1\n", 0, "other", "no such key"),
        ("sockets = 3\n", 1, "sockets", "no such key"),
    ],
)
def test_a_wrong_value_names_file_line_and_key(
    content: str, line: int, key: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config("/etc/rtscope.toml", content.encode())
    text = caught.value.message
    assert "/etc/rtscope.toml" in text
    assert f"{key}: " in text
    assert said in text
    assert caught.value.hint
    if line:
        assert f"line {line}" in text


@pytest.mark.parametrize("content", [b"= x", b"\xff", b"a = [", b"a = 1\na = 2\n"])
def test_what_is_not_toml_is_a_usage_error(content: bytes) -> None:
    with pytest.raises(UsageError, match="/x/rtscope"):
        parse_config("/x/rtscope.toml", content)


def test_a_directory_in_place_of_the_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        read_config(str(tmp_path))


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read_config(str(tmp_path / "none")) is None
    (tmp_path / "f").write_text("")
    assert read_config(str(tmp_path / "f" / "x")) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2.5", 2.5), ("500ms", 0.5), ("42s", 42), ("10m", 600), ("1h30m", 5400), (" 2H ", 7200)],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_every_key_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    for key in KEYS:
        shown = key.replace("sockets.*", "sockets.KIND").replace("roots.*", "roots.KIND")
        assert f"`{shown.replace('keys.*', 'keys.ACTION')}`" in text


@pytest.mark.parametrize("text", ["0", "25h", "9" * 400, "999999999999s"])
def test_timeout_that_no_clock_can_count_is_a_usage_error(files: Files, text: str) -> None:
    with pytest.raises(UsageError, match="must be"):
        files.load(timeout=text)
