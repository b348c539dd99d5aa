"""What is really there, as the engines' own clients tell it; no code of rtscope takes part."""

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

from tests.lab import cri, processes
from tests.lab.layout import LabError

if TYPE_CHECKING:
    from tests.lab.node import Node

Entry = dict[str, Any]

_DOCKER_STATES = {
    "created": "created",
    "running": "running",
    "paused": "paused",
    "restarting": "stopped",
    "exited": "stopped",
    "dead": "stopped",
}
_CRI_STATES = ("created", "running", "stopped", "unknown")
_OCI_BY_SEED = {"t-crun": "crun", "t-gvisor": "runsc", "t-youki": "youki"}
_INNER_NAMESPACES = ("moby", "plugins.moby", "k8s.io")


def entry(**facts: Any) -> Entry:
    """An entry with every key; what nobody says is None."""
    blank: Entry = {
        "seed": None,
        "kind": "container",
        "name": None,
        "engine": None,
        "origin": None,
        "namespace": "",
        "id": None,
        "state": None,
        "state_raw": None,
        "exit_code": None,
        "oom_killed": None,
        "health": None,
        "image": None,
        "pid": None,
        "shim_pid": None,
        "runtime_type": None,
        "oci_runtime": None,
        "oci_root": None,
        "pod": None,
        "restless": False,
        "execs": [],
    }
    return {**blank, **facts}


class Shims:
    """Shims and conmons of the lab, found by parentage or by their command line."""

    def __init__(self, table: dict[int, processes.Stat]) -> None:
        self._table = table
        self._by_id: dict[tuple[str, str], int] = {}
        for stat in table.values():
            words = processes.command_of(stat.pid)
            if stat.comm.startswith("containerd-shim") and "-id" in words and "start" not in words:
                key = (words[words.index("-namespace") + 1], words[words.index("-id") + 1])
                self._by_id[key] = stat.pid

    def of(self, pid: int | None, namespace: str, identifier: str) -> int | None:
        """The shim above that process, else the one that was started for that id."""
        stat = self._table.get(pid or 0)
        while stat is not None:
            if stat.comm.startswith(("containerd-shim", "conmon")):
                return stat.pid
            stat = self._table.get(stat.parent)
        return self._by_id.get((namespace, identifier))

    def all(self) -> dict[tuple[str, str], int]:
        """(namespace, id) -> pid of containerd's shims with the current command line."""
        return dict(self._by_id)


def docker(node: "Node", shims: Shims) -> list[Entry]:
    engine = node.clients.docker
    found = []
    for item in engine.call("GET", "/containers/json", all="1"):
        with contextlib.suppress(LabError):
            found.append(_docker_entry(node, engine.inspect(item["Id"]), shims))
    return found


def _docker_entry(node: "Node", document: dict[str, Any], shims: Shims) -> Entry:
    state = document["State"]
    name = document["Name"].lstrip("/")
    pid = state["Pid"] or None
    ended = state["Status"] in ("exited", "dead")
    runtime = document["HostConfig"]["Runtime"]
    return entry(
        seed=name,
        name=name,
        engine="docker",
        origin=node.layout.paths["docker_data"],
        namespace="moby",
        id=document["Id"],
        state=_DOCKER_STATES[state["Status"]],
        state_raw=state["Status"],
        exit_code=state["ExitCode"] if ended else None,
        oom_killed=state["OOMKilled"],
        health=(state.get("Health") or {}).get("Status"),
        image=document["Config"]["Image"],
        pid=pid,
        shim_pid=shims.of(pid, "moby", document["Id"]),
        oci_runtime=runtime,
        oci_root=node.layout.paths["docker_oci_root"],
        restless=document["HostConfig"]["RestartPolicy"]["Name"] == "always",
        execs=document.get("ExecIDs") or [],
    )


def _columns(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()[1:] if line.strip()]


def _seed_of(node: "Node", identifier: str) -> str:
    return identifier.removesuffix(f"-{node.name}")


def containerd(node: "Node", shims: Shims) -> list[Entry]:
    found = []
    for namespace in node.clients.ctr("namespaces", "list", "-q").split():
        if namespace not in _INNER_NAMESPACES:
            origin = node.layout.paths["containerd_state"]
            found += _namespace_entries(node, namespace, origin, "", shims)
    if "containerd2" in node.daemons.pids:
        origin, address = node.layout.path("ctrd2/run"), node.layout.path("c2.sock")
        found += _namespace_entries(node, "default", origin, address, shims)
    return found


def _namespace_entries(
    node: "Node", namespace: str, origin: str, address: str, shims: Shims
) -> list[Entry]:
    listing = node.clients.ctr("tasks", "list", namespace=namespace, address=address)
    tasks = {row[0]: (int(row[1]), row[2]) for row in _columns(listing)}
    found = []
    rows = _columns(node.clients.ctr("containers", "list", namespace=namespace, address=address))
    for identifier, image, runtime_type in (row[:3] for row in rows):
        pid, raw = tasks.get(identifier, (0, None))
        seed = _seed_of(node, identifier)
        is_live = raw not in (None, "STOPPED")
        folder = "ctrd2/runc" if address else "ctrd/runc"
        root = node.layout.path(f"{folder}/{namespace}")
        if runtime_type != "io.containerd.runc.v2":
            root = f"/run/containerd/runc/{namespace}"
        found.append(
            entry(
                seed=seed,
                name=identifier,
                engine="containerd",
                origin=origin,
                namespace=namespace,
                id=identifier,
                state=(raw or "created").lower(),
                state_raw=raw,
                image=image,
                pid=pid if is_live else None,
                shim_pid=shims.of(pid, namespace, identifier) if raw else None,
                runtime_type=runtime_type,
                oci_runtime=_OCI_BY_SEED.get(seed, "runc"),
                oci_root=root,
            )
        )
    return found


