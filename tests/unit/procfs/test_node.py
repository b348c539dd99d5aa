import os
import socket

import pytest

from rtscope.procfs.host import Host
from rtscope.procfs.node import notes_on_view, read_node
from tests.unit.procfs.tree import Tree


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        ("0::/init.scope\n", "v2"),
        ("2:cpu:/\n1:name=systemd:/\n", "v1"),
        ("1:name=systemd:/\n0::/\n", "hybrid"),
        ("", None),
    ],
)
def test_cgroup_mode_by_the_hierarchies_of_init(tree: Tree, content: str, mode: str | None) -> None:
    (tree.proc / "1" / "cgroup").write_text(content)
    assert read_node(tree.host).cgroup_mode == mode


def test_node_of_another_root_has_its_own_name_and_clock(tree: Tree) -> None:
    tree.file("/etc/hostname", "node-7\n")
    tree.file("/proc/stat", "cpu  1 2\nintr 1 2 3\nbtime 1700000000\n")
    tree.file("/proc/sys/kernel/random/boot_id", "abc\n")
    node = read_node(tree.host)
    assert (node.hostname, node.btime, node.boot_id) == ("node-7", 1700000000, "abc")
    assert node.euid == os.geteuid()


def test_node_of_this_machine() -> None:
    node = read_node(Host())
    assert node.hostname == socket.gethostname()
    assert node.btime is None or node.btime > 1_000_000_000


def test_notes_on_view_say_which_namespaces_are_missing(tree: Tree) -> None:
    (tree.proc / "1" / "ns" / "cgroup").unlink()
    (tree.proc / "1" / "ns" / "cgroup").symlink_to("cgroup:[1]")
    (note,) = notes_on_view(tree.host)
    assert "cgroup namespace" in note


def test_notes_on_view_of_a_root_without_proc() -> None:
    host = Host("/nonexistent-root")
    assert "nothing is mounted" in notes_on_view(host)[0]
