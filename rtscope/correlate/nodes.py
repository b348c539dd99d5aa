"""Nodes of the chain as `tree` and the view draw it."""

from rtscope.model.facts import fact
from rtscope.model.state import Layer, Verdict


@fact
class TreeNode:
    """One node of the chain.

    Attributes:
        key: Unique in one tree and stable between two.
        kind: `node daemon namespace pod container task shim oci process cgroup owner`.
        layer: None where none applies.
        pid, pid_start: Of the process behind it; None if there is none.
        state: The word to show: a container's state, an endpoint's state, a process's letter.
        parent: Key of the parent; None for a root.
        children: Keys, in the order to draw.
        detail: Short text beside the name: image, version, latency, command.
        container: Key of the container it belongs to.
    """

    key: str
    kind: str
    layer: Layer | None = None
    name: str = ""
    id: str | None = None
    pid: int | None = None
    pid_start: int | None = None
    state: str | None = None
    parent: str | None = None
    children: tuple[str, ...] = ()
    verdict: Verdict | None = None
    detail: str = ""
    why: str | None = None
    container: str | None = None
