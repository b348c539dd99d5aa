"""Fetches upstream's .proto files from Debian packages into a cache; nothing is installed.

Run as `python -m tests.contract.prepare`. The packages of two suites are downloaded with an apt
state of our own and unpacked with dpkg-deb.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

CACHE = Path(os.environ.get("RTSCOPE_PROTO_CACHE", "/var/tmp/rtscope-lab/protos"))
PACKAGES = {
    "forky": (
        "golang-github-containerd-containerd-api-dev",
        "golang-github-containerd-ttrpc-dev",
        "golang-k8s-cri-api-dev",
    ),
    "bookworm": (
        "golang-github-containerd-containerd-dev",
        "golang-github-gogo-googleapis-dev",
        "golang-github-gogo-protobuf-dev",
    ),
}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ATTEMPTS = 3


def is_ready(cache: Path = CACHE) -> bool:
    """Whether every suite was unpacked completely."""
    return all((cache / suite / ".complete").is_file() for suite in PACKAGES)


def mirror(sources: Path = Path("/etc/apt")) -> str:
    """The Debian mirror that this machine's apt already uses."""
    files = [sources / "sources.list", *sorted((sources / "sources.list.d").glob("*"))]
    for path in files:
        if not path.is_file() or path.suffix not in {".list", ".sources"}:
            continue
        for line in path.read_text().splitlines():
            found = re.match(r"(?:URIs:|deb(?:\s+\[[^]]*\])?)\s+(\S+?/debian)/?(?:\s|$)", line)
            if found:
                return found[1]
    raise SystemExit("no Debian mirror in the machine's apt sources")


def _apt_environment(state: Path, suite: str) -> dict[str, str]:
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={KEYRING}] {mirror()} {suite} main\n")
    settings = {
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": state / "etc",
        "Dir::Etc::Preferences": state / "etc/none",
        "Dir::Etc::PreferencesParts": state / "etc",
        "Dir::State": state,
        "Dir::State::Lists": state / "lists",
        "Dir::State::status": state / "status",
        "Dir::Cache": state / "cache",
        "APT::Sandbox::User": "root",
        "Acquire::Languages": "none",
    }
    config = state / "apt.conf"
    config.write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    return {**os.environ, "APT_CONFIG": str(config)}


def _retried(step: Callable[[], object]) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            step()
        except subprocess.CalledProcessError:
            if attempt == ATTEMPTS:
                raise
            time.sleep(2 * attempt)
        else:
            return


def fetch(suite: str, cache: Path = CACHE) -> None:
    """Download and unpack one suite's packages; does nothing where that was done before."""
    target = cache / suite
    if (target / ".complete").is_file():
        return
    shutil.rmtree(target, ignore_errors=True)
    state = target / "apt"
    environment = _apt_environment(state, suite)
    debs = target / "debs"
    debs.mkdir()

    def run(*command: str) -> None:
        subprocess.run(command, check=True, env=environment, cwd=debs, stdout=subprocess.DEVNULL)

    _retried(lambda: run("apt-get", "update", "-qq", "-o", "APT::Update::Error-Mode=any"))
    _retried(lambda: run("apt-get", "download", "-qq", *PACKAGES[suite]))
    for deb in sorted(debs.glob("*.deb")):
        run("dpkg-deb", "-x", str(deb), str(target / "root"))
    shutil.rmtree(state)
    (target / ".complete").touch()


def main() -> int:
    """Fetch whatever is missing."""
    for suite in PACKAGES:
        fetch(suite)
        print(f"{suite}: {', '.join(PACKAGES[suite])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
