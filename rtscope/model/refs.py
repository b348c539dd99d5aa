"""The names of records: what every join is keyed by."""

from rtscope.model.facts import fact


@fact(order=True)
class Ref:
    """The name of one record in one store.

    Attributes:
        origin: The store that holds it: containerd's state directory, docker's data root, podman's
            graph root, an OCI root; where nobody knows the store, the address.
        namespace: containerd's namespace; empty where the store has none.
        id: The complete id.
    """

    origin: str
    namespace: str
    id: str


@fact(order=True)
class ProcessKey:
    """A process: pids are reused, (pid, start) is not.

    Attributes:
        pid: In the host's pid namespace.
        start: Clock ticks since boot. Source: proc_pid_stat(5), field 22.
    """

    pid: int
    start: int
