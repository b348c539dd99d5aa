"""Records the demo node: python -m tests.lab.record rtscope/demo/node.json.gz

A whole lab with planted secrets, in namespaces of its own so that nothing else of the machine is in
the recording, saved by `rtscope observe` as a user would.
"""

import gzip
import os
import subprocess
import sys

from tests.lab import asking, faults, secrets
from tests.lab import seed as seeds
from tests.lab.layout import ROOT
from tests.lab.node import Node

INSIDE = "RTSCOPE_RECORD_INSIDE"
LIMIT_BYTES = 300_000
PREPARE = f"""
mount --make-rprivate /
hostname demo-node
mkdir -p {ROOT}
mount -t tmpfs tmpfs {ROOT}
mount -t tmpfs tmpfs /run
ip link set lo up
exec "$@"
"""


def plant(node: Node) -> None:
    """One container of docker and one of ctr that carry all the secrets."""
    engine = node.clients.docker
    config = {
        "Image": seeds.DOCKER_IMAGE,
        "Cmd": ["sh", "-c", "sleep 100000", *secrets.ARGUMENTS],
        "Labels": {**secrets.LABELS, **secrets.ANNOTATIONS},
        "Env": [f"{name}={value}" for name, value in secrets.ENVIRON.items()],
        "HostConfig": {"NetworkMode": "none"},
    }
    engine.start(engine.create("d-secrets", config))
    flags: list[str] = []
    for name, value in {**secrets.LABELS, **secrets.ANNOTATIONS}.items():
        flags += ["--label", f"{name}={value}"]
    for name, value in secrets.ENVIRON.items():
        flags += ["--env", f"{name}={value}"]
    command = ("sh", "-c", "sleep 100000", *secrets.ARGUMENTS)
    seeds.run_ctr(node, "t-secrets", *command, flags=tuple(flags))


def record(path: str) -> None:
    """A lab of its own, observed and taken down; the file is written compressed."""
    with Node("demo") as node:
        plant(node)
        shim = node.entry("t-run", "lab2")["shim_pid"]
        lost = node.entry("d-exec")
        # Something to see: a shim that stands still, and a container whose OCI state is gone.
        with (
            faults.stopped(node, shim),
            faults.removed(node, f"{lost['oci_root']}/{lost['id']}"),
        ):
            done = asking.run("observe", "-", environ=asking.configured(node))
        if done.returncode:
            sys.exit(f"observe: exit {done.returncode}\n{done.stderr}")
    data = done.stdout.encode()
    if secrets.MARK.lower().encode() in data.lower():
        sys.exit("a planted secret is in the recording")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, mtime=0) as packed:
        packed.write(data)
    size = os.path.getsize(path)
    if size > LIMIT_BYTES:
        sys.exit(f"{path}: {size} bytes, the limit is {LIMIT_BYTES}")
    print(f"{path}: {size} bytes")


def main() -> int:
    """Runs itself again inside namespaces of its own."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    if os.environ.get(INSIDE) == "1":
        record(sys.argv[1])
        return 0
    command = [
        "unshare", "-p", "-m", "-n", "-u", "-i", "--fork", "--kill-child", "--mount-proc",
        "sh", "-ec", PREPARE, "sh", sys.executable, "-m", "tests.lab.record", sys.argv[1],
    ]  # fmt: skip
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
