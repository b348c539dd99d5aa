from dataclasses import replace

import pytest

from rtscope.cli.ps import table_lines
from rtscope.cli.sources import source_lines
from rtscope.errors import UsageError
from rtscope.model.state import Layer, State, Verdict
from rtscope.render.columns import COLUMNS, DEFAULT, WIDE, chosen, context_of, needs_of
from rtscope.render.ids import short_ids
from rtscope.render.select import Selection, select
from rtscope.render.text import Cell, Paper, Shape, table
from rtscope.render.width import width
from rtscope.render.words import LEGEND, LETTER, layers_text, state_text
from tests.unit.render import golden
from tests.unit.render.build import NOW, container, inventory, population

WIDTHS = (80, 120, 200, None)


def rows(node):
    return select(node, Selection(is_all=True, is_every_origin=True))


@pytest.mark.parametrize("columns", WIDTHS)
def test_list_at_each_width(columns):
    node = population()
    lines = table_lines(node, rows(node), DEFAULT, Paper(columns=columns))
    golden.check(f"ps-{columns or 'pipe'}.txt", "\n".join(lines) + "\n")


def test_wide_list_in_a_pipe():
    node = population()
    lines = table_lines(node, rows(node), WIDE, Paper(), is_utc=True)
    golden.check("ps-wide.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("columns", WIDTHS)
def test_sources_at_each_width(columns):
    lines = source_lines(population(), Paper(columns=columns))
    golden.check(f"sources-{columns or 'pipe'}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("columns", [1, 5, 20, 40, 60, 79, 80, 81, 100, 132, 300])
def test_table_never_exceeds_the_terminal(columns):
    node = population()
    lines = table_lines(node, rows(node), WIDE, Paper(columns=columns))
    assert all(width(line) <= columns for line in lines)
    assert len(lines) == len(rows(node)) + 1


def test_narrow_terminal_keeps_name_and_state():
    node = population()
    lines = table_lines(node, rows(node), DEFAULT, Paper(columns=36))
    assert lines[0].split() == ["NAME", "STATE", "LAYERS"]


def test_hostile_cells_stay_one_line_each_and_never_raw():
    bad = container(1, name="x\x1b[2J\x1b]0;t\x07\ny\u202ez\udcff", image_ref="i\r\n\t" * 30_000)
    node = inventory([bad, container(2, name="日本語" * 30)])
    for columns in WIDTHS:
        lines = table_lines(node, node.containers, DEFAULT, Paper(columns=columns))
        assert len(lines) == 3
        assert all(line.isprintable() for line in lines)
        assert columns is None or all(width(line) <= columns for line in lines)


def test_wide_characters_keep_columns_aligned():
    node = inventory([container(1, name="日本"), container(2, name="abcd")])
    lines = table_lines(node, node.containers, DEFAULT[:3], Paper())
    starts = [width(line[: line.index("nginx")]) for line in lines[1:]]
    assert starts[0] == starts[1]


def test_colour_stands_beside_the_same_word_without_it():
    node = population()
    plain = table_lines(node, rows(node), DEFAULT, Paper())
    import re

    coloured = table_lines(node, rows(node), DEFAULT, Paper(is_colour=True))
    assert any("\x1b[1;31m" in line for line in coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in coloured] == plain


def test_ascii_paper_has_only_ascii():
    node = population()
    lines = table_lines(node, rows(node), DEFAULT, Paper(columns=80, is_unicode=False))
    lines += source_lines(node, Paper(columns=80, is_unicode=False))
    assert all(line.isascii() for line in lines)


def test_short_ids_grow_until_they_differ():
    a, b = "ab" * 32, "ab" * 10 + "cd" * 22
    twins = [container(1, id=a), container(2, id=b), container(3, id="name-of-a-thing")]
    short = short_ids(twins)
    assert short["k1"] != short["k2"]
    assert a.startswith(short["k1"])
    assert len(short["k1"]) == 21
    assert short["k3"] == "name-of-a-thing"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state_raw": "running"}, "running"),
        ({"state_raw": "running", "health": "healthy"}, "running"),
        ({"state_raw": "running", "health": "starting"}, "running starting"),
        ({"state": State.PAUSED, "state_raw": "paused"}, "paused"),
        ({"state": State.STOPPED, "state_raw": "exited", "exit_code": 0}, "exited 0"),
        ({"state": State.STOPPED, "state_raw": "exited", "exit_code": None}, "exited"),
        (
            {"state": State.STOPPED, "state_raw": "exited", "exit_code": 137, "oom_killed": True},
            "exited 137 OOM",
        ),
        (
            {
                "state": State.STOPPED,
                "state_raw": "CONTAINER_EXITED",
                "exit_code": 1,
                "exit_reason": "Error",
            },
            "exited 1",
        ),
        (
            {
                "state": State.STOPPED,
                "state_raw": "CONTAINER_EXITED",
                "exit_code": 128,
                "exit_reason": "StartError",
            },
            "exited 128 StartError",
        ),
        ({"state": State.STOPPED, "state_raw": "restarting", "exit_code": 1}, "restarting 1"),
        ({"state": State.STOPPED, "state_raw": "running", "exit_code": None}, "stopped"),
        ({"state": State.UNKNOWN, "state_raw": None}, "unknown"),
        ({"state": State.UNKNOWN, "state_raw": "running"}, "unknown (running)"),
        ({"state": State.RUNNING, "state_raw": "CONTAINER_RUNNING"}, "running"),
    ],
)
def test_state_carries_its_reason(changes, text):
    assert state_text(container(1, **changes)) == text


