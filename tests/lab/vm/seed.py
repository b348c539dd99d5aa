"""What the guest gets from the host: images and scripts before the snapshot, rtscope after it."""

import os
import shutil
import subprocess
import sys

from tests.lab import image
from tests.lab.layout import IMAGE, PAUSE_IMAGE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
HERE = os.path.dirname(os.path.abspath(__file__))
GUEST_PYTHON = "3.14"
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")


def fill_seed_directory(directory: str) -> None:
    """Images, the seed's scripts and what the pod script imports."""
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    layer = image.layer()
    image.write_archive(f"{directory}/busybox.tar", IMAGE, layer_tar=layer)
    image.write_archive(
        f"{directory}/pause.tar", PAUSE_IMAGE, layer_tar=layer, entrypoint=image.PAUSE
    )
    for name in ("seed.sh", "pods.py"):
        shutil.copy(os.path.join(HERE, name), directory)
    site = os.path.join(directory, "site")
    install(site, "grpcio", "protobuf")
    for package in ("tests", "tests/lab", "tests/lab/_pb"):
        os.makedirs(os.path.join(site, package))
        for name in os.listdir(os.path.join(ROOT, package)):
            if name.endswith(".py"):
                shutil.copy(os.path.join(ROOT, package, name), os.path.join(site, package))


def fill_site_directory(site: str) -> None:
    """rtscope and what it needs, importable by the guest's Python."""
    shutil.rmtree(site, ignore_errors=True)
    install(site, "grpcio", "protobuf", "psutil", "pyyaml", "shtab")
    shutil.copytree(
        os.path.join(ROOT, "rtscope"),
        os.path.join(site, "rtscope"),
        ignore=shutil.ignore_patterns("__pycache__"),
    )


def install(site: str, *packages: str) -> None:
    """Wheels for the guest's Python, unpacked."""
    platforms = [option for name in PLATFORMS for option in ("--platform", name)]
    command = [
        sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--target",
        site, "--python-version", GUEST_PYTHON, "--implementation", "cp", *platforms,
        "--only-binary=:all:", *packages,
    ]  # fmt: skip
    for attempt in range(3):
        if subprocess.run(command, check=attempt == 2).returncode == 0:
            return
