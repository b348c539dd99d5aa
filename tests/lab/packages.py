"""The Debian packages that the lab needs on the machine itself, and how apt installs them."""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator

PACKAGES = (
    "busybox-static",
    "conmon",
    "containerd",
    "containernetworking-plugins",
    "crun",
    "docker.io",
    "fuse3",
    "iptables",
    "libfuse3-3",
    "patchelf",
    "podman",
    "runc",
    "runsc",
    "tmux",
)
YOUKI_PACKAGES = ("libseccomp-dev", "pkg-config")

# What a lab runs; one that is missing makes the tests skip, or fail where the lab is required.
BINARIES = (
    "busybox",
    "conmon",
    "containerd",
    "crun",
    "ctr",
    "docker",
    "dockerd",
    "fusermount3",
    "podman",
    "runc",
    "runsc",
    "setsid",
    "unshare",
)
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ATTEMPTS = 3
_POLICY = "/usr/sbin/policy-rc.d"


def find(binary: str, path: str = SYSTEM_PATH) -> str | None:
    """The binary's path on the machine, whatever the caller's PATH is."""
    return shutil.which(binary, path=path)


def missing_binaries(binaries: Iterable[str] = BINARIES) -> tuple[str, ...]:
    return tuple(name for name in binaries if find(name) is None)


def retried(step: Callable[[], object]) -> None:
    """Run a download up to three times: mirrors and proxies stumble."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            step()
        except subprocess.CalledProcessError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(3 * attempt)
        else:
            return


def _is_installed(package: str) -> bool:
    asked = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.returncode == 0 and asked.stdout.strip() == "installed"


def _missing(packages: Iterable[str]) -> list[str]:
    names = [name for name in packages if not _is_installed(name)]
    if "docker.io" in names and find("dockerd"):
        names.remove("docker.io")
    return names


@contextlib.contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Forbid maintainer scripts to start services. Source: invoke-rc.d(8), policy-rc.d."""
    if os.path.lexists(_POLICY):
        yield
        return
    with open(_POLICY, "x") as file:
        file.write("#!/bin/sh\nexit 101\n")
    os.chmod(_POLICY, 0o755)
    try:
        yield
    finally:
        os.unlink(_POLICY)


def install(packages: Iterable[str] = PACKAGES) -> list[str]:
    """Install what is missing; returns the names of what was."""
    names = _missing(packages)
    if not names:
        return []
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ("apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300")

    def run(*arguments: str) -> None:
        subprocess.run(
            [*apt, *arguments],
            check=True,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    with _no_daemon_starts():
        retried(lambda: run("update"))
        retried(lambda: run("install", "--no-install-recommends", *names))
        if find("docker") is None:
            retried(lambda: run("install", "--no-install-recommends", "docker-cli"))
    return names
