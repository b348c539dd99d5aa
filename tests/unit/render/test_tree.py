import pytest

from rtscope.correlate.nodes import TreeNode
from rtscope.render.text import Paper
from rtscope.render.tree import prune, to_depth, tree_lines, without_processes
from rtscope.render.width import width
from tests.unit.render import golden
from tests.unit.render.nodes import chain, crowd


@pytest.mark.parametrize("columns", [80, 120, 200, None])
def test_tree_at_each_width(columns):
    text = "\n".join(tree_lines(chain(), Paper(columns=columns))) + "\n"
    golden.check(f"tree-{columns or 'pipe'}.txt", text)


def test_tree_in_ascii():
    text = "\n".join(tree_lines(chain(), Paper(is_unicode=False))) + "\n"
    assert text.isascii()
    golden.check("tree-ascii.txt", text)


@pytest.mark.parametrize("columns", [1, 4, 10, 30, 50])
def test_tree_never_exceeds_the_terminal(columns):
    lines = tree_lines(chain(), Paper(columns=columns))
    assert len(lines) == len(chain())
    assert all(width(line) <= columns for line in lines)


def test_prune_keeps_what_stands_above_and_below():
    kept = prune(chain(), lambda node: node.container == "k3")
    assert [node.key for node in kept] == ["node", "d", "ns", "c3", "s3"]
    assert kept[2].children == ("c3",)


def test_without_processes_ends_at_the_oci_runtime():
    keys = [node.key for node in without_processes(chain())]
    assert keys == ["node", "d", "ns", "c1", "s1", "o1", "c3", "s3"]


@pytest.mark.parametrize(("depth", "count"), [(0, 1), (1, 2), (3, 5), (99, 10)])
def test_depth_counts_steps_below_the_root(depth, count):
    nodes = to_depth(chain(), depth)
    assert len(nodes) == count
    assert len(tree_lines(nodes, Paper())) == count


def test_many_processes_are_counted_unless_all_are_wanted():
    lines = tree_lines(crowd(40), Paper())
    assert len(lines) == 8
    assert "34 more processes" in lines[-1]
    assert len(tree_lines(crowd(40), Paper(is_full=True))) == 41
    assert len(tree_lines(crowd(7), Paper())) == 8


def test_deep_chain_does_not_exhaust_the_stack():
    nodes = [
        TreeNode(
            key=f"p{i}",
            kind="process",
            name=f"p{i}",
            parent=f"p{i - 1}" if i else None,
            children=(f"p{i + 1}",) if i < 4999 else (),
        )
        for i in range(5000)
    ]
    assert len(tree_lines(nodes, Paper(columns=80))) == 5000


def test_hostile_names_stay_one_harmless_line():
    node = TreeNode(
        key="a", kind="container", name="x\x1b[2J\ny\u202e", id="\r\t", why="\x07", state="\x9b"
    )
    lines = tree_lines([node], Paper())
    assert len(lines) == 1
    assert lines[0].isprintable()


def test_node_whose_parent_is_missing_is_a_root():
    nodes = [TreeNode(key="a", kind="process", name="orphan", parent="gone")]
    assert tree_lines(nodes, Paper()) == ["orphan"]
