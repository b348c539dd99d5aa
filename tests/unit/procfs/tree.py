"""Builds a small node below a directory: its /proc, its cgroup files, its sockets' table."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from rtscope.procfs.host import Host

HOST_NAMESPACE = 4026531836
NAMES = ("pid", "mnt", "net", "cgroup")


class Tree:
    """A node as files; `host` reads it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = root / "proc"
        self.proc.mkdir()
        self._unix = ["Num       RefCount Protocol Flags    Type St Inode Path"]
        self.process(1, "systemd", ppid=0, cmdline=["/sbin/init"], exe="/usr/lib/systemd/systemd")
        self.process(2, "kthreadd", ppid=0)
        self._write_unix()

    @property
    def host(self) -> Host:
        return Host(str(self.root))

    def process(
        self,
        pid: int,
        comm: str,
        *,
        ppid: int = 1,
        state: str = "S",
        start: int | None = None,
        session: int | None = None,
        cmdline: Sequence[str] = (),
        exe: str | None = None,
        cwd: str | None = None,
        cgroup: str = "0::/\n",
        ns_pids: Sequence[int] | None = None,
        namespaces: dict[str, int] | None = None,
        sockets: Sequence[int] = (),
        wchan: str = "0",
    ) -> Path:
        """A process; its namespaces are the host's unless told otherwise."""
        directory = self.proc / str(pid)
        directory.mkdir()
        start = pid * 10 if start is None else start
        session = pid if session is None else session
        tail = " ".join(["0"] * 15)
        line = f"{pid} ({comm}) {state} {ppid} {pid} {session} {tail} {start} 0 0\n"
        # Fields 4-6 stand before the tail: field 22 is the start time.
        (directory / "stat").write_bytes(line.encode("utf-8", "surrogateescape"))
        (directory / "comm").write_bytes(f"{comm}\n".encode("utf-8", "surrogateescape"))
        (directory / "cmdline").write_bytes(
            b"".join(word.encode("utf-8", "surrogateescape") + b"\0" for word in cmdline)
        )
        (directory / "cgroup").write_text(cgroup)
        (directory / "wchan").write_text(wchan)
        inner = " ".join(str(number) for number in (ns_pids or (pid,)))
        (directory / "status").write_text(f"Name:\tx\nNSpid:\t{inner}\nUid:\t0\n")
        if exe is not None:
            (directory / "exe").symlink_to(exe)
        if cwd is not None:
            (directory / "cwd").symlink_to(cwd)
        (directory / "ns").mkdir()
        for name in NAMES:
            number = (namespaces or {}).get(name, HOST_NAMESPACE)
            (directory / "ns" / name).symlink_to(f"{name}:[{number}]")
        (directory / "fd").mkdir()
        for number, inode in enumerate(sockets, 3):
            (directory / "fd" / str(number)).symlink_to(f"socket:[{inode}]")
        return directory

    def container_root(self, pid: int) -> Path:
        """The root directory of a process, to put files in."""
        root = self.proc / str(pid) / "root"
        root.mkdir()
        return root

    def listener(self, inode: int, path: str, *, makes_file: bool = True) -> None:
        """A listening socket of the host's network namespace."""
        self._unix.append(f"0000000000000000: 00000002 00000000 00010000 0001 01 {inode} {path}")
        self._write_unix()
        if makes_file and path.startswith("/"):
            self.file(path)

    def file(self, path: str, content: str | bytes = b"") -> Path:
        """A file of the node, with its directories."""
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return place

    def directory(self, path: str) -> Path:
        """A directory of the node."""
        place = self.root / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        return place

    def mounts(self, *lines: str, pid: int = 1) -> None:
        """Lines of mountinfo, each `POINT TYPE`."""
        text = "".join(
            f"{20 + number} 1 0:{number + 1} / {point} rw - {kind} none rw\n"
            for number, (point, kind) in enumerate(line.split(" ") for line in lines)
        )
        (self.proc / str(pid) / "mountinfo").write_text(text)

    def dockerd(
        self, pid: int = 100, *args: str, sockets: Sequence[int] = (), **more: object
    ) -> None:
        """A dockerd of the host."""
        fields: dict[str, object] = {
            "cmdline": ["/usr/bin/dockerd", *args],
            "exe": "/usr/bin/dockerd",
            "sockets": sockets,
            **more,
        }
        self.process(pid, "dockerd", **fields)  # type: ignore[arg-type]

    def containerd(
        self, pid: int = 200, *args: str, sockets: Sequence[int] = (), **more: object
    ) -> None:
        """A containerd of the host."""
        fields: dict[str, object] = {
            "cmdline": ["/usr/bin/containerd", *args],
            "exe": "/usr/bin/containerd",
            "sockets": sockets,
            **more,
        }
        self.process(pid, "containerd", **fields)  # type: ignore[arg-type]

    def shim(
        self,
        pid: int,
        container: str,
        *,
        namespace: str = "moby",
        address: str = "/run/containerd/containerd.sock",
        state_dir: str = "/run/containerd",
        **more: object,
    ) -> str:
        """A live runc shim; returns its bundle directory."""
        bundle = f"{state_dir}/io.containerd.runtime.v2.task/{namespace}/{container}"
        binary = "/usr/bin/containerd-shim-runc-v2"
        fields: dict[str, object] = {
            "cmdline": [binary, "-namespace", namespace, "-id", container, "-address", address],
            "exe": binary,
            "cwd": bundle,
            **more,
        }
        self.process(pid, "containerd-shim", **fields)  # type: ignore[arg-type]
        return bundle

    def _write_unix(self) -> None:
        directory = self.proc / "1" / "net"
        directory.mkdir(exist_ok=True)
        (directory / "unix").write_text("\n".join(self._unix) + "\n")


def rooted(root: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """A tree whose processes are root's, whoever runs the test."""
    if not is_root():
        monkeypatch.setattr("rtscope.procfs.detail.uid_of", lambda _proc, _pid: 0)
    return Tree(root)


def own_stat(pid: int) -> list[str]:
    """Fields of a live process's stat line from the state on."""
    text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    return text[text.rfind(")") + 2 :].split()


def is_root() -> bool:
    return os.geteuid() == 0
