"""docs/support.md says what the labs show."""

import pytest

from tests.lab import engines, support
from tests.lab.node import Node

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]


def test_support_table_is_what_three_generations_show(
    node: Node, node_trixie: Node, node_host: Node
) -> None:
    shown = support.lines([node, node_trixie, node_host])
    said = support.committed()
    if engines.youki() is None:
        said = [line for line in said if "youki" not in line]
    assert sorted(set(shown)) == sorted(said)


def test_support_table_has_no_no() -> None:
    assert [line for line in support.committed() if "| NO |" in line] == []
