"""Runs command lines on an inventory made by hand: no discovery, no daemon, no clock."""

from collections.abc import Callable

from rtscope.cli import run
from rtscope.cli.reading import Reading
from rtscope.model.inventory import Inventory


def use(monkeypatch, inventory: Inventory | Callable[[], Inventory]) -> None:
    """Makes every reading verb see this inventory."""

    def joined(reading, _observations):
        found = inventory() if callable(inventory) else inventory
        reading.previous = found
        return found

    monkeypatch.setattr(Reading, "observations", lambda _reading: ())
    monkeypatch.setattr(Reading, "joined", joined)


def result(capsys, *words: str) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    code = run(list(words))
    out, err = capsys.readouterr()
    return int(code), out, err
