"""Times `rtscope ps -a --all-runtimes` against the engines' own clients, in one run.

    python -m bench.listing [10 100 300]

Both sides must yield the same (namespace, id) set, or the run is void (exit 2).
"""

import compileall
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from bench.measure import ROOT, Limits, Run, interleaved, median_s, run
from tests.lab import faults
from tests.lab.node import Node, many

RTSCOPE = os.path.join(os.path.dirname(sys.executable), "rtscope")
LIST = [RTSCOPE, "ps", "-a", "--all-runtimes", "-o", "json"]


def environment(node: Node) -> dict[str, str]:
    description = node.describe()
    return {
        "PATH": description["path"],
        "DOCKER_SOCKET": description["sockets"]["docker"],
        "CONTAINERD_SOCKET": description["sockets"]["containerd"],
        "NAMESPACES": "moby default k8s.io",
        "RUNC_ROOTS": " ".join(description["runc_roots"]),
    }


def ours(result: Run) -> set[tuple[str, str]]:
    document = json.loads(result.stdout)
    return {(c["namespace"], c["id"]) for c in document["containers"]}


def theirs(result: Run) -> set[tuple[str, str]]:
    found = set()
    for line in result.stdout.splitlines():
        key = line.split(" ", 1)[0]
        namespace, _, identifier = key.partition("/")
        if namespace in ("moby", "default", "k8s.io"):
            found.add((namespace, identifier))
    return found


def race(node: Node, size: int, limits: Limits) -> None:
    environ = environment(node)
    peers = os.path.join(ROOT, "bench", "peers")
    taken = interleaved(
        {
            "rtscope": lambda: run(LIST),
            "clients": lambda: run(["sh", f"{peers}/clients.sh"], environ),
            "join": lambda: run(["sh", f"{peers}/join.sh"], environ),
        }
    )
    mine, yours = ours(taken["rtscope"][-1]), theirs(taken["join"][-1])
    if mine != yours:
        print(f"void: only ours {sorted(mine - yours)[:3]}, only theirs {sorted(yours - mine)[:3]}")
        sys.exit(2)
    us, clients, join = (median_s(taken[k]) for k in ("rtscope", "clients", "join"))
    print(
        f"{size} running: rtscope {us * 1000:.0f} ms, clients {clients * 1000:.0f} ms, "
        f"join by hand {join * 1000:.0f} ms, ratio to the join {us / join:.2f}"
    )
    limits.check("ratio", f"ps_{size}", us / clients)
    if size == 300:
        peak = max(r.peak_bytes for r in taken["rtscope"])
        limits.check("memory", "ps_300_peak_mb", peak / (1 << 20), " MB")
    one_stopped(node, size, environ, limits)


def one_stopped(node: Node, size: int, environ: dict[str, str], limits: Limits) -> None:
    shim = node.a_shim()
    peers = os.path.join(ROOT, "bench", "peers")
    with faults.stopped(node, shim):
        taken = interleaved(
            {
                "rtscope": lambda: run(LIST),
                "clients": lambda: run(["sh", f"{peers}/clients.sh"], environ),
            },
            runs=3 if size < 300 else 9,
        )
    us, clients = median_s(taken["rtscope"]), median_s(taken["clients"])
    print(
        f"  one shim stopped: rtscope {us * 1000:.0f} ms, clients {clients * 1000:.0f} ms, "
        f"ratio {us / clients:.2f}"
    )
    if size == 300:
        limits.check("ratio", "ps_300_one_stopped_shim", us / clients)


_CROWD = """
import os, signal, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        signal.pause()
        os._exit(0)
print("ready", flush=True)
signal.pause()
"""

_RAW = """
import os, time
def once():
    for name in os.listdir("/proc"):
        if name[0] in "123456789":
            try:
                fd = os.open("/proc/" + name + "/stat", os.O_RDONLY)
            except OSError:
                continue
            os.read(fd, 1024)
            os.close(fd)
once()
start = time.perf_counter(); once(); print(time.perf_counter() - start)
"""

_SCAN = """
import time
from rtscope.procfs.host import Host
from rtscope.procfs.node import read_node
from rtscope.procfs.scan import observe_kernel
host = Host(); node = read_node(host)
observe_kernel(host, node)
start = time.perf_counter(); observe_kernel(host, node); print(time.perf_counter() - start)
"""


def scan(limits: Limits, processes: int = 5000) -> None:
    crowd = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CROWD, str(processes)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert crowd.stdout is not None
        crowd.stdout.readline()
        taken: dict[str, list[float]] = {"raw": [], "scan": []}
        for _ in range(9):
            for name, code in (("raw", _RAW), ("scan", _SCAN)):
                taken[name].append(float(run([sys.executable, "-c", code]).stdout))
        raw, ours_s = (sorted(taken[k])[4] for k in ("raw", "scan"))
        print(f"{processes} processes: scan {ours_s * 1000:.0f} ms, raw read {raw * 1000:.0f} ms")
        limits.check("ratio", "scan_5000", ours_s / raw)
    finally:
        os.killpg(crowd.pid, signal.SIGKILL)
        crowd.wait()


def version(limits: Limits) -> None:
    taken = interleaved(
        {
            "rtscope": lambda: run([RTSCOPE, "--version"]),
            "python": lambda: run([sys.executable, "-I", "-c", "pass"]),
        },
        runs=15,
    )
    limits.check("ratio", "version", median_s(taken["rtscope"]) / median_s(taken["python"]))


def main(argv: Sequence[str]) -> int:
    sizes = [int(a) for a in argv] or [10, 100, 300]
    limits = Limits()
    # rtscope writes no bytecode; an installed one has it.
    compileall.compile_dir(os.path.join(ROOT, "rtscope"), quiet=2)
    version(limits)
    scan(limits)
    for size in sizes:
        start = time.monotonic()
        with many(size) as node:
            print(f"\n{size} containers started in {time.monotonic() - start:.0f} s")
            race(node, size, limits)
    return limits.exit_code()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
