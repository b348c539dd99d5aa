"""rtscope starts where little is left: no HOME, few descriptors, no threads, little memory."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence

import pytest

from tests.lab import asking, conftest
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

VERBS = (("ps", "-a", "--all-runtimes"), ("tree",), ("sources",))
NAMES = ("d-run", "t-run", "p-run")


@pytest.fixture(scope="module")
def node_here() -> Iterator[Node]:
    conftest.require_lab("forky")
    with Node(engines=("containerd", "docker", "podman", "runc")) as node:
        yield node


def shell(script: str, verb: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """The verb as JSON below a shell script that makes the surroundings poor first."""
    return subprocess.run(
        ["sh", "-c", f'{script}\nexec "$@"', "sh", asking.RTSCOPE, *verb, "-o", "json"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=90,
        check=False,
    )


def assert_answers(script: str, *, names: Sequence[str] = NAMES) -> None:
    for verb in VERBS:
        done = shell(script, verb)
        assert done.returncode == 0, (verb, done.stderr[-2000:])
        assert "Traceback" not in done.stderr
        document = json.loads(done.stdout)
        if verb[0] == "ps":
            listed = {row["name"] for row in document["containers"]}
            assert set(names) <= listed, (set(names) - listed, done.stderr[-2000:])


def test_without_home_and_with_an_empty_environment(node_here: Node) -> None:
    for verb in VERBS:
        done = subprocess.run(
            ["env", "-i", asking.RTSCOPE, *verb],
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


def test_with_64_descriptors(node_here: Node) -> None:
    assert_answers("ulimit -n 64")


def test_with_every_file_system_read_only(node_here: Node) -> None:
    inside = "mount --make-rprivate / && mount -o remount,bind,ro /"
    assert_answers(f"""exec unshare -m sh -c '{inside} && exec "$@"' sh "$@" """)


def _cgroup(controller: str, node: Node, setting: str, value: str) -> Iterator[str]:
    path = f"/sys/fs/cgroup/{controller}{node.layout.cgroup}/poor"
    os.makedirs(path, exist_ok=True)
    with open(os.path.join(path, setting), "w", encoding="ascii") as file:
        file.write(value)
    yield path
    os.rmdir(path)


@pytest.fixture
def no_new_process(node_here: Node) -> Iterator[str]:
    yield from _cgroup("pids", node_here, "pids.max", "1")


@pytest.fixture
def little_memory(node_here: Node) -> Iterator[str]:
    yield from _cgroup("memory", node_here, "memory.limit_in_bytes", str(100 << 20))


def test_without_a_further_thread_or_process(node_here: Node, no_new_process: str) -> None:
    assert_answers(f"echo $$ > {no_new_process}/cgroup.procs")


def test_within_a_hundred_megabytes(node_here: Node, little_memory: str) -> None:
    assert_answers(f"echo $$ > {little_memory}/cgroup.procs")


@pytest.fixture(scope="module")
def readable_copy() -> Iterator[str]:
    """rtscope and protobuf where every user may read them: a checkout may be root's alone."""
    import google.protobuf

    import rtscope

    with tempfile.TemporaryDirectory(prefix="rtscope-for-all-") as folder:
        os.chmod(folder, 0o755)
        for package in (rtscope, google.protobuf):
            source = os.path.dirname(package.__file__ or "")
            name = package.__name__.replace(".", "/")
            shutil.copytree(source, os.path.join(folder, name))
        yield folder


def test_as_a_user_without_rights(node_here: Node, readable_copy: str) -> None:
    script = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); "
    script += "os.execv(sys.argv[1], sys.argv[1:])"
    for verb in VERBS:
        done = subprocess.run(
            ["/usr/bin/python3", "-c", script, "/usr/bin/python3", "-m", "rtscope", *verb],
            capture_output=True, text=True, timeout=90, check=False, cwd="/",
            env={"PYTHONPATH": readable_copy, "PATH": "/usr/bin:/bin"},
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert done.returncode in (0, 5, 6), done.stderr
        assert "denied" in done.stderr
        for name in ("docker", "containerd"):
            assert node_here.layout.sockets[name] in done.stderr + done.stdout


def test_with_a_full_disk_for_its_home(
    node_here: Node, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("full")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], check=True)
    try:
        filled = subprocess.run(
            ["dd", "if=/dev/zero", f"of={folder}/filler", "bs=4k"], capture_output=True, check=False
        )
        assert b"No space left" in filled.stderr
        assert_answers(f"export HOME={folder} TMPDIR={folder} XDG_CONFIG_HOME={folder}")
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
