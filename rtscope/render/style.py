"""Colours by meaning. Every colour stands beside a word or a sign that says the same."""

from enum import StrEnum


class Style(StrEnum):
    """What a piece of text means to the reader; the view maps the same names to its theme."""

    PLAIN = "plain"
    OK = "ok"
    WARN = "warn"
    PROBLEM = "problem"
    DIM = "dim"
    HEAD = "head"


_ANSI = {
    Style.OK: "32",
    Style.WARN: "33",
    Style.PROBLEM: "1;31",
    Style.DIM: "2",
    Style.HEAD: "1",
}


def paint(text: str, style: Style, is_colour: bool) -> str:
    """The text between the codes of its style; unchanged without colour."""
    code = _ANSI.get(style)
    if not is_colour or code is None or not text:
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
