"""Closed sets of words: layers, states, verdicts, reasons."""

from enum import StrEnum


class Layer(StrEnum):
    """Who may know a container, from the top of the node to its bottom."""

    KUBELET = "kubelet"
    SANDBOX = "sandbox"
    ENGINE = "engine"
    CONTAINER = "container"
    TASK = "task"
    SHIM = "shim"
    OCI = "oci"
    PROCESS = "process"
    CGROUP = "cgroup"


class State(StrEnum):
    """The state of a container in words that every engine shares."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


class Verdict(StrEnum):
    """What the join concludes of one layer of one container."""

    OK = "ok"
    MISSING = "missing"
    DIFFERS = "differs"
    UNKNOWN = "unknown"
    NOT_EXPECTED = "not_expected"


class Engine(StrEnum):
    """Who owns a container: the highest layer that has a record of it."""

    DOCKER = "docker"
    PODMAN = "podman"
    CRI = "cri"
    CONTAINERD = "containerd"
    OCI = "oci"
    UNKNOWN = "unknown"


class Reason(StrEnum):
    """Why a source could not say something."""

    ABSENT = "absent"
    DENIED = "denied"
    REFUSED = "refused"
    SILENT = "silent"
    INACTIVE = "inactive"
    BLOCKED = "blocked"
    MALFORMED = "malformed"
    VANISHED = "vanished"
    UNSUPPORTED = "unsupported"


class EndpointState(StrEnum):
    """How an endpoint stands.

    `stopped` and `blocked` are states of the process that holds the listener (T and D of
    proc_pid_stat(5)); `dead` is a path that nobody listens on.
    """

    OK = "ok"
    SLOW = "slow"
    SILENT = "silent"
    STOPPED = "stopped"
    BLOCKED = "blocked"
    DEAD = "dead"
    DENIED = "denied"
    ABSENT = "absent"
    INACTIVE = "inactive"
    MALFORMED = "malformed"
    UNKNOWN = "unknown"


ANSWERED = frozenset({EndpointState.OK, EndpointState.SLOW})
"""The states of an endpoint whose answer can be believed to be complete."""
