r"""Makes text of foreign origin harmless and visible before it reaches a terminal.

Names, labels, commands, file names and daemons' errors are written by anybody. What is not a
printable character is shown as an escape (`\x1b`, `\u202e`): it can be
seen and cannot act.
"""

_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\x1b": "\\e"}

_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0100, 0xE01EF),
)
"""Letters and marks that take no room or change the width of what stands before them, and that
str.isprintable lets pass. Source: Unicode 15, Default_Ignorable_Code_Point."""

_MARKS_IN_A_ROW = 3


def visible(text: str) -> str:
    """The text in one line, with everything that is not plainly printable as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return _escaped(text)


def _escaped(text: str) -> str:
    import unicodedata  # a shared object of 1 MB: only where a text is not ASCII

    shown: list[str] = []
    marks = 0
    for char in text:
        is_mark = char > "\u02ff" and unicodedata.combining(char) != 0
        marks = marks + 1 if is_mark else 0
        if char.isprintable() and marks <= _MARKS_IN_A_ROW and not _is_invisible(ord(char)):
            shown.append(char)
        else:
            shown.append(_escape(char))
    return "".join(shown)


def _is_invisible(code: int) -> bool:
    return code >= _INVISIBLE[0][0] and any(low <= code <= high for low, high in _INVISIBLE)


def _escape(char: str) -> str:
    code = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was no UTF-8, kept by surrogateescape
        return f"\\x{code - 0xDC00:02x}"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
