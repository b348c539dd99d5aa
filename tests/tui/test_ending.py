import os
import stat
from pathlib import Path

import pytest

from rtscope.config.settings import Settings
from rtscope.tui import app as tui
from rtscope.tui.documents import clean_document
from rtscope.tui.ending import say_crash
from rtscope.tui.layout import Layout, layout_file, load_layout, save_layout
from rtscope.tui.log import MAX_BYTES, Log, state_file
from tests.generate import generated_observations
from tests.tui.driving import later, screen, temporary_log, until, view
from tests.tui.nodes import PlayedNode


async def test_thread_of_ours_that_fails_is_logged_and_the_view_goes_on(tmp_path: Path) -> None:
    node = PlayedNode(generated_observations(8))
    node.failing.add("docker:///run/docker.sock")
    log = temporary_log(tmp_path)
    async with view(node, log=log) as (pilot, app):
        await until(pilot, lambda: os.path.exists(log))
        assert "a bug of rtscope" in screen(app)
        assert "Traceback" not in screen(app)
        await later(pilot, app, 2)
        assert "api-1-ctr" in screen(app)
    text = Path(log).read_text()
    assert "ValueError: a mistake of ours" in text
    assert stat.S_IMODE(os.stat(log).st_mode) == 0o600


async def test_crash_ends_with_the_log_and_without_a_traceback_on_screen(tmp_path: Path) -> None:
    log = temporary_log(tmp_path)
    node = PlayedNode(generated_observations(8))

    async def crash() -> None:
        async with view(node, log=log) as (pilot, app):
            app.call_later(lambda: 1 / 0)
            await until(pilot, lambda: app.crash is not None)
            assert not app._exit_renderables

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert "ZeroDivisionError" in Path(log).read_text()


def test_say_crash_is_one_harmless_line(capsys: pytest.CaptureFixture[str]) -> None:
    say_crash(ValueError("a\x1b[2Jb\nc"), "/var/log/x")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "log: /var/log/x" in said


def test_log_is_rotated_and_a_full_disk_costs_nothing_else(tmp_path: Path) -> None:
    log = Log(temporary_log(tmp_path))
    for _ in range(30):
        log.note("x" * (MAX_BYTES // 8))
    log.close()
    names = sorted(os.listdir(tmp_path / "state"))
    assert names == ["rtscope.log", "rtscope.log.1", "rtscope.log.2", "rtscope.log.3"]
    assert all(stat.S_IMODE(os.stat(tmp_path / "state" / n).st_mode) == 0o600 for n in names)
    blocked = Log("/proc/1/nothing/rtscope.log")
    blocked.note("nobody reads this")
    blocked.close()


def test_state_file_is_the_users_and_never_another_ones(tmp_path: Path) -> None:
    assert state_file({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == "/s/rtscope/rtscope.log"
    assert state_file({"HOME": str(tmp_path)}) == f"{tmp_path}/.local/state/rtscope/rtscope.log"
    assert not state_file({"HOME": "/proc/1"}).startswith("/proc") or os.geteuid() == 0


def test_layout_is_saved_and_loaded(tmp_path: Path) -> None:
    path = layout_file({"XDG_CONFIG_HOME": str(tmp_path)})
    layout = Layout(view="tree", sort="-age", group="pod", columns=("id", "name"), theme="nord")
    assert save_layout(path, layout)
    assert load_layout(path) == layout
    assert path is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(tmp_path / "rtscope") == ["layout.json"]


def test_layout_that_cannot_be_written_is_no_matter() -> None:
    assert not save_layout("/proc/1/nothing/layout.json", Layout())
    assert not save_layout(None, Layout())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"view": 3, "columns": [1], "is_all": "yes"}'])
def test_layout_of_any_content_is_loaded_without_a_word(tmp_path: Path, text: str) -> None:
    path = tmp_path / "layout.json"
    path.write_text(text)
    assert load_layout(str(path)) == Layout()


def test_run_saves_the_layout_unless_it_is_read_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(tui.RtscopeApp, "run", lambda self, mouse: 0)
    observations = generated_observations(4)
    assert tui.run(Settings(), recording=observations, is_read_only=True) == 0
    assert not os.path.exists(tmp_path / "rtscope")
    assert tui.run(Settings(), recording=observations, recorded_from="/x/node.json") == 0
    assert load_layout(str(tmp_path / "rtscope" / "layout.json")).is_seen


def test_clean_document_takes_out_environment_secrets_and_logins() -> None:
    document = {
        "Config": {"Env": ["PATH=/bin", "EMPTY"], "Labels": {"api-key": "abc", "team": "x"}},
        "envs": [{"key": "A", "value": "b"}],
        "args": ["--password=hunter2", "https://me:pw12345@host/"],
        "plain": [1, None, True, "text"],
    }
    clean, removed = clean_document(document)
    assert clean["Config"]["Env"] == ["PATH=<removed>", "EMPTY"]
    assert clean["envs"] == ["A=<removed>"]
    assert clean["Config"]["Labels"] == {"api-key": "<removed>", "team": "x"}
    assert "hunter2" not in str(clean)
    assert "pw12345" not in str(clean)
    assert clean["plain"] == [1, None, True, "text"]
    assert removed >= 6
    assert clean_document("text") == ("text", 0)
