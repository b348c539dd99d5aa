from pathlib import Path

import pytest

from tests.unit.procfs.tree import Tree, rooted


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    return rooted(tmp_path, monkeypatch)
