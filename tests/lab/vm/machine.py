"""Starts, talks to and ends one emulated machine."""

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from tests.lab.vm import CPUS, MEMORY_MB, VM_DIR

KERNEL_ARGUMENTS = (
    "console=ttyS0 root=/dev/vda rw quiet loglevel=4 systemd.unified_cgroup_hierarchy=1 psi=1 "
    "mitigations=off nokaslr no_timer_check audit=0 net.ifnames=0 systemd.show_status=0 panic=-1"
)


class MachineError(Exception):
    """The machine did not do what was asked."""


class Machine:
    """One emulated node: a context manager; nothing is left of it afterwards."""

    def __init__(self, *, disk: str | None = None) -> None:
        self._base = disk
        self.dir = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._agent: socket.socket | None = None
        self._buffer = b""
        self._number = 0
        self._disks = 0

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boots the given disk, or goes on from the snapshot."""
        os.makedirs(VM_DIR, exist_ok=True)
        self.dir = tempfile.mkdtemp(prefix="run-", dir=VM_DIR)
        disk, incoming = self._base, []
        if disk is None:
            disk = os.path.join(self.dir, "root.qcow2")
            subprocess.run(
                ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b",
                 f"{VM_DIR}/base.qcow2", disk],
                check=True,
            )  # fmt: skip
            incoming = ["-incoming", f"exec:zstd -dcq {VM_DIR}/state.zst"]
        with open(os.path.join(self.dir, "qemu.log"), "wb") as log:
            self._process = subprocess.Popen(
                # It ends with us, however we end.
                ["setpriv", "--pdeathsig", "KILL", *self._command(disk), *incoming],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if incoming:
            self._wait_loaded(120)
        self._wait_agent(600)
        self.run(["date", "-u", "-s", f"@{time.time():.3f}"])

    def _command(self, disk: str) -> list[str]:
        # One topology for building and starting, or the snapshot does not load.
        return [
            "qemu-system-x86_64", "-name", "rtscope-lab", "-machine", "pc,usb=off,smm=off,hpet=off",
            "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "Nehalem", "-m", str(MEMORY_MB),
            "-smp", str(CPUS), "-nodefaults", "-no-user-config", "-display", "none", "-nic", "none",
            "-no-reboot", "-chardev", f"file,id=console,path={self.dir}/console.log",
            "-serial", "chardev:console",
            "-chardev", f"socket,id=monitor,path={self.dir}/qmp,server=on,wait=off",
            "-mon", "chardev=monitor,mode=control",
            "-object", "rng-random,id=rng,filename=/dev/urandom",
            "-device", "virtio-rng-pci,rng=rng",
            "-drive", f"file={disk},if=none,id=root,format=qcow2,cache=unsafe,discard=unmap",
            "-device", "virtio-blk-pci,drive=root,serial=root",
            "-device", "virtio-serial-pci,id=serial",
            "-chardev", f"socket,id=agent,path={self.dir}/agent,server=on,wait=off",
            "-device", "virtserialport,bus=serial.0,nr=1,chardev=agent,name=rtscope.agent",
            "-kernel", f"{VM_DIR}/vmlinuz", "-initrd", f"{VM_DIR}/initrd.img",
            "-append", KERNEL_ARGUMENTS,
        ]  # fmt: skip

    def _log(self) -> str:
        text = ""
        for name in ("qemu.log", "console.log"):
            path = os.path.join(self.dir, name)
            if os.path.exists(path):
                with open(path, errors="replace") as file:
                    text += f"--- {name}\n" + file.read()[-2000:]
        return text

    def qmp(self, *commands: Mapping[str, Any]) -> list[Any]:
        """Commands of the machine protocol; raises MachineError with qemu's own words."""
        answers = []
        deadline = time.monotonic() + 60
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(60)
        while True:
            try:
                connection.connect(os.path.join(self.dir, "qmp"))
                break
            except OSError as error:
                if time.monotonic() > deadline or self._ended():
                    connection.close()
                    raise MachineError(f"qemu: {error}\n{self._log()}") from error
                time.sleep(0.05)
        with connection, connection.makefile("rwb") as file:
            file.readline()
            for command in ({"execute": "qmp_capabilities"}, *commands):
                file.write(json.dumps(command).encode() + b"\n")
                file.flush()
                while "event" in (answer := json.loads(file.readline() or b'{"error": "closed"}')):
                    pass
                if "error" in answer:
                    raise MachineError(f"{command['execute']}: {answer['error']}")
                answers.append(answer["return"])
        return answers[1:]

    def monitor(self, *lines: str) -> str:
        """Lines of the human monitor."""
        return "".join(
            self.qmp(
                *(
                    {"execute": "human-monitor-command", "arguments": {"command-line": line}}
                    for line in lines
                )
            )
        )

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _wait_loaded(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._ended():
                raise MachineError(f"qemu ended\n{self._log()}")
            status = self.qmp({"execute": "query-status"})[0]["status"]
            if status == "running":
                return
            if status == "paused":
                self.qmp({"execute": "cont"})
            time.sleep(0.1)
        raise MachineError(f"the snapshot was not loaded within {seconds:.0f} s\n{self._log()}")

    def _wait_agent(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            if self._ended():
                raise MachineError(f"qemu ended\n{self._log()}")
            try:
                self.run(["true"], timeout=5)
                return
            except (OSError, MachineError) as error:
                self._hang_up()
                if time.monotonic() > deadline:
                    raise MachineError(f"the agent did not answer\n{self._log()}") from error
                time.sleep(0.5)

    def _hang_up(self) -> None:
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        self._buffer = b""

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float = 300,
        stdin: bytes = b"",
        check: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command in the node; a string goes through its shell."""
        argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
        if self._agent is None:
            self._agent = socket.socket(socket.AF_UNIX)
            self._agent.connect(os.path.join(self.dir, "agent"))
        self._number += 1
        request = {
            "id": self._number,
            "argv": argv,
            "timeout": timeout,
            "stdin": base64.b64encode(stdin).decode(),
        }
        self._agent.settimeout(timeout + 30)
        self._agent.sendall(b"\n" + json.dumps(request).encode() + b"\n")
        answer = self._answer(timeout + 30)
        done = subprocess.CompletedProcess(
            argv,
            answer["code"],
            base64.b64decode(answer["out"]).decode(errors="surrogateescape"),
            base64.b64decode(answer["err"]).decode(errors="surrogateescape"),
        )
        if check and done.returncode:
            raise MachineError(f"{command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def _answer(self, seconds: float) -> dict[str, Any]:
        assert self._agent is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            while b"\n" in self._buffer:
                line, self._buffer = self._buffer.split(b"\n", 1)
                try:
                    answer = json.loads(line)
                except ValueError:
                    continue
                if answer.get("id") == self._number:
                    return dict(answer)
            data = self._agent.recv(1 << 20)
            if not data:
                break
            self._buffer += data
        raise MachineError("the agent went silent")

    def mount(self, directory: str, target: str) -> None:
        """Packs a directory into a read-only disk and mounts it in the node."""
        name, self._disks = f"lab{self._disks}", self._disks + 1
        image = os.path.join(self.dir, f"{name}.img")
        size = subprocess.run(
            ["du", "-sm", "--apparent-size", directory], capture_output=True, text=True, check=True
        )
        files = sum(len(names) + 1 for _, _, names in os.walk(directory))
        megabytes = int(size.stdout.split()[0]) * 13 // 10 + files // 200 + 16
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(
            ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-E",
             "root_owner=0:0,nodiscard", "-m", "0", "-d", directory, image],
            check=True,
        )  # fmt: skip
        self.monitor(
            f"drive_add 0 if=none,id=drive-{name},file={image},format=raw,readonly=on,cache=unsafe",
            f"device_add virtio-blk-pci,drive=drive-{name},id={name},serial={name}",
        )
        path = f"/dev/disk/by-id/virtio-{name}"
        self.run(
            f"for i in $(seq 300); do [ -e {path} ] && break; sleep 0.1; done;"
            f" mkdir -p {target} && mount -o ro {path} {target}",
            check=True,
        )

    def save(self, path: str) -> None:
        """Stops the machine and writes its memory."""
        self._hang_up()
        self.qmp(
            {"execute": "stop"},
            {"execute": "migrate-set-parameters", "arguments": {"max-bandwidth": 1 << 40}},
            {"execute": "migrate", "arguments": {"uri": f"exec:zstd -q -3 -T2 -f -o {path}"}},
        )
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            status = self.qmp({"execute": "query-migrate"})[0].get("status")
            if status == "completed":
                return
            if status == "failed":
                break
            time.sleep(0.2)
        raise MachineError("the memory could not be saved")

    def stop(self) -> None:
        """Ends it; safe to call twice."""
        self._hang_up()
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = ""
