"""How many cells a text takes on a terminal, and how to shorten it to fit."""

ELLIPSIS = "…"


def width(text: str) -> int:
    """Cells of the text, which must have gone through `escape.visible` before."""
    if text.isascii():
        return len(text)
    return sum(map(_cells, text))


def _cells(char: str) -> int:
    if char < "\u0300":
        return 1
    import unicodedata

    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cut(text: str, limit: int, ellipsis: str = ELLIPSIS) -> str:
    """The text in at most `limit` cells, ending with an ellipsis where something is left out."""
    if width(text) <= limit:
        return text
    room = limit - width(ellipsis)
    if room < 0:
        return ""
    if text.isascii():
        return text[:room] + ellipsis
    used = 0
    for index, char in enumerate(text):
        used += _cells(char)
        if used > room:
            return text[:index] + ellipsis
    return text


def pad(text: str, cells: int, *, is_right: bool = False) -> str:
    """The text filled up with spaces."""
    fill = " " * max(0, cells - width(text))
    return fill + text if is_right else text + fill
