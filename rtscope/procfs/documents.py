"""Configuration files of daemons: what cannot be read or understood counts as not there."""

import os
from collections.abc import Mapping
from typing import Any

from rtscope.procfs.host import Host

_MAX_CONFIG_BYTES = 1 << 20


def content_of(host: Host, path: str) -> bytes:
    """A file of any kind; empty if it cannot be read."""
    try:
        return host.read(path, _MAX_CONFIG_BYTES)
    except OSError:
        return b""


def toml_of(host: Host, path: str) -> dict[str, Any]:
    """A TOML document; empty if it is none."""
    content = content_of(host, path)
    if not content:
        return {}
    import tomllib

    try:
        return tomllib.loads(content.decode(errors="replace"))
    except (ValueError, RecursionError):
        # Not only TOMLDecodeError: a number of 5,000 digits is a ValueError of int().
        return {}


def json_of(host: Host, path: str) -> dict[str, Any]:
    """A JSON object; empty if it is none."""
    content = content_of(host, path)
    if not content:
        return {}
    import json

    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def table_of(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table of a document; empty if there is something else."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """A list; empty if it is something else."""
    return value if isinstance(value, list) else []


def files_of(host: Host, pattern: str) -> list[str]:
    """Files of one directory; nothing but the last component may hold a pattern."""
    import fnmatch

    directory, name = os.path.split(pattern)
    try:
        names = host.names(directory)
    except OSError:
        return []
    return [f"{directory}/{found}" for found in sorted(names) if fnmatch.fnmatch(found, name)]
