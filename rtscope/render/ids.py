"""Ids as people read them: 12 digits, or as many as it takes to name one container."""

from collections.abc import Iterable

from rtscope.model.inventory import Container

SHORT_ID = 12


def is_hex_id(text: str) -> bool:
    """Whether it is an id that a machine made: those are shortened, names are not."""
    return len(text) >= 32 and all(char in "0123456789abcdef" for char in text)


def short_ids(containers: Iterable[Container]) -> dict[str, str]:
    """Container key -> its id, shortened to 12 digits or to as many as tell it from the others.

    The same complete id in two stores stays the same text: a selector tells those apart.
    """
    every = list(containers)
    ids = sorted({container.id for container in every})
    if not ids:
        return {}
    needed: dict[str, int] = {}
    for before, here, after in zip(["", *ids[:-1]], ids, [*ids[1:], ""], strict=True):
        common = max(_common(before, here), _common(here, after))
        needed[here] = max(SHORT_ID, common + 1)
    return {c.key: c.id[: needed[c.id]] if is_hex_id(c.id) else c.id for c in every}


def _common(a: str, b: str) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
