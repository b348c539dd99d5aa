import pytest

from rtscope.procfs.monitors import (
    kind_of,
    monitor_from_args,
    monitor_from_cwd,
    oci_root_of_args,
)

V2 = "/run/containerd/io.containerd.runtime.v2.task"
SOCK = "/run/containerd/containerd.sock"
ID = "c" * 64


def test_shim_v2_tells_namespace_id_address_and_bundle() -> None:
    args = ["/usr/bin/containerd-shim-runc-v2", "-namespace", "moby", "-id", ID, "-address", SOCK]
    said = monitor_from_args(args, args[0], f"{V2}/moby/{ID}")
    assert said is not None
    assert (said.kind, said.namespace, said.id) == ("runc-v2", "moby", ID)
    assert said.containerd_address == SOCK
    assert said.bundle_dir == f"{V2}/moby/{ID}"


@pytest.mark.parametrize(
    "args",
    [
        ["--namespace", "k8s.io", "--address", SOCK, "--id", ID],
        ["-namespace=k8s.io", f"-address={SOCK}", f"-id={ID}", "-debug"],
        ["-debug", "-namespace", "k8s.io", "-address", SOCK, "-publish-binary", "b", "-id", ID],
    ],
)
def test_shim_flags_in_every_spelling(args: list[str]) -> None:
    said = monitor_from_args(["containerd-shim-kata-v2", *args], None, None)
    assert said is not None
    assert (said.kind, said.namespace, said.id) == ("kata-v2", "k8s.io", ID)
    assert said.containerd_address == SOCK


@pytest.mark.parametrize("action", ["start", "delete"])
def test_short_calls_of_a_shim_do_not_count(action: str) -> None:
    args = ["containerd-shim-runc-v2", "-namespace", "moby", "-id", "x", "-bundle", "/b", action]
    assert monitor_from_args(args, None, None) is None


def test_shim_whose_container_is_called_start_counts() -> None:
    args = ["containerd-shim-runc-v2", "-namespace", "default", "-id", "start", "-address", SOCK]
    said = monitor_from_args(args, None, None)
    assert said is not None
    assert said.id == "start"


def test_legacy_shim_names_its_container_by_its_work_directory() -> None:
    work = "/var/lib/containerd/io.containerd.runtime.v1.linux/default/old"
    args = ["containerd-shim", "-namespace", "default", "-workdir", work, "-address", SOCK]
    said = monitor_from_args(
        [*args, "-containerd-binary", "/usr/bin/containerd", "-runtime-root", "/run/r"],
        "/usr/bin/containerd-shim",
        "/",
    )
    assert said is not None
    assert (said.kind, said.namespace, said.id) == ("linux-v1", "default", "old")
    assert said.oci_root == "/run/r"


def test_oldest_docker_shim_has_words_only() -> None:
    said = monitor_from_args(
        ["docker-containerd-shim", ID, "/run/docker/libcontainerd/x", "docker-runc"], None, None
    )
    assert said is not None
    assert (said.kind, said.id, said.bundle_dir) == ("linux-v1", ID, "/run/docker/libcontainerd/x")


@pytest.mark.parametrize(
    ("exe", "kind"),
    [
        ("/usr/bin/containerd-shim-runc-v1", "runc-v1"),
        ("/usr/bin/containerd-shim", "linux-v1"),
        ("/usr/bin/docker-containerd-shim", "linux-v1"),
        ("containerd-shim-spin-v2", "spin-v2"),
        ("/usr/bin/conmon", "conmon"),
        ("conmonrs", "conmonrs"),
    ],
)
def test_kind_of_an_executable(exe: str, kind: str) -> None:
    assert kind_of(exe) == kind


def test_conmon_of_podman_tells_name_roots_and_log() -> None:
    args = (
        f"/usr/bin/conmon --api-version 1 -c {ID} -u {ID} -r /usr/bin/crun -b /g/userdata "
        "-p /r/pidfile -n web --exit-dir /x/exits --full-attach -s -l k8s-file:/g/ctr.log "
        "--log-level warning --runtime-arg --log-format=json --runtime-arg --root=/run/crun "
        "--conmon-pidfile /r/conmon.pid --exit-command /usr/bin/podman --exit-command-arg --root "
        "--exit-command-arg /graph --exit-command-arg --runroot --exit-command-arg /runroot "
        f"--exit-command-arg container --exit-command-arg cleanup --exit-command-arg {ID}"
    ).split()
    said = monitor_from_args(args, args[0], "/")
    assert said is not None
    assert (said.kind, said.id, said.name, said.oci_runtime) == (
        "conmon",
        ID,
        "web",
        "/usr/bin/crun",
    )
    assert (said.oci_root, said.graph_root, said.run_root) == ("/run/crun", "/graph", "/runroot")
    assert (said.log_path, said.bundle_dir) == ("/g/ctr.log", "/g/userdata")


def test_conmon_of_crio_tells_the_kubernetes_name() -> None:
    name = "k8s_web_pod_ns_uid_0"
    args = (
        f"conmon -b /b -c {ID} --exit-dir /var/run/crio/exits -l /var/log/pods/x/0.log "
        f"--log-level info -n {name} -P /b/conmon.pid -p /b/pid --persist-dir /p -r /usr/bin/runc "
        f"--runtime-arg --root=/run/runc --socket-dir-path /var/run/crio --syslog -u {ID} -s"
    ).split()
    said = monitor_from_args(args, None, None)
    assert said is not None
    assert (said.name, said.log_path, said.exit_dir) == (
        name,
        "/var/log/pods/x/0.log",
        "/var/run/crio/exits",
    )
    assert said.oci_root == "/run/runc"
    assert said.graph_root is None


@pytest.mark.parametrize("flag", ["-e", "--exec", "--exec-attach"])
def test_conmon_of_an_exec_session_does_not_count(flag: str) -> None:
    assert monitor_from_args(["conmon", "-c", ID, flag, "-n", "web"], None, None) is None


def test_conmon_journald_has_no_log_file() -> None:
    said = monitor_from_args(["conmon", "-c", ID, "-l", "journald"], None, None)
    assert said is not None
    assert said.log_path is None


def test_monitor_that_may_not_be_read_is_told_by_its_directory() -> None:
    said = monitor_from_cwd(b"containerd-shim", f"{V2}/default/web")
    assert (said.namespace, said.id, said.bundle_dir) == ("default", "web", f"{V2}/default/web")
    assert monitor_from_cwd(b"conmon", "/").id is None


@pytest.mark.parametrize(
    ("args", "root"),
    [
        (["runsc-sandbox", "--root=/r", "boot", "x"], "/r"),
        (["/usr/bin/runc", "--root", "/r", "run", "x"], "/r"),
        (["runc", "--root", "relative", "run"], None),
        (["sleep", "--root=/r"], None),
        ([], None),
    ],
)
def test_oci_root_of_args(args: list[str], root: str | None) -> None:
    assert oci_root_of_args(args) == root
