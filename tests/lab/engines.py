"""Newer engines beside the machine's own: unpacked from a newer Debian suite, nothing installed.

A suite's dependency closure is resolved by apt against an empty dpkg status, downloaded and
unpacked with dpkg-deb, so no maintainer script runs. The binaries that need a newer C library than
the machine's (runc, crun, conmon) get their interpreter and library path rewritten to the unpacked
tree by patchelf; a wrapper around ld.so would not do, since runc executes /proc/self/exe again.
The folder's name carries a digest of this file, so a changed recipe is a new folder.
"""

import contextlib
import fcntl
import glob
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.lab import packages

CACHE = Path(os.environ.get("RTSCOPE_LAB_CACHE", "/var/tmp/rtscope-lab/engines"))
SUITES = ("forky", "trixie")
_WANTED = ("containerd", "docker.io", "docker-cli", "crun", "runc", "conmon")
_PATCHED = ("runc", "crun", "conmon")
_PLAIN = (
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v1",
    "containerd-shim-runc-v2",
    "ctr",
    "docker",
    "docker-init",
    "docker-proxy",
    "dockerd",
)
_UNNEEDED = ("doc", "man", "locale", "perl", "bash-completion", "zsh", "fish")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MACHINE = platform.machine()
YOUKI_FEATURES = "v1,v2,seccomp"


def folder_of(suite: str) -> Path:
    """Where a suite's engines are, or will be."""
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:10]
    return CACHE / f"{suite}-{digest}"


def is_ready(suite: str) -> bool:
    return (folder_of(suite) / ".done").is_file()


def bin_of(generation: str) -> str | None:
    """The folder of a generation's binaries; None for the machine's own."""
    return None if generation == "host" else str(folder_of(generation) / "bin")


def youki() -> str | None:
    """The youki that prepare built, or one that is in PATH."""
    built = CACHE / "youki" / "bin" / "youki"
    return str(built) if built.is_file() else packages.find("youki")


def mirror(sources: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that this machine's apt uses."""
    for path in (sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))):
        if path.suffix not in {".list", ".sources"} or not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            found = re.match(r"(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+/debian)/?(?:\s|$)", line)
            if found:
                return found[1]
    raise SystemExit("tests.lab: no Debian mirror in the machine's apt sources")


@contextlib.contextmanager
def _locked(what: str) -> Iterator[None]:
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f".lock-{what}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def fetch(suite: str) -> Path:
    """Unpack a suite's engines unless that was done; safe to interrupt and to run twice."""
    target = folder_of(suite)
    if is_ready(suite):
        return target
    with _locked(suite):
        if is_ready(suite):
            return target
        shutil.rmtree(target, ignore_errors=True)
        _remove_unused(suite)
        work = CACHE / f".{suite}.work"
        shutil.rmtree(work, ignore_errors=True)
        debs = _download(suite, work / "apt")
        root = work / "tree" / "root"
        _unpack(debs, root)
        _make_bin(work / "tree", target)
        os.rename(work / "tree", target)
        for name in _PATCHED:
            subprocess.run([target / "bin" / name, "--version"], check=True, capture_output=True)
        (target / ".done").touch()
        shutil.rmtree(work)
    return target


def _remove_unused(suite: str) -> None:
    """Remove folders of older recipes that no process runs from."""
    running = set()
    for link in glob.glob("/proc/[0-9]*/exe"):
        with contextlib.suppress(OSError):
            running.add(os.readlink(link))
    for old in CACHE.glob(f"{suite}-*"):
        if not any(exe.startswith(f"{old}/") for exe in running):
            shutil.rmtree(old, ignore_errors=True)


def _download(suite: str, state: Path) -> list[Path]:
    for part in ("lists/partial", "cache/archives/partial", "etc"):
        (state / part).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": state / "etc",
        "Dir::Etc::Preferences": state / "etc/preferences",
        "Dir::Etc::PreferencesParts": state / "etc",
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "false",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
        "Acquire::Check-Valid-Until": "false",
        "Acquire::Retries": "3",
    }
    config = state / "apt.conf"
    config.write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    environ = {**os.environ, "APT_CONFIG": str(config), "DEBIAN_FRONTEND": "noninteractive"}

    def run(*arguments: str) -> None:
        subprocess.run(
            ["apt-get", "-qq", *arguments],
            check=True,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    packages.retried(lambda: run("update"))
    packages.retried(lambda: run("install", "-y", "--download-only", *_WANTED))
    return sorted((state / "cache/archives").glob("*.deb"))


def _unpack(debs: list[Path], root: Path) -> None:
    """Unpack into a merged-/usr tree; the links come first, so that /lib files land in /usr/lib."""
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    excluded = [f"--exclude=./usr/share/{name}" for name in _UNNEEDED]
    excluded.append(f"--exclude=./usr/lib/{_MACHINE}-linux-gnu/perl*")
    extract = ["tar", "-xC", str(root), "--keep-directory-symlink", "--no-same-owner", *excluded]
    for deb in debs:
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as data:
            subprocess.run(extract, stdin=data.stdout, check=True)
        if data.returncode:
            raise SystemExit(f"tests.lab: cannot read {deb}")


def _make_bin(tree: Path, final: Path) -> None:
    """Fill `bin`: links to what runs as it is, patched copies of what does not."""
    (tree / "bin").mkdir()
    root = tree / "root"
    for name in _PLAIN:
        for folder in ("usr/bin", "usr/sbin"):
            if (root / folder / name).is_file():
                (tree / "bin" / name).symlink_to(f"../root/{folder}/{name}")
                break
    libraries = f"{final}/root/usr/lib/{_MACHINE}-linux-gnu"
    loader = next(p.name for p in (root / "usr/lib64").glob("ld-linux*"))
    for name in _PATCHED:
        source = next(p for p in (root / "usr/sbin" / name, root / "usr/bin" / name) if p.is_file())
        copy = tree / "bin" / name
        shutil.copy(source, copy)
        interpreter = ["--set-interpreter", f"{libraries}/{loader}"]
        rpath = ["--force-rpath", "--set-rpath", libraries]
        subprocess.run(["patchelf", *interpreter, *rpath, str(copy)], check=True)


def build_youki() -> Path | None:
    """Build the released youki into the cache; None where cargo is not there."""
    root = CACHE / "youki"
    cargo = shutil.which("cargo")
    with _locked("youki"):
        if (root / "bin" / "youki").is_file():
            return root
        if cargo is None:
            return None
        packages.install(packages.YOUKI_PACKAGES)
        command = [cargo, "install", "youki", "--locked", "--no-default-features"]
        command += ["--features", YOUKI_FEATURES, "--root", str(root)]
        environ = {**os.environ, "CARGO_TARGET_DIR": str(CACHE / ".youki-build")}
        packages.retried(lambda: subprocess.run(["nice", *command], check=True, env=environ))
        shutil.rmtree(CACHE / ".youki-build", ignore_errors=True)
    return root