def pods(node: "Node", shims: Shims) -> list[Entry]:
    found = []
    with cri.Cri(node.layout.sockets["cri"]) as server:
        sandboxes = {item.id: item for item in server.pods()}
        for item in sandboxes.values():
            info = json.loads(server.pod_info(item.id)["info"])
            ready = item.state == 0
            name = item.metadata.name
            facts = _cri_facts(node, item.id, info.get("pid") if ready else None, shims)
            facts |= {"kind": "sandbox", "seed": name, "name": name, "pod": name}
            facts |= {"state": "running" if ready else "stopped", "image": info.get("image")}
            facts["state_raw"] = "SANDBOX_READY" if ready else "SANDBOX_NOTREADY"
            facts["oci_runtime"] = item.runtime_handler or "runc"
            found.append(entry(**facts))
        found += [
            _cri_entry(node, server.status(item.id), item, sandboxes, shims)
            for item in server.containers()
        ]
    return found


def _cri_facts(node: "Node", identifier: str, pid: int | None, shims: Shims) -> Entry:
    return {
        "engine": "cri",
        "origin": node.layout.paths["containerd_state"],
        "namespace": "k8s.io",
        "id": identifier,
        "pid": pid or None,
        "shim_pid": shims.of(pid, "k8s.io", identifier),
        "oci_root": node.layout.path("ctrd/runc/k8s.io"),
    }


def _cri_entry(
    node: "Node", answer: Any, item: Any, sandboxes: dict[str, Any], shims: Shims
) -> Entry:
    status = answer.status
    info = json.loads(answer.info["info"])
    state = _CRI_STATES[status.state]
    facts = _cri_facts(node, status.id, info.get("pid") if state == "running" else None, shims)
    sandbox = sandboxes[item.pod_sandbox_id]
    pod = sandbox.metadata.name
    facts |= {"seed": f"{pod}/{status.metadata.name}", "name": status.metadata.name, "pod": pod}
    facts |= {"state": state, "image": status.image.image}
    facts["state_raw"] = ("CREATED", "RUNNING", "EXITED", "UNKNOWN")[status.state]
    facts["exit_code"] = status.exit_code if state == "stopped" else None
    facts["oci_runtime"] = sandbox.runtime_handler or "runc"
    return entry(**facts)


def podman(node: "Node", shims: Shims) -> list[Entry]:
    listing = json.loads(node.clients.podman("ps", "-a", "--format", "json"))
    pods_by_id = {
        p["Id"]: p["Name"] for p in json.loads(node.clients.podman("pod", "ps", "--format", "json"))
    }
    found = []
    for item in listing:
        document = json.loads(node.clients.podman("inspect", "--type", "container", item["Id"]))[0]
        state = document["State"]
        pid = state["Pid"] or None
        ended = state["Status"] in ("exited", "stopped")
        name = document["Name"]
        runtime = document["OCIRuntime"].rpartition("/")[2]
        found.append(
            entry(
                kind="sandbox" if item.get("IsInfra") else "container",
                seed="p-pod" if item.get("IsInfra") else name,
                name=name,
                engine="podman",
                origin=node.layout.paths["podman_root"],
                id=document["Id"],
                state="stopped" if ended else state["Status"],
                state_raw=state["Status"],
                exit_code=state["ExitCode"] if ended else None,
                oom_killed=state["OOMKilled"],
                image=document["ImageName"],
                pid=pid,
                shim_pid=shims.of(pid, "", document["Id"]),
                oci_runtime=runtime,
                oci_root=node.layout.path(f"podman/{runtime}"),
                pod=pods_by_id.get(item.get("Pod", "")),
            )
        )
    return found


def _bare_ids(root: str, runtime: str) -> list[str]:
    """What a runtime's root lists; a file of runsc's names its sandbox."""
    names = sorted(os.listdir(root)) if os.path.isdir(root) else []
    if runtime == "runsc":
        return [m[1] for n in names if (m := re.match(r"(.+)_sandbox:.+\.state$", n))]
    return [n for n in names if os.path.isdir(os.path.join(root, n))]


def bare(node: "Node") -> list[Entry]:
    found = []
    for runtime in ("runc", "crun", "runsc", "youki"):
        if not node.has(runtime):
            continue
        for identifier in _bare_ids(node.layout.paths[f"{runtime}_root"], runtime):
            state = json.loads(node.clients.oci(runtime, "state", identifier))
            raw = state["status"]
            pid = state.get("pid") or None
            found.append(
                entry(
                    seed=_seed_of(node, identifier),
                    name=identifier,
                    engine="oci",
                    origin=node.layout.paths[f"{runtime}_root"],
                    id=identifier,
                    state=raw.lower(),
                    state_raw=raw,
                    pid=pid if raw.lower() != "stopped" else None,
                    oci_runtime=runtime,
                    oci_root=node.layout.paths[f"{runtime}_root"],
                )
            )
    return found


def everything(node: "Node", shims: Shims) -> list[Entry]:
    """Of every engine whose daemon lives; podman and the bare runtimes need none."""
    alive = node.daemons.pids
    found: list[Entry] = []
    if "docker" in alive:
        found += docker(node, shims)
    if "containerd" in alive:
        found += containerd(node, shims)
        if node.has("cri"):
            found += pods(node, shims)
    if node.has("podman"):
        found += podman(node, shims)
    return found + bare(node)
