"""A recorded node on disk: written 0600 beside and renamed, read with its size bounded."""

import contextlib
import json
import os
import stat
import sys
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rtscope import __version__
from rtscope.capture.codec import from_json, to_json
from rtscope.capture.removed import Removed
from rtscope.errors import UsageError
from rtscope.model.observation import Observation

SCHEMA_VERSION = 1
LIMIT_BYTES = 256 << 20
GZIP_MAGIC = b"\x1f\x8b"
STDOUT = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a file holds.

    Attributes:
        notes: For the user: what of it this version does not know.
    """

    observations: tuple[Observation, ...]
    recorded_at: datetime
    notes: tuple[str, ...] = ()


def document_of(
    observations: Sequence[Observation], removed: Iterable[Removed] = ()
) -> dict[str, Any]:
    """The document that a file holds. It is recorded when its last observation was taken."""
    at = max((o.taken_at for o in observations), default=datetime.now(UTC))
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "observations",
        "rtscope": __version__,
        "node": observations[0].node.hostname if observations else "",
        "recorded_at": at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "removed": [{"path": r.path, "reason": r.reason} for r in removed],
        "observations": [to_json(observation) for observation in observations],
    }


def save(path: str, observations: Sequence[Observation], removed: Iterable[Removed] = ()) -> None:
    """Writes the file: complete or not at all, readable by its owner alone; `-` is stdout.

    Raises:
        UsageError: it cannot be written there.
    """
    text = json.dumps(document_of(observations, removed), separators=(",", ":")) + "\n"
    if path == STDOUT:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    content = text.encode("ascii")
    if path.endswith(".gz"):
        content = _compressed(content)
    try:
        _replace(path, content)
    except OSError as error:
        raise UsageError(f"file {path}: cannot be written: {error.strerror}") from error


def _compressed(content: bytes) -> bytes:
    """Compressed, without a time or a name in it: the same node gives the same bytes."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(content) + packer.flush()


def _replace(path: str, content: bytes) -> None:
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/stdout, a pipe: nothing to rename
        with open(path, "wb") as file:
            file.write(content)
        return
    beside = f"{os.path.realpath(path)}.{os.getpid()}.tmp"
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, os.path.realpath(path))
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def load(path: str) -> Recording:
    """Reads a recording, plain or gzipped; `-` is stdin.

    Raises:
        UsageError: it cannot be read, or is none; names the file and the place in it.
    """
    try:
        document = json.loads(_content(path))
    except ValueError as error:
        raise UsageError(f"recording {path}: not JSON: {error}") from error
    except RecursionError as error:
        raise UsageError(f"recording {path}: nested too deeply") from error
    return _recording(document, path)


def _recording(document: Any, path: str) -> Recording:
    if not isinstance(document, dict) or not isinstance(document.get("observations"), list):
        raise UsageError(
            f"recording {path}: holds no observations", "`rtscope observe FILE` writes one"
        )
    version = document.get("schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(f"recording {path}: schema version {version!r}, not {SCHEMA_VERSION}")
    observations: list[Observation] = []
    unknown: set[str] = set()
    for index, one in enumerate(document["observations"]):
        observation, extra = from_json(one, f"recording {path}: observations[{index}]")
        observations.append(observation)
        unknown |= extra
    if not observations:
        raise UsageError(f"recording {path}: holds no observations")
    notes: tuple[str, ...] = ()
    if unknown:
        names = ", ".join(sorted(unknown)[:5])
        notes = (f"recording {path}: {len(unknown)} things not known to this version: {names}",)
    return Recording(
        observations=tuple(observations),
        recorded_at=max(o.taken_at for o in observations),
        notes=notes,
    )


def _content(path: str) -> bytes:
    try:
        if path == STDOUT:
            return _unpacked(sys.stdin.buffer.read(LIMIT_BYTES + 1), path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                raise UsageError(f"recording {path}: is a directory")
            os.set_blocking(fd, True)
            return _unpacked(file.read(LIMIT_BYTES + 1), path)
    except OSError as error:
        raise UsageError(f"recording {path}: cannot be read: {error.strerror}") from error


def _unpacked(content: bytes, path: str) -> bytes:
    if content.startswith(GZIP_MAGIC) and len(content) <= LIMIT_BYTES:
        unpacker = zlib.decompressobj(31)
        try:
            content = unpacker.decompress(content, LIMIT_BYTES + 1)
        except zlib.error as error:
            raise UsageError(f"recording {path}: broken gzip: {error}") from error
        if not unpacker.eof and len(content) <= LIMIT_BYTES:
            raise UsageError(f"recording {path}: broken gzip: it ends early")
    if len(content) > LIMIT_BYTES:
        raise UsageError(f"recording {path}: more than {LIMIT_BYTES >> 20} MB")
    return content
