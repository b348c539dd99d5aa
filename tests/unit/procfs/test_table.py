import os
from pathlib import Path

import pytest

from rtscope.model.refs import ProcessKey
from rtscope.procfs.table import Row, Survey, ancestors, descendants, read_row, read_table
from tests.unit.procfs.tree import Tree, own_stat


@pytest.mark.parametrize("comm", ["sh", "a) R 1 (b", "((", "new\nline", "\udcff\udcfe", ""])
def test_row_survives_every_name(tree: Tree, comm: str) -> None:
    tree.process(50, comm, ppid=7, state="T", start=1234, session=49)
    row = read_table(tree.host.proc)[50]
    assert row.comm == comm.encode("utf-8", "surrogateescape")
    assert (row.ppid, row.state, row.session) == (7, b"T", 49)
    assert row.key == ProcessKey(pid=50, start=1234)


def test_row_of_this_process_agrees_with_the_kernel() -> None:
    row = read_row("/proc", os.getpid())
    assert row is not None
    fields = own_stat(os.getpid())
    assert row.ppid == os.getppid()
    assert row.session == os.getsid(0)
    assert row.key.start == int(fields[19])


def test_table_leaves_out_what_is_no_process_or_ended(tree: Tree) -> None:
    (tree.proc / "meminfo").write_text("x")
    (tree.proc / "77").mkdir()
    (tree.proc / "78").mkdir()
    (tree.proc / "78" / "stat").write_text("garbage")
    assert set(read_table(tree.host.proc)) == {1, 2}


def test_read_row_of_a_missing_process_is_none(tmp_path: Path) -> None:
    assert read_row(str(tmp_path), 5) is None


def test_family_is_walked_in_both_directions_even_in_circles(tree: Tree) -> None:
    tree.process(10, "a", ppid=1)
    tree.process(11, "b", ppid=10)
    tree.process(12, "c", ppid=11)
    tree.process(20, "x", ppid=21)
    tree.process(21, "y", ppid=20)
    tree.process(30, "kworker", ppid=2)
    rows = read_table(tree.host.proc)
    survey = Survey(rows, {b"x", b"kworker"})
    children = survey.children
    assert [row.pid for row in survey.named] == [20]
    assert {row.pid for row in survey.loners} == {1, 2, 10, 11, 12, 20, 21}
    assert [row.pid for row in ancestors(rows, 12)] == [11, 10, 1]
    assert list(descendants(children, 10)) == [11, 12]
    assert [row.pid for row in ancestors(rows, 20)] == [21]
    assert list(descendants(children, 20)) == [21]
    assert 2 not in children


def test_state_in_the_kernel() -> None:
    assert Row(1, b"1 (x) D 0 1 1 0").is_in_kernel
    assert not Row(1, b"1 (x) S 0 1 1 0").is_in_kernel
