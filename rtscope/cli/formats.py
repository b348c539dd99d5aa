"""`-o FORMAT`: from a document to the text that goes to stdout."""

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtscope.errors import UsageError
from rtscope.model.facts import fact
from rtscope.render.document import Document, lines_of
from rtscope.render.indented import indented
from rtscope.render.text import Cell, Paper, Shape, table

PLAIN = ("table", "wide", "json", "jsonl", "yaml", "name")
WITH_ARGUMENT = ("custom-columns", "jsonpath")
DATA = frozenset({"json", "jsonl", "yaml", "jsonpath", "custom-columns"})
"""Formats that are made from the JSON document."""


@fact
class Format:
    """One output format and its argument."""

    name: str
    argument: str = ""

    @property
    def is_data(self) -> bool:
        """Whether it shows the document, whole or in part, instead of a table."""
        return self.name in DATA


def format_of(args: Namespace, allowed: Sequence[str] = (*PLAIN, *WITH_ARGUMENT)) -> Format:
    """The format that was asked for.

    Raises:
        UsageError: there is none of that name here, or its argument is missing.
    """
    text = "table" if args.output is None else str(args.output)
    name, equals, argument = text.partition("=")
    if name not in allowed or bool(equals) is not (name in WITH_ARGUMENT):
        names = ", ".join(f"{n}=…" if n in WITH_ARGUMENT else n for n in allowed)
        raise UsageError(f"--output {text}: no such format", f"one of: {names}")
    if name in WITH_ARGUMENT and not argument:
        raise UsageError(f"--output {name}=: needs an argument")
    return Format(name=name, argument=argument)


def data_text(form: Format, document: Document, lists: Mapping[str, str], paper: Paper) -> str:
    """The document in a format of `DATA`.

    Args:
        form: The format.
        document: The whole document.
        lists: Field -> kind of its members; the first is the one that custom columns run over.
        paper: For custom columns.
    """
    if form.name == "json":
        return indented(document) + "\n"
    if form.name == "jsonl":
        return "".join(json.dumps(line) + "\n" for line in lines_of(document, lists))
    if form.name == "yaml":
        return _yaml(document)
    if form.name == "jsonpath":
        from rtscope.render.jsonpath import evaluate

        text = evaluate(form.argument, document)
        return text if not text or text.endswith("\n") else text + "\n"
    members = document[next(iter(lists))]
    return "\n".join(_custom(form.argument, members, paper)) + "\n"


def _yaml(document: Document) -> str:
    """ASCII only: a surrogate or a control character is an escape, as in JSON."""
    import yaml

    text: str = yaml.dump(
        document, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=False, width=10_000
    )
    return text


def _custom(argument: str, members: Iterable[Any], paper: Paper) -> list[str]:
    from rtscope.render.jsonpath import find, value_text

    pairs: list[tuple[str, str]] = []
    for part in argument.split(","):
        header, colon, path = part.partition(":")
        if not colon or not header or not path:
            raise UsageError(f"--output custom-columns: {part!r} is not HEADER:PATH")
        pairs.append((header, path))
    rows = [
        [Cell(text=" ".join(map(value_text, find(path, member)))) for _, path in pairs]
        for member in members
    ]
    return table([Shape(header=header) for header, _ in pairs], rows, paper)
