"""The example plug-in, built and installed as a user would, and what rtscope makes of it."""

import json
import os
import shutil
import subprocess
import sys

import pytest

EXAMPLE = os.path.join(os.path.dirname(__file__), "..", "..", "examples", "rtscope-nspawn")
PATIENCE_S = 120
BOX = 'NAME=box\nSCOPE=machine-box.scope\nSERVICE=systemd-nspawn\nROOT="/srv/box"\n'
FILES = {
    "box": f"# private data\n{BOX}CLASS=container\nLEADER={{pid}}\nREALTIME=1764212400000000\n",
    "guest": "NAME=guest\nCLASS=vm\nLEADER=1\n",
    "broken": "\x00\x01 nothing of use\n",
    ".#box1234": "NAME=half\nCLASS=container\n",
    "unit:machine-box.scope": "NAME=link\nCLASS=container\n",
}


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A directory with the plug-in installed; nothing comes from a network."""
    base = tmp_path_factory.mktemp("plugin")
    source, directory = base / "source", base / "target"
    shutil.copytree(EXAMPLE, source)
    command = [
        sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps",
        "--no-build-isolation", "--disable-pip-version-check", "--root-user-action", "ignore",
        "--target", str(directory), str(source),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture
def machines(tmp_path):
    directory = tmp_path / "machines"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text.format(pid=2**31 - 1))
    return directory


def rtscope(target, home, *arguments):
    environ = {k: v for k, v in os.environ.items() if k != "SUDO_UID"}
    return subprocess.run(
        [sys.executable, "-m", "rtscope", *arguments],
        env={**environ, "PYTHONPATH": str(target), "XDG_CONFIG_HOME": str(home)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip


def document(done):
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def home(tmp_path, machines):
    folder = tmp_path / "rtscope"
    folder.mkdir()
    (folder / "rtscope.toml").write_text(f'[roots]\nnspawn = "{machines}"\n')
    return tmp_path


def test_the_plug_ins_source_is_listed(target, home, machines):
    found = document(rtscope(target, home, "sources", "-o", "json", "--timeout", "30s"))
    mine = [s for s in found["sources"] if s["endpoint"] == str(machines)]
    assert [(s["kind"], s["state"], s["found_by"]) for s in mine] == [
        ("nspawn", "ok", ["configuration"])
    ]


def test_the_plug_ins_container_is_a_row(target, home, machines):
    words = ("ps", "-a", "--all-runtimes", "-o", "json", "--timeout", "30s")
    found = document(rtscope(target, home, *words))
    rows = [c for c in found["containers"] if c["origin"] == str(machines)]
    assert [(r["id"], r["name"], r["image_ref"], r["pid"]) for r in rows] == [
        ("box", "box", "/srv/box", None)
    ]
    assert rows[0]["labels"] == {"service": "systemd-nspawn"}
    assert rows[0]["created_at"].startswith("2025-11-27T03:00:00")
    gaps = [g for g in found["gaps"] if g["source"] == f"nspawn://{machines}"]
    assert [(g["subject"], g["reason"]) for g in gaps] == [("broken", "malformed")]


def test_the_plug_ins_address_can_be_named(target, tmp_path, machines):
    done = rtscope(target, tmp_path, "sources", "-o", "json", "--host", f"nspawn://{machines}",
                   "--timeout", "30s")  # fmt: skip
    assert str(machines) in {s["endpoint"] for s in document(done)["sources"]}


def test_a_directory_that_is_gone_is_a_gap(target, home, machines):
    shutil.rmtree(machines)
    found = document(rtscope(target, home, "sources", "-o", "json", "--timeout", "30s"))
    mine = next(s for s in found["sources"] if s["endpoint"] == str(machines))
    assert mine["state"] == "absent"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is careful about others' plug-ins")
@pytest.mark.parametrize("wrong", ["owner", "mode", "module"])
def test_root_loads_no_plug_in_that_another_could_have_written(target, home, tmp_path, wrong):
    copy = tmp_path / "copy"
    shutil.copytree(target, copy)
    (points,) = copy.glob("*.dist-info/entry_points.txt")
    if wrong == "owner":
        os.chown(points, 1000, 1000)
    elif wrong == "mode":
        points.chmod(0o666)
    else:
        os.chown(copy / "rtscope_nspawn.py", 1000, 1000)
    done = rtscope(copy, home, "sources", "-o", "json", "--timeout", "30s")
    read = [s for s in json.loads(done.stdout)["sources"] if s["kind"] == "nspawn"]
    assert [s for s in read if s["state"] == "ok"] == []


def test_without_the_plug_in_there_is_no_such_kind(home, machines, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = rtscope(empty, home, "sources", "-o", "json", "--timeout", "30s")
    assert [s for s in document(done)["sources"] if s["kind"] == "nspawn"] == []
