"""Builds the machine: packages, disk, first boot, seed, snapshot. Once per machine and version."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

from tests.lab.vm import MEMORY_MB, SUITE, VM_DIR, guest
from tests.lab.vm.machine import Machine
from tests.lab.vm.seed import fill_seed_directory

DONE = os.path.join(VM_DIR, "done.json")
TOOLS = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "mke2fs", "zstd")


def key() -> str:
    """Changes when anything changes that the snapshot depends on."""
    digest = hashlib.sha256(f"{SUITE} {MEMORY_MB}".encode())
    here = os.path.dirname(os.path.abspath(__file__))
    used = [os.path.join(here, name) for name in sorted(os.listdir(here))]
    used += [os.path.join(os.path.dirname(here), name) for name in ("cri.py", "image.py")]
    for path in used:
        if path.endswith((".py", ".sh")):
            with open(path, "rb") as file:
                digest.update(file.read())
    version = subprocess.run(
        ["qemu-system-x86_64", "--version"], capture_output=True, text=True, check=False
    )
    digest.update(version.stdout.encode())
    return digest.hexdigest()


def is_built() -> bool:
    try:
        with open(DONE, encoding="utf-8") as file:
            return bool(json.load(file)["key"] == key())
    except (OSError, ValueError, KeyError):
        return False


def ensure_tools() -> None:
    if all(shutil.which(tool) for tool in TOOLS):
        return
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "qemu-system-x86",
         "qemu-utils", "mmdebstrap", "e2fsprogs", "zstd"],
        check=True,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )  # fmt: skip


def say(text: str, start: float) -> None:
    print(f"vm: {text} ({time.monotonic() - start:.0f} s)", flush=True)


def build() -> None:
    """Does nothing where a snapshot of this key stands."""
    ensure_tools()
    os.makedirs(VM_DIR, exist_ok=True)
    with open(os.path.join(VM_DIR, ".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if is_built():
            return
        start = time.monotonic()
        tree = os.path.join(VM_DIR, "tree")
        _tree(tree)
        say("packages unpacked", start)
        _disk(tree)
        say("disk made", start)
        _snapshot(start)
        with open(DONE, "w", encoding="utf-8") as file:
            json.dump({"key": key(), "seconds": round(time.monotonic() - start)}, file)
        shutil.rmtree(tree, ignore_errors=True)
        say("snapshot taken", start)


def _tree(tree: str) -> None:
    for attempt in range(3):
        shutil.rmtree(tree, ignore_errors=True)
        excluded = [
            f"--dpkgopt=path-exclude=/usr/share/{d}/*" for d in ("man", "locale", "doc", "info")
        ]
        done = subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase",
             '--aptopt=Acquire::Check-Valid-Until "false"',
             '--aptopt=APT::Install-Recommends "false"', *excluded,
             "--keyring=/usr/share/keyrings", f"--include={','.join(guest.PACKAGES)}",
             SUITE, tree, guest.mirror()],
            check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return
        print(f"vm: mmdebstrap failed, attempt {attempt + 1}", file=sys.stderr)
    sys.exit("vm: the packages could not be unpacked")


def _disk(tree: str) -> None:
    guest.furnish(tree)
    version = guest.kernel_version(tree)
    shutil.copy(os.path.join(tree, "boot", f"vmlinuz-{version}"), os.path.join(VM_DIR, "vmlinuz"))
    guest.make_initrd(tree, os.path.join(VM_DIR, "initrd.img"))
    raw, disk = (os.path.join(VM_DIR, name) for name in ("base.raw", "base.qcow2"))
    with open(raw, "wb") as file:
        file.truncate(8 << 30)
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-E",
         "lazy_itable_init=1,nodiscard", "-m", "0", "-d", tree, raw],
        check=True,
    )  # fmt: skip
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, disk], check=True)
    os.unlink(raw)


def _snapshot(start: float) -> None:
    seed = os.path.join(VM_DIR, "seed")
    fill_seed_directory(seed)
    machine = Machine(disk=os.path.join(VM_DIR, "base.qcow2"))
    with machine:
        say("booted", start)
        machine.run("systemctl is-system-running --wait", timeout=300)
        machine.mount(seed, "/mnt/seed")
        done = machine.run("cp -r /mnt/seed /root/seed && sh /root/seed/seed.sh", timeout=600)
        if done.returncode:
            sys.exit(f"vm: seed.sh failed\n{done.stdout}{done.stderr}")
        say("seeded", start)
        machine.run("umount /mnt/seed; sync; echo 3 > /proc/sys/vm/drop_caches")
        machine.monitor("device_del lab0")
        time.sleep(3)
        machine.save(os.path.join(VM_DIR, "state.zst"))
    shutil.rmtree(seed, ignore_errors=True)
