"""A lab: real container daemons, started privately, with a population that is known.

For people: `python -m tests.lab up NAME [--generation forky|trixie|host] [--engines A,B]`,
`status`, `json NAME` (what is there now), `down NAME`; labs need root. What is missing on the
machine is installed by `python -m tests.lab.prepare --suites forky,trixie [--youki]`.

For tests, the fixtures `node` (forky, everything), `node_trixie` and `node_host` live as long as
the session: read from them, and put back what you change. For faults make a node of your own:

    with Node(engines=("containerd", "docker")) as mine:       # name, cgroup and folder of its own
        shim = mine.entry("t-run", "default")["shim_pid"]
        with faults.stopped(mine, shim):
            ...
    with many(100) as crowd:                                    # running containers, no population
        ...

`faults` stops, kills, freezes, hides and replaces parts of a lab, makes a process in state D and a
file system that blocks; `node.kill_daemon`, `restart_daemon`, `second_containerd` (again a `t-run`
in `default`) and `nested_engine` change the node. `residue` tells what a lab left behind.

`node.layout` has the paths, `node.clients` the engines' clients (`docker` is the API, `ctr`,
`podman`, `oci(runtime, ...)`, `docker_cli`), `node.daemons` the processes, `node.path` the PATH of
the generation's binaries. `node.population()` is computed from those clients, never by rtscope; an
entry has

    seed         the name below, without the lab's name; a pod's container is POD/NAME
    kind         container, or sandbox (CRI pods, podman's infra)
    engine       docker, containerd, cri, podman, oci
    origin       docker: data root; containerd, cri: state directory; podman: graph root; oci: root
    namespace    containerd's (docker: moby, cri: k8s.io), empty for podman and oci
    id name image pod health oom_killed runtime_type execs
    state        created, running, paused, stopped; state_raw is the engine's own word
    pid          of the living init, else None; shim_pid: its shim or conmon, living
    exit_code    where the engine tells it
    oci_runtime  runc, crun, runsc, youki; oci_root is the directory of its states
    restless     it restarts for ever: state and pid of it change at any time

and the population is

    docker   d-run d-paused d-exited(3) d-killed(137) d-oom(137, OOM) d-created d-restart d-health
             d-exec d-tty d-weird d-crun d-gvisor
    ctr      default: t-run t-paused t-stopped t-notask t-crun t-weird t-gvisor t-youki, with older
             containerds t-runcv1 (1.6, 1.7) and t-linux1 (1.6); lab2: a second t-run
    CRI      pods web(app, sidecar, init: exited) gone(stopped) crunpod(handler crun)
    podman   p-run p-paused p-exited(3) p-crun p-weird, pod p-pod with p-pod-a; p-crun has an OCI
             root of its own: `clients.podman(..., runtime="crun")` acts on it, the service cannot
    bare     r-run r-paused r-created r-stopped, c-crun, g-run, y-run y-paused y-created y-stopped

Environment: RTSCOPE_LAB_DIR (labs, default /tmp/rtscope-lab), RTSCOPE_LAB_CACHE (engines, default
/var/tmp/rtscope-lab/engines), RTSCOPE_REQUIRE_LAB=1 (a lab that cannot be is a failure, no skip).
"""
