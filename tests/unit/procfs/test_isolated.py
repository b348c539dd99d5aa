import os
import time
from pathlib import Path

import pytest

from rtscope.procfs import isolated as module
from rtscope.procfs.isolated import BlockedError, isolated


def _child_pids() -> set[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(word) for word in path.read_text().split()} if path.exists() else set()


def test_isolated_reads_what_is_asked(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"0123456789")
    (tmp_path / "l").symlink_to("f")
    assert isolated("read", str(tmp_path / "f"), 4, 60) == b"0123"
    assert sorted(isolated("names", str(tmp_path), 0, 60).split(b"\0")) == [b"f", b"l"]
    assert isolated("link", str(tmp_path / "l"), 0, 60) == b"f"
    assert isolated("stat", str(tmp_path / "f"), 0, 60).split()[6] == b"10"


def test_isolated_passes_errors_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        isolated("read", str(tmp_path / "none"), 4, 60)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(OSError, match="Invalid argument"):
        isolated("read", str(tmp_path / "fifo"), 4, 60)


def test_isolated_leaves_a_stuck_helper_at_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHILD", "import time; time.sleep(600)")
    before = _child_pids()
    with pytest.raises(BlockedError, match="no answer"):
        isolated("read", str(tmp_path), 4, 0.2)
    left = _child_pids() - before
    give_up_at = time.monotonic() + 60
    while any(module.reap(pid) for pid in left) and time.monotonic() < give_up_at:
        time.sleep(0.01)
    assert _child_pids() - before == set()


def test_isolated_where_no_process_can_be_started_is_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_kwargs: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(BlockedError, match="no helper process"):
        isolated("read", str(tmp_path), 4, 1)
    assert len(os.listdir("/proc/self/fd")) == descriptors
