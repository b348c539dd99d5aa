r"""The common subset of kubectl's JSONPath dialect.

`{.containers[*].name}`, `{range .containers[*]}{.name}{"\n"}{end}`, `[0]`, `[-1]`, `[0:2]`,
`['key']`, `..name`, `[?(@.state=="running")]`, `['a','b']`, `.labels['a.b']`, `.labels.a\.b`.
The root is the document, with or without `$`. A path that leads nowhere yields nothing.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rtscope.errors import UsageError
from rtscope.render.escape import visible

_NAME = re.compile(r"(?:[^.\[\]\\\s{}()=!<>]|\\.)+")
_FILTER = re.compile(
    r"""^\?\(\s*(?P<left>[@$][^=!<>]*?)\s*(?:(?P<op>==|!=|<=|>=|<|>)\s*(?P<right>.+?))?\s*\)$"""
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


def evaluate(template: str, document: Any) -> str:
    """The text of a template for a document; a template without braces is one path.

    Raises:
        UsageError: the template is not understood.
    """
    if "{" not in template:
        template = "{" + template + "}"
    tokens = _tokens(template)
    return "".join(_blocks(tokens, document, document))


def find(path: str, root: Any, here: Any = None) -> list[Any]:
    """Every value that the path leads to; `@` and relative paths start at `here`.

    Raises:
        UsageError: the path is not understood.
    """
    text = path.strip()
    start = root if here is None or text.startswith("$") else here
    text = text[1:] if text[:1] in ("$", "@") else text
    if text and text[0] not in ".[":
        text = "." + text
    found = [start]
    for step in _steps(text, path):
        found = [value for one in found for value in _apply(step, one, root)]
    return found


Token = tuple[str, str]


def _tokens(template: str) -> list[Token]:
    """`("text", …)` outside braces, `("path", …)` inside, quotes respected."""
    tokens: list[Token] = []
    rest = template
    while rest:
        before, brace, after = rest.partition("{")
        if before:
            tokens.append(("text", _unescaped(before)))
        if not brace:
            break
        end = _closing(after)
        tokens.append(_token(after[:end].strip()))
        rest = after[end + 1 :]
    return tokens


def _closing(text: str) -> int:
    quote = ""
    index = 0
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 1
        elif quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "}":
            return index
        index += 1
    raise UsageError("jsonpath: a brace is not closed", 'example: {.containers[*].name}{"\\n"}')


def _token(inner: str) -> Token:
    if inner == "end":
        return ("end", "")
    if inner.startswith("range "):
        return ("range", inner[6:].strip())
    if len(inner) >= 2 and inner[0] in "\"'" and inner[-1] == inner[0]:
        return ("text", _unescaped(inner[1:-1]))
    return ("path", inner)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[0]), text)


def _blocks(tokens: Sequence[Token], root: Any, here: Any) -> Iterator[str]:
    index = 0
    while index < len(tokens):
        kind, text = tokens[index]
        if kind == "text":
            yield text
        elif kind == "path":
            yield " ".join(value_text(value) for value in find(text, root, here))
        elif kind == "range":
            end = _end_of(tokens, index)
            for value in find(text, root, here):
                yield from _blocks(tokens[index + 1 : end], root, value)
            index = end
        else:
            raise UsageError("jsonpath: {end} without {range}")
        index += 1


def _end_of(tokens: Sequence[Token], start: int) -> int:
    depth = 0
    for index in range(start, len(tokens)):
        depth += {"range": 1, "end": -1}.get(tokens[index][0], 0)
        if depth == 0:
            return index
    raise UsageError("jsonpath: {range} without {end}")


def value_text(value: Any) -> str:
    """A string as it is, made harmless; everything else as JSON; null as nothing."""
    if value is None:
        return ""
    return visible(value) if isinstance(value, str) else json.dumps(value)


Step = tuple[str, Any]


def _steps(text: str, path: str) -> Iterator[Step]:
    position = 0
    while position < len(text):
        if text.startswith("..", position):
            yield ("descend", None)
            position += 1 if text[position + 2 : position + 3] != "[" else 2
        elif text[position] == "[":
            end = _bracket_end(text, position, path)
            yield _bracket(text[position + 1 : end].strip(), path)
            position = end + 1
        elif text[position] == ".":
            match = _NAME.match(text, position + 1)
            if match is None:
                if position + 1 == len(text):
                    return
                raise UsageError(
                    f"jsonpath {visible(path)}: not understood after {text[:position]!r}"
                )
            yield ("key", re.sub(r"\\(.)", r"\1", match[0])) if match[0] != "*" else ("all", None)
            position = match.end()
        else:
            raise UsageError(f"jsonpath {visible(path)}: not understood at {text[position:]!r}")


def _bracket_end(text: str, start: int, path: str) -> int:
    quote, depth = "", 0
    for index in range(start, len(text)):
        char = text[index]
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        else:
            depth += {"[": 1, "]": -1}.get(char, 0)
            if depth == 0:
                return index
    raise UsageError(f"jsonpath {visible(path)}: a bracket is not closed")


def _bracket(inner: str, path: str) -> Step:
    if inner == "*":
        return ("all", None)
    if inner.startswith("?"):
        match = _FILTER.match(inner)
        if match is None:
            raise UsageError(f"jsonpath {visible(path)}: filter {inner!r} is not understood")
        return ("filter", (match["left"], match["op"], match["right"]))
    if re.fullmatch(r"-?\d*:-?\d*(:-?\d+)?", inner):
        return ("slice", slice(*(int(part) if part else None for part in inner.split(":"))))
    keys: list[Any] = []
    for part in re.findall(r"""'[^']*'|"[^"]*"|[^,\s]+""", inner):
        if part[0] in "\"'":
            keys.append(part[1:-1])
        elif re.fullmatch(r"-?\d+", part):
            keys.append(int(part))
        else:
            raise UsageError(f"jsonpath {visible(path)}: [{inner}] is not understood")
    return ("keys", keys)


def _apply(step: Step, value: Any, root: Any) -> list[Any]:
    kind, argument = step
    if kind == "descend":
        return list(_everything(value))
    if kind == "all":
        return _members(value)
    if kind == "key":
        return _item(value, argument)
    if kind == "keys":
        return [found for key in argument for found in _item(value, key)]
    if kind == "slice":
        return value[argument] if isinstance(value, list) else []
    return [member for member in _members(value) if _passes(argument, member, root)]


def _members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def _item(value: Any, key: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value[key]] if key in value else []
    if isinstance(value, list) and isinstance(key, int):
        return [value[key]] if -len(value) <= key < len(value) else []
    return []


def _everything(value: Any) -> Iterator[Any]:
    yield value
    for member in _members(value):
        yield from _everything(member)


def _passes(test: tuple[str, str | None, str | None], member: Any, root: Any) -> bool:
    left, operator, right = test
    have = find(left, root, member)
    if operator is None or right is None:
        return bool(have) and have[0] is not None
    wanted = find(right, root, member)[:1] if right[0] in "@$" else [_literal(right)]
    if not have or not wanted:
        return False
    return _compared(have[0], operator, wanted[0])


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] in "\"'" and text[-1] == text[0]:
        return text[1:-1]
    try:
        return json.loads(text)
    except ValueError:
        return text


def _compared(have: Any, operator: str, wanted: Any) -> bool:
    if operator == "==":
        return bool(have == wanted)
    if operator == "!=":
        return bool(have != wanted)
    try:
        below, equal = have < wanted, have == wanted
    except TypeError:
        return False
    return bool(
        {"<": below, "<=": below or equal, ">": not below and not equal, ">=": not below}[operator]
    )
