"""A tiny FUSE file system, to be stopped: python -m tests.lab.fuse MOUNTPOINT"""

import errno
import stat
import sys
from typing import Any

import mfusepy  # type: ignore[import-untyped]

_CONTENT = b"served by the lab\n"


class OneFile(mfusepy.Operations):  # type: ignore[misc]
    """A folder with one file, called `file`."""

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
        if path == "/file":
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": len(_CONTENT)}
        raise mfusepy.FuseOSError(errno.ENOENT)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", "file"]

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return _CONTENT[offset : offset + size]

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_blocks": 1024, "f_bavail": 512}


if __name__ == "__main__":
    mfusepy.FUSE(OneFile(), sys.argv[1], foreground=True, nothreads=True)