def test_layers_name_what_is_wrong():
    views = dict(container(1).layers)
    views[Layer.SHIM] = replace(views[Layer.SHIM], verdict=Verdict.MISSING)
    views[Layer.OCI] = replace(views[Layer.OCI], verdict=Verdict.MISSING)
    views[Layer.TASK] = replace(views[Layer.TASK], verdict=Verdict.UNKNOWN)
    text = layers_text(container(1, layers=views))
    assert text == "--EC?!!PG shim, oci missing; task unknown"


def test_legend_explains_every_letter():
    assert all(f"{letter} " in LEGEND for letter in LETTER.values())
    assert len(set(LETTER.values())) == len(Layer)


def test_unknown_is_a_dash_never_a_zero():
    node = inventory([container(1, pid=None, restart_count=None, started_at=None, created_at=None)])
    context = context_of(node.containers, NOW)
    cells = {c.key: c.cell(node.containers[0], context) for c in DEFAULT}
    assert (cells["pid"], cells["restarts"], cells["age"]) == ("", "", "")


def test_columns_are_chosen_by_name_or_change():
    assert [c.key for c in chosen(DEFAULT, "id,name")] == ["id", "name"]
    changed = [c.key for c in chosen(DEFAULT, "+labels,-image")]
    assert changed[-1] == "labels"
    assert "image" not in changed
    for bad in ("colour", "+colour", "-" + ",-".join(c.key for c in DEFAULT)):
        with pytest.raises(UsageError):
            chosen(DEFAULT, bad)


def test_needs_are_those_of_the_shown_columns():
    assert needs_of(chosen(DEFAULT, "id,name")) == frozenset()
    assert "restart_count" in needs_of(DEFAULT)


def test_every_column_has_a_cell_and_a_sort_value_for_everything():
    node = population()
    context = context_of(node.containers, NOW)
    for one in COLUMNS:
        assert all(isinstance(one.cell(c, context), str) for c in node.containers)
        assert sorted(node.containers, key=one.sort_value)


def test_table_without_rows_is_its_header():
    assert table([Shape(header="A"), Shape(header="B")], [], Paper()) == ["A  B"]
    assert table([Shape(header="A")], [[Cell(text="")]], Paper()) == ["A", "-"]
