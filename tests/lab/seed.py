"""The population: every state that an engine knows, several runtimes, hostile text.

Each function fills one engine through its own client; `Node` runs them side by side.
"""

import contextlib
import os
from typing import TYPE_CHECKING, Any

from tests.lab import bundle, cri, processes
from tests.lab.layout import IMAGE, LabError

if TYPE_CHECKING:
    from tests.lab.node import Node

LOOP = "i=0; while :; do echo out $i; echo err $i >&2; i=$((i+1)); sleep 1; done"
SLEEP = ("sleep", "100000")
HOSTILE = "a\x1b[31mred\x1b[0m\nline2\ttab \u2603 \U0001f433 \u202ertl\u202c \u200fmark\u2066"
BIG_LABEL_BYTES = 65536
DOCKER_IMAGE = "rtlab/busybox:1"
SECRET = "SECRET_TOKEN=hunter2"
_OOM_TRIES = 6
# Unhealthy at the first probe; the second one hangs, so that the state stays and costs nothing.
_PROBE = "[ -e /tmp/probed ] && sleep 3600; touch /tmp/probed; exit 1"
_HEALTH = {
    "Test": ["CMD-SHELL", _PROBE],
    "Interval": 1_000_000_000,
    "Timeout": 3_600_000_000_000,
    "Retries": 1,
}


# ---------------------------------------------------------------- docker
def docker(node: "Node") -> None:
    node.wait_ready("docker")
    engine = node.clients.docker
    with open(node.layout.path("img/busybox.tar"), "rb") as file:
        engine.call("POST", "/images/load", file.read())

    def create(name: str, *command: str, host: dict[str, object] | None = None, **more: Any) -> str:
        labels = {"rtlab": node.name, **more.pop("labels", {})}
        config = {"Image": DOCKER_IMAGE, "Cmd": list(command), "Labels": labels, **more}
        config["HostConfig"] = {"NetworkMode": "none", **(host or {})}
        return engine.create(name, config)

    def run(name: str, *command: str, **more: Any) -> str:
        identifier = create(name, *command, **more)
        engine.start(name)
        return identifier

    limits = {"Memory": 64 << 20, "PidsLimit": 50}
    run("d-run", "sh", "-c", LOOP, host=limits, Env=[SECRET])
    run("d-health", *SLEEP, Healthcheck=_HEALTH)
    run("d-restart", "sh", "-c", "exit 1", host={"RestartPolicy": {"Name": "always"}})
    run("d-exited", "sh", "-c", "exit 3")
    run("d-killed", *SLEEP)
    engine.call("POST", "/containers/d-killed/kill", signal="KILL")
    run("d-paused", *SLEEP)
    engine.call("POST", "/containers/d-paused/pause")
    create("d-created", "true")
    run("d-tty", "sh", Tty=True, OpenStdin=True)
    run("d-exec", *SLEEP)
    started = engine.call("POST", "/containers/d-exec/exec", {"Cmd": ["sleep", "99999"]})
    engine.call("POST", f"/exec/{started['Id']}/start", {"Detach": True})
    run("d-crun", *SLEEP, host={"Runtime": "crun"})
    hostile = {f"key{HOSTILE}": HOSTILE, "nul": "a\0b", "big": "x" * BIG_LABEL_BYTES}
    script = f"printf '\\033[2J\\033]0;title\\007%s\\n' '{HOSTILE}'; sleep 100000"
    run("d-weird", "sh", "-c", script, labels=hostile, Env=[f"WEIRD={HOSTILE}", SECRET])
    if node.has("runsc"):
        run("d-gvisor", *SLEEP, host={"Runtime": "runsc"})
    _out_of_memory(node, run)
    _settle_docker(node)


def _out_of_memory(node: "Node", run: Any) -> None:
    """dockerd learns of an OOM by an event that the exit may overtake: try until it did."""
    engine = node.clients.docker
    for _ in range(_OOM_TRIES):
        run("d-oom", "tail", "/dev/zero", host={"Memory": 16 << 20})
        if not processes.wait_until(lambda: _status(node, "d-oom") == "exited", 30):
            raise LabError("d-oom still runs after 30 s")
        if engine.inspect("d-oom")["State"]["OOMKilled"]:
            return
        engine.remove("d-oom")
    raise LabError(f"dockerd reported no OOM kill in {_OOM_TRIES} tries")


def _status(node: "Node", name: str) -> str:
    return str(node.clients.docker.inspect(name)["State"]["Status"])


