"""Themes of our own, and what every meaning looks like in the one that is active.

A colour never stands alone: the word or the sign beside it says the same.
"""

from collections.abc import Mapping

from rich.style import Style as Paint
from textual.color import Color
from textual.theme import Theme

DEFAULT_THEME = "rtscope-dark"
FEW_COLOURS = "rtscope-16"
NO_COLOUR = "rtscope-mono"

_ANSI_VARIABLES = {
    "ansi-background": "ansi_default",
    "ansi-foreground": "ansi_default",
    "border-blurred": "ansi_default",
    "block-cursor-foreground": "ansi_black",
    "block-cursor-background": "ansi_white",
    "input-cursor-background": "ansi_black",
    "input-cursor-foreground": "ansi_bright_white",
    "input-cursor-text-style": "reverse",
    "input-selection-background": "ansi_bright_blue",
    "input-selection-foreground": "ansi_black",
    "screen-selection-background": "ansi_bright_blue",
    "screen-selection-foreground": "ansi_black",
}

THEMES: tuple[Theme, ...] = (
    Theme(
        name=DEFAULT_THEME,
        primary="#5fa8d3",
        secondary="#3d5a80",
        accent="#e9c46a",
        success="#7bc86c",
        warning="#e9b44c",
        error="#ff6b6b",
        foreground="#d6deeb",
        background="#11161d",
        surface="#161d27",
        panel="#1f2937",
        dark=True,
    ),
    Theme(
        name="rtscope-light",
        primary="#1f5f99",
        secondary="#9db8d2",
        accent="#8a5a00",
        success="#1a7f37",
        warning="#8a5a00",
        error="#b42318",
        foreground="#1c2430",
        background="#fbfbf9",
        surface="#f1f2ef",
        panel="#dfe3e8",
        dark=False,
    ),
    Theme(
        name="rtscope-contrast",
        primary="#56b4e9",
        secondary="#0072b2",
        accent="#f0e442",
        success="#56b4e9",
        warning="#e69f00",
        error="#ff8c5a",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#262626",
        dark=True,
    ),
    Theme(
        name=FEW_COLOURS,
        primary="ansi_cyan",
        secondary="ansi_blue",
        accent="ansi_yellow",
        success="ansi_green",
        warning="ansi_yellow",
        error="ansi_bright_red",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        ansi=True,
        variables=_ANSI_VARIABLES,
    ),
    Theme(
        name=NO_COLOUR,
        primary="ansi_default",
        secondary="ansi_default",
        accent="ansi_default",
        success="ansi_default",
        warning="ansi_default",
        error="ansi_default",
        foreground="ansi_default",
        background="ansi_default",
        surface="ansi_default",
        panel="ansi_default",
        boost="ansi_default",
        dark=True,
        ansi=True,
        variables=_ANSI_VARIABLES,
    ),
)
"""`rtscope-contrast`: the palette of Okabe and Ito, told apart by colour-blind eyes."""

_ANSI: Mapping[str, Paint] = {
    "plain": Paint(),
    "ok": Paint(color="green"),
    "warn": Paint(color="yellow"),
    "problem": Paint(color="bright_red", bold=True),
    "dim": Paint(dim=True),
    "head": Paint(bold=True),
    "accent": Paint(color="cyan", bold=True),
    "match": Paint(reverse=True),
    "mark": Paint(color="yellow", bold=True),
    "cursor": Paint(reverse=True),
    "caret": Paint(reverse=True),
    "rest": Paint(underline=True),
    "bar": Paint(reverse=True),
}

_MONO: Mapping[str, Paint] = {
    **_ANSI,
    "ok": Paint(),
    "warn": Paint(underline=True),
    "problem": Paint(bold=True),
    "accent": Paint(bold=True),
    "mark": Paint(bold=True),
}


def paints_of(theme: Theme) -> Mapping[str, Paint]:
    """Meaning -> how it is painted; the meanings are those of `render.style` and a few more.

    `cursor` is the line under the cursor, `rest` the same in a list without the focus.
    """
    if theme.ansi:
        return _MONO if theme.name == NO_COLOUR else _ANSI
    fore = Color.parse(theme.foreground or ("#e0e0e0" if theme.dark else "#202020"))
    back = Color.parse(theme.background or ("#121212" if theme.dark else "#f0f0f0"))
    primary = Color.parse(theme.primary)
    cursor = back.blend(primary, 0.42 if theme.dark else 0.30)
    rest = back.blend(primary, 0.18 if theme.dark else 0.14)
    bar = back.blend(primary, 0.22 if theme.dark else 0.18)

    def colour(name: str | None, fallback: str) -> str:
        return Color.parse(name or fallback).hex6

    return {
        "plain": Paint(),
        "ok": Paint(color=colour(theme.success, "#4ebf71")),
        "warn": Paint(color=colour(theme.warning, "#ffa62b")),
        "problem": Paint(color=colour(theme.error, "#ff5f5f"), bold=True),
        "dim": Paint(color=fore.blend(back, 0.42).hex6),
        "head": Paint(bold=True),
        "accent": Paint(color=primary.hex6, bold=True),
        "match": Paint(color=back.hex6, bgcolor=colour(theme.accent, "#ffa62b")),
        "mark": Paint(color=colour(theme.accent, "#ffa62b"), bold=True),
        "cursor": Paint(bgcolor=cursor.hex6),
        "caret": Paint(reverse=True),
        "rest": Paint(bgcolor=rest.hex6),
        "bar": Paint(bgcolor=bar.hex6),
    }
