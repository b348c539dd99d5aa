"""What turns a Debian tree into the node: configuration, units, the agent, a small initrd."""

import glob
import lzma
import os
import shutil
import subprocess
import sys

PACKAGES = (
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "linux-image-cloud-amd64",
    "containerd",
    "docker.io",
    "docker-cli",
    "runc",
    "crun",
    "podman",
    "conmon",
    "busybox-static",
    "python3",
    "tmux",
    "iptables",
    "iproute2",
    "procps",
    "netavark",
    "uidmap",
    "passt",
    "dbus-user-session",
    "golang-github-containers-common",
)

MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "fstrim.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "systemd-firstboot.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "systemd-networkd-wait-online.service",
    "podman-restart.service",
    "podman-auto-update.timer",
    "man-db.timer",
    "logrotate.timer",
    "systemd-pcrphase.service",
    "systemd-tpm2-setup.service",
    "ldconfig.service",
    "systemd-boot-random-seed.service",
    "modprobe@drm.service",
)

FILES = {
    "etc/hostname": "rtscope-vm\n",
    "etc/hosts": "127.0.0.1 localhost rtscope-vm\n",
    "etc/fstab": "",
    "etc/machine-id": "0123456789abcdef0123456789abcdef\n",
    "etc/systemd/journald.conf.d/lab.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=32M\n",
    "etc/modules-load.d/lab.conf": "overlay\nbr_netfilter\nveth\nvirtio_rng\n",
    "etc/docker/daemon.json": (
        '{"exec-opts": ["native.cgroupdriver=systemd"],'
        ' "features": {"containerd-snapshotter": false}}\n'
    ),
    "etc/containerd/config.toml": """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/rtlab/pause:1"
[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
      BinaryName = "/usr/bin/crun"
      SystemdCgroup = true
""",
    "etc/systemd/system/lab-agent.service": """[Unit]
Description=command channel of the lab
After=systemd-udev-trigger.service docker.service containerd.service
[Service]
ExecStart=/usr/local/sbin/lab-agent
Delegate=yes
KillMode=process
Restart=always
[Install]
WantedBy=multi-user.target
""",
}

INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $B insmod $module; done
tries=0
while [ ! -b /dev/vda ] && [ $tries -lt 600 ]; do $B usleep 100000; tries=$((tries + 1)); done
$B mount -t ext4 -o rw,noatime /dev/vda /root || exec $B sh
$B mount -o move /dev /root/dev
$B umount /proc /sys
exec $B switch_root /root /sbin/init
"""


def furnish(tree: str) -> None:
    """Writes the node's files into an unpacked Debian."""
    for name, text in FILES.items():
        path = os.path.join(tree, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    resolv = os.path.join(tree, "etc/resolv.conf")
    if os.path.lexists(resolv):
        os.unlink(resolv)
    open(resolv, "w").close()
    agent = os.path.join(tree, "usr/local/sbin/lab-agent")
    os.makedirs(os.path.dirname(agent), exist_ok=True)
    shutil.copy(os.path.join(os.path.dirname(__file__), "agent.py"), agent)
    os.chmod(agent, 0o755)
    units = os.path.join(tree, "etc/systemd/system")
    os.makedirs(os.path.join(units, "multi-user.target.wants"), exist_ok=True)
    _link("../lab-agent.service", os.path.join(units, "multi-user.target.wants/lab-agent.service"))
    for unit in MASKED:
        _link("/dev/null", os.path.join(units, unit))
    _link("/usr/lib/systemd/system/multi-user.target", os.path.join(units, "default.target"))


def _link(target: str, path: str) -> None:
    if os.path.lexists(path):
        os.unlink(path)
    os.symlink(target, path)


def kernel_version(tree: str) -> str:
    return sorted(os.listdir(os.path.join(tree, "usr/lib/modules")))[-1]


def make_initrd(tree: str, out: str) -> None:
    """busybox and the four modules that find the disk; the stock one costs 20 s in emulation."""
    version = kernel_version(tree)
    directories = ("bin", "dev", "proc", "sys", "root", "modules")
    entries: dict[str, tuple[int, bytes]] = dict.fromkeys(directories, (0o40755, b""))
    busybox = next(
        p for p in (f"{tree}/usr/bin/busybox", f"{tree}/bin/busybox") if os.path.exists(p)
    )
    with open(busybox, "rb") as file:
        entries["bin/busybox"] = (0o100755, file.read())
    entries["init"] = (0o100755, INIT.encode())
    for number, path in enumerate(_modules(tree, version)):
        entries[f"modules/{number:02}.ko"] = (0o100644, _module(tree + path))
    with open(out, "wb") as file:
        file.write(_cpio(entries))


def _modules(tree: str, version: str) -> list[str]:
    found: list[str] = []
    for module in ("virtio_pci", "virtio_blk", "ext4"):
        text = subprocess.run(
            ["chroot", tree, "/sbin/modprobe", "-S", version, "--show-depends", module],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        found += [line.split()[1] for line in text.splitlines() if line.startswith("insmod")]
    return list(dict.fromkeys(found))


def _module(path: str) -> bytes:
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-qdc"], input=data, capture_output=True, check=True).stdout
    return data


def _cpio(entries: dict[str, tuple[int, bytes]]) -> bytes:
    # Format: cpio "newc", kernel's Documentation/driver-api/early-userspace/buffer-format.rst.
    out = bytearray()

    def put(number: int, name: str, mode: int, data: bytes, device: tuple[int, int]) -> None:
        raw = name.encode() + b"\0"
        numbers = (number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(raw), 0)
        out.extend(b"070701" + b"".join(b"%08X" % n for n in numbers) + raw)
        out.extend(b"\0" * (-len(out) % 4))
        out.extend(data)
        out.extend(b"\0" * (-len(out) % 4))

    for number, (name, (mode, data)) in enumerate(entries.items(), 1):
        put(number, name, mode, data, (0, 0))
    put(len(entries) + 1, "dev/console", 0o20600, b"", (5, 1))
    put(len(entries) + 2, "TRAILER!!!", 0, b"", (0, 0))
    return bytes(out)


def mirror() -> str:
    """The archive that this machine's own apt uses."""
    for path in glob.glob("/etc/apt/sources.list.d/*.sources"):
        with open(path, encoding="utf-8") as file:
            for line in file:
                if line.startswith("URIs:"):
                    return line.split()[1]
    with open("/etc/apt/sources.list", encoding="utf-8") as file:
        for line in file:
            if line.startswith("deb "):
                return next(word for word in line.split() if "://" in word)
    sys.exit("no Debian archive in this machine's apt sources")
