"""The JSON documents: `ps`, `tree`, `sources`. Fields are added, never renamed; unknown is null.

Ids, labels and texts are complete here; their schemas are in docs/schema.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rtscope.correlate.nodes import TreeNode
from rtscope.model.inventory import Claim, Container, Inventory, LayerView
from rtscope.model.observation import Endpoint, Gap
from rtscope.model.state import Layer
from rtscope.render.units import rfc3339

SCHEMA_VERSION = 1

Document = dict[str, Any]
"""JSON as Python has it."""


def head(inventory: Inventory, gaps: Iterable[Gap] | None = None) -> Document:
    """What every document carries: whose node, when, and what is not known."""
    return {
        "schema_version": SCHEMA_VERSION,
        "node": inventory.node.hostname,
        "taken_at": rfc3339(inventory.taken_at),
        "recorded_at": None if inventory.recorded_at is None else rfc3339(inventory.recorded_at),
        "gaps": [gap_document(gap) for gap in (inventory.gaps if gaps is None else gaps)],
    }


def gap_document(gap: Gap) -> Document:
    """One gap."""
    return {
        "source": gap.source,
        "subject": gap.subject,
        "missing": gap.missing,
        "reason": gap.reason.value,
        "detail": gap.detail,
    }


def ps_document(inventory: Inventory, containers: Iterable[Container]) -> Document:
    """The document of `ps`: these containers, in this order."""
    return {**head(inventory), "containers": [container_document(c) for c in containers]}


def container_document(container: Container) -> Document:
    """One container with what every layer says of it."""
    c = container
    return {
        "key": c.key,
        "id": c.id,
        "name": c.name,
        "engine": c.engine.value,
        "verdict": c.verdict.value,
        "problem": c.problem,
        "origin": c.origin,
        "namespace": c.namespace,
        "endpoint": c.endpoint,
        "image_ref": c.image_ref,
        "image_id": c.image_id,
        "command": c.command,
        "state": c.state.value,
        "state_raw": c.state_raw,
        "pid": c.pid,
        "pid_start": c.pid_start,
        "created_at": _instant(c.created_at),
        "started_at": _instant(c.started_at),
        "finished_at": _instant(c.finished_at),
        "exit_code": c.exit_code,
        "exit_reason": c.exit_reason,
        "oom_killed": c.oom_killed,
        "restart_count": c.restart_count,
        "health": c.health,
        "oci_runtime": c.oci_runtime,
        "runtime_type": c.runtime_type,
        "shim_pid": c.shim_pid,
        "bundle_dir": c.bundle_dir,
        "cgroup_path": c.cgroup_path,
        "labels": dict(c.labels),
        "pod": _pod_document(c),
        "is_sandbox": c.is_sandbox,
        "nested_in": c.nested_in,
        "uid": c.uid,
        "stale_s": c.stale_s,
        "layers": {
            layer.value: layer_document(c.layers[layer]) for layer in Layer if layer in c.layers
        },
    }


def _instant(at: Any) -> str | None:
    return None if at is None else rfc3339(at)


def _pod_document(container: Container) -> Document | None:
    pod = container.pod
    if pod is None:
        return None
    return {
        "name": pod.name,
        "namespace": pod.namespace,
        "uid": pod.uid,
        "sandbox_id": pod.sandbox_id,
    }


def layer_document(view: LayerView) -> Document:
    """One layer: its verdict, and every claim as it was made."""
    return {
        "verdict": view.verdict.value,
        "why": view.why,
        "claims": [_claim_document(claim) for claim in view.claims],
    }


def _claim_document(claim: Claim) -> Document:
    return {
        "source": claim.source,
        "state": None if claim.state is None else claim.state.value,
        "state_raw": claim.state_raw,
        "pid": claim.pid,
        "pid_start": claim.pid_start,
        "exit_code": claim.exit_code,
        "created_at": _instant(claim.created_at),
        "started_at": _instant(claim.started_at),
        "finished_at": _instant(claim.finished_at),
    }


def tree_document(inventory: Inventory, nodes: Sequence[TreeNode]) -> Document:
    """The document of `tree`: a flat list, with the keys of the roots."""
    shown = {node.key for node in nodes}
    return {
        **head(inventory),
        "roots": [node.key for node in nodes if node.parent not in shown],
        "nodes": [_node_document(node, shown) for node in nodes],
    }


def _node_document(node: TreeNode, shown: set[str]) -> Document:
    return {
        "key": node.key,
        "kind": node.kind,
        "layer": None if node.layer is None else node.layer.value,
        "name": node.name,
        "id": node.id,
        "pid": node.pid,
        "pid_start": node.pid_start,
        "state": node.state,
        "parent": node.parent if node.parent in shown else None,
        "children": [key for key in node.children if key in shown],
        "verdict": None if node.verdict is None else node.verdict.value,
        "detail": node.detail,
        "why": node.why,
        "container": node.container,
    }


def sources_document(inventory: Inventory, path: Sequence[str] = ()) -> Document:
    """The document of `sources`; `path`: where a fault lies, in sentences."""
    return {
        **head(inventory),
        "sources": [endpoint_document(endpoint) for endpoint in inventory.endpoints],
        "chains": list(path),
    }


def endpoint_document(endpoint: Endpoint) -> Document:
    """One source."""
    daemon = endpoint.daemon
    return {
        "source": endpoint.source,
        "endpoint": endpoint.address,
        "kind": endpoint.kind,
        "found_by": list(endpoint.found_by),
        "state": endpoint.state.value,
        "version": endpoint.version,
        "pid": None if daemon is None else daemon.pid,
        "pid_start": None if daemon is None else daemon.start,
        "process_state": endpoint.holder_state,
        "wchan": endpoint.wchan,
        "connect_ms": endpoint.connect_ms,
        "first_answer_ms": endpoint.first_answer_ms,
        "queue": endpoint.queue,
        "asked": list(endpoint.asked),
        "origin": endpoint.origin,
        "namespace": endpoint.namespace,
        "below": endpoint.below,
        "is_remote": endpoint.is_remote,
        "nested_in": endpoint.nested_in,
        "uid": endpoint.owner_uid,
        "detail": endpoint.skip_detail or None,
    }


def lines_of(document: Mapping[str, Any], lists: Mapping[str, str]) -> Iterable[Document]:
    """A document as jsonl: its head as `meta`, then one object for each member of its lists.

    Args:
        document: A whole document.
        lists: Field -> the kind that its members get, in the order to print.
    """
    fields = {**lists, "gaps": "gap"}
    yield {"kind": "meta", **{k: v for k, v in document.items() if k not in fields}}
    for name, kind in fields.items():
        for member in document[name]:
            yield {"kind": kind, **_without_clash(member)}


def _without_clash(member: Any) -> Document:
    """The member's own `kind`, where it has one, under the name `node_kind`."""
    if not isinstance(member, dict):
        return {"text": member}
    if "kind" in member:
        return {"node_kind": member["kind"], **{k: v for k, v in member.items() if k != "kind"}}
    return member