def _settle_docker(node: "Node") -> None:
    """Wait until every state is the one that it will keep."""

    def is_settled() -> bool:
        health = node.clients.docker.inspect("d-health")["State"]["Health"]["Status"]
        ended = [_status(node, name) for name in ("d-exited", "d-killed")]
        return health == "unhealthy" and ended == ["exited", "exited"]

    if not processes.wait_until(is_settled, 60):
        raise LabError("the docker population does not settle")


# ---------------------------------------------------------------- containerd
def run_ctr(
    node: "Node", name: str, *command: str, namespace: str = "default", flags: tuple[str, ...] = ()
) -> None:
    """One container of ctr's, with its runtime's state under the lab's folder."""
    log = node.layout.path(f"log/ctr-{namespace}-{name}.out")
    root = node.layout.paths["containerd_oci_root"]
    cgroup = f"{node.layout.cgroup}/ctr/{namespace}/{name}"
    settings = ("--runc-root", root, "--log-uri", f"file://{log}", "--cgroup", cgroup)
    labels = ("--label", f"rtlab={node.name}")
    node.clients.ctr(
        "run", "-d", *settings, *labels, *flags, IMAGE, name, *command, namespace=namespace
    )


def import_images(node: "Node", namespace: str, address: str = "") -> None:
    for archive in ("busybox", "pause"):
        path = node.layout.path(f"img/{archive}.tar")
        node.clients.ctr("images", "import", path, namespace=namespace, address=address)


def containerd(node: "Node") -> None:
    for namespace in ("default", "lab2"):
        import_images(node, namespace)
    run_ctr(node, "t-run", "sh", "-c", LOOP)
    run_ctr(node, "t-run", *SLEEP, namespace="lab2")
    run_ctr(node, "t-paused", *SLEEP)
    node.clients.ctr("tasks", "pause", "t-paused")
    run_ctr(node, "t-stopped", "sh", "-c", "exit 5")
    node.clients.ctr("containers", "create", "--label", f"rtlab={node.name}", IMAGE, "t-notask")
    run_ctr(node, "t-crun", *SLEEP, flags=("--runc-binary", node.layout.path("bin/crun")))
    hostile = ("--env", f"WEIRD={HOSTILE}", "--env", SECRET, "--label", f"weird={HOSTILE}")
    run_ctr(node, "t-weird", "sh", "-c", f"sleep 100000 #{HOSTILE}", flags=hostile)
    if node.has("runsc"):
        wrapper = ("--runc-binary", node.layout.path("bin/runsc"))
        run_ctr(node, f"t-gvisor-{node.name}", *SLEEP, flags=wrapper)
    if node.has("youki"):
        wrapper = ("--runc-binary", *node.clients.oci_binary("youki"))
        run_ctr(node, "t-youki", *SLEEP, flags=wrapper)
    _old_shims(node)
    if not processes.wait_until(lambda: "STOPPED" in node.clients.ctr("tasks", "list"), 30):
        raise LabError("t-stopped does not stop")


def _old_shims(node: "Node") -> None:
    """Shims that newer containerds no longer have. They ignore --runc-root: the name is ours."""
    release = node.containerd_release
    cgroup = f"{node.layout.cgroup}/ctr/default"
    kinds = [("t-runcv1", "io.containerd.runc.v1")] if release < (2, 0) else []
    if release < (1, 7):
        kinds.append(("t-linux1", "io.containerd.runtime.v1.linux"))
    for seed, kind in kinds:
        name = f"{seed}-{node.name}"
        flags = ("--runtime", kind, "--null-io", "--cgroup", f"{cgroup}/{name}")
        node.clients.ctr("run", "-d", *flags, IMAGE, name, *SLEEP)


# ---------------------------------------------------------------- CRI
def pods(node: "Node") -> None:
    import_images(node, "k8s.io")
    annotations = {"weird": HOSTILE, "big": "y" * BIG_LABEL_BYTES}
    with cri.Cri(node.layout.sockets["cri"]) as server:

        def pod(name: str, handler: str = "") -> tuple[str, Any]:
            folder = node.layout.path(f"pods/{name}")
            os.makedirs(folder)
            parent = f"{node.layout.cgroup}/pods/{name}"
            config = cri.pod_config(name, parent, folder, annotations)
            return server.run_pod(config, handler), config

        sandbox, web = pod("web")
        server.run(sandbox, web, "app", ("sh", "-c", LOOP))
        server.run(sandbox, web, "sidecar", SLEEP)
        initial = server.run(sandbox, web, "init", ("sh", "-c", "echo init done"))
        sandbox, gone = pod("gone")
        server.run(sandbox, gone, "app", SLEEP)
        server.stop_pod(sandbox)
        sandbox, other = pod("crunpod", "crun")
        server.run(sandbox, other, "app", SLEEP)
        if not processes.wait_until(lambda: server.status(initial).status.state == 2, 30):
            raise LabError("the init container of pod web does not end")


