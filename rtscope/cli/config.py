"""Print the effective configuration: every value, and the flag, variable or file that set it.

Flags beat the environment, the environment beats files, the user's file beats the system's.
`read_only = true` in /etc/rtscope.toml cannot be taken back by anybody.
"""

import os
from argparse import ArgumentParser, Namespace
from typing import Any

from rtscope.cli.flags import add_common
from rtscope.cli.formats import data_text, format_of
from rtscope.cli.reading import effective_of
from rtscope.cli.terminal import note, paper_of, write
from rtscope.config.effective import Effective
from rtscope.config.env import user_file
from rtscope.config.file import SYSTEM_FILE
from rtscope.render.document import SCHEMA_VERSION, Document
from rtscope.render.escape import visible
from rtscope.render.text import Cell, Shape, table

LISTS = {"values": "value", "files": "file"}
CLIENT_VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "CONTAINERD_ADDRESS",
    "CONTAINERD_NAMESPACE",
    "CONTAINER_RUNTIME_ENDPOINT",
    "IMAGE_SERVICE_ENDPOINT",
    "CONTAINER_HOST",
    "XDG_RUNTIME_DIR",
)
"""Of the original clients; shown because discovery follows them."""


def add_arguments(parser: ArgumentParser) -> None:
    """The flags of `config`."""
    add_common(parser)


def run(args: Namespace) -> int:
    """Prints it."""
    form = format_of(args, ("table", "json", "jsonl", "yaml", "jsonpath"))
    effective = effective_of(args)
    document = document_of(effective)
    paper = paper_of(effective.color, is_full=args.no_trunc)
    if form.is_data:
        write(data_text(form, document, LISTS, paper))
        return 0
    shapes = [Shape(header=header, max_width=60) for header in ("KEY", "VALUE", "FROM")]
    rows = [
        [Cell(text=v["key"]), Cell(text=_text(v["value"])), Cell(text=v["origin"])]
        for v in document["values"]
    ]
    write("".join(line + "\n" for line in table(shapes, rows, paper)))
    for file in document["files"]:
        note(f"{visible(file['path'])}: {file['state']}")
    return 0


def document_of(effective: Effective) -> Document:
    """The configuration as a document."""
    values = [
        {"key": v.key, "value": _plain(v.value), "origin": v.source} for v in effective.values
    ]
    environ = effective.settings.environ
    values += [
        {"key": name, "value": environ[name], "origin": "environment"}
        for name in CLIENT_VARIABLES
        if name in environ
    ]
    return {"schema_version": SCHEMA_VERSION, "files": _files(effective), "values": values}


def _files(effective: Effective) -> list[dict[str, Any]]:
    """Every file that was looked for, the weakest first."""
    own = user_file(os.environ, os.geteuid())
    paths = [SYSTEM_FILE, *([own] if own is not None else [])]
    found = [
        {"path": path, "state": "read" if path in effective.files else "absent", "detail": None}
        for path in paths
    ]
    detail = "as root only a file that root alone can write is loaded"
    found += [{"path": path, "state": "ignored", "detail": detail} for path in effective.ignored]
    return found


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