# ---------------------------------------------------------------- podman
def podman(node: "Node") -> None:
    node.wait_ready("podman")
    client = node.clients.podman
    for archive in ("busybox", "pause"):
        client("load", "-qi", node.layout.path(f"img/{archive}.tar"))
    parent = ("--cgroup-parent", f"{node.layout.cgroup}/podman")

    def run(name: str, *command: str, flags: tuple[str, ...] = (), runtime: str = "runc") -> None:
        chosen = ("--runtime", node.layout.path("bin/crun")) if runtime == "crun" else ()
        label = ("--label", f"rtlab={node.name}")
        flags = (*parent, "--name", name, *label, *flags)
        client(*chosen, "run", "-d", *flags, IMAGE, *command, runtime=runtime)

    run("p-run", "sh", "-c", LOOP)
    run("p-paused", *SLEEP)
    client("pause", "p-paused")
    run("p-exited", "sh", "-c", "exit 3")
    run("p-crun", *SLEEP, runtime="crun")
    hostile = ("--label", f"weird={HOSTILE}", "--env", f"WEIRD={HOSTILE}", "--env", SECRET)
    run("p-weird", "sh", "-c", f"sleep 100000 #{HOSTILE}", flags=hostile)
    client("pod", "create", *parent, "--name", "p-pod", "--share", "ipc,uts")
    client("run", "-d", *parent, "--pod", "p-pod", "--name", "p-pod-a", IMAGE, *SLEEP)
    client("wait", "p-exited")


# ---------------------------------------------------------------- runtimes without an engine
def make_bundle(node: "Node", name: str, *command: str) -> str:
    """A bundle on the lab's shared root file system."""
    cgroup = f"{node.layout.cgroup}/oci/{name}"
    document = bundle.spec(node.layout.path("oci/rootfs"), command, cgroup, name)
    return bundle.write(node.layout.path(f"oci/bundles/{name}"), document)


def _run_bare(node: "Node", runtime: str, name: str, *command: str, verb: str = "run") -> None:
    folder = make_bundle(node, name, *command)
    flags = ("-d",) if verb == "run" else ()
    node.clients.oci(runtime, verb, *flags, "-b", folder, name)


def _four_states(node: "Node", runtime: str, prefix: str, status: int) -> None:
    _run_bare(node, runtime, f"{prefix}-run", *SLEEP)
    _run_bare(node, runtime, f"{prefix}-paused", *SLEEP)
    node.clients.oci(runtime, "pause", f"{prefix}-paused")
    _run_bare(node, runtime, f"{prefix}-created", *SLEEP, verb="create")
    _run_bare(node, runtime, f"{prefix}-stopped", "sh", "-c", f"exit {status}")


def bare(node: "Node") -> None:
    if node.has("runc"):
        _four_states(node, "runc", "r", 4)
    if node.has("crun"):
        _run_bare(node, "crun", "c-crun", *SLEEP)
    if node.has("youki"):
        _four_states(node, "youki", "y", 6)
    if node.has("runsc"):
        name = f"g-run-{node.name}"
        folder = make_bundle(node, name, *SLEEP)
        node.clients.oci("runsc", "run", "-detach", "-bundle", folder, name)


ENGINES = {"docker": docker, "containerd": containerd, "cri": pods, "podman": podman}


# ---------------------------------------------------------------- a second containerd
def second(node: "Node", address: str, oci_root: str) -> None:
    """A container that has the name of one of the first containerd's."""
    import_images(node, "default", address)
    cgroup = ("--cgroup", f"{node.layout.cgroup}/second/t-run")
    flags = ("--runc-root", oci_root, "--null-io", *cgroup)
    with contextlib.suppress(FileExistsError):
        os.makedirs(oci_root)
    node.clients.ctr("run", "-d", *flags, IMAGE, "t-run", *SLEEP, address=address)
