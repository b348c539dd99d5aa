"""Every parser of what others wrote, as a function of bytes, and the errors that it documents.

A parser whose input is no bytes (an argument list, a JSON document) gets its own made of them, as
its caller would. What a caller turns into a gap is documented; anything else is a crash.
"""

import gzip
import io
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from google.protobuf.message import DecodeError

from rtscope import cli
from rtscope._pb import containers_pb2, cri_pb2
from rtscope.backends.base import Draft, Targets
from rtscope.backends.channel.connection import Connection
from rtscope.backends.channel.failure import Peer
from rtscope.backends.channel.hpack import Decoder, HpackError, encode_request
from rtscope.backends.channel.http import HttpConnection
from rtscope.backends.containerd import convert as containerd
from rtscope.backends.cri import convert as cri_convert
from rtscope.backends.docker import convert as docker
from rtscope.backends.docker.files import DockerFilesBackend
from rtscope.backends.kubelet import certificate
from rtscope.backends.kubelet import convert as kubelet
from rtscope.backends.oci import OciBackend
from rtscope.backends.oci import convert as oci
from rtscope.backends.podman import convert as podman
from rtscope.backends.podman import database, store
from rtscope.backends.shim import ttrpc
from rtscope.backends.shim.bundles import BundleReader
from rtscope.backends.shim.convert import task_from
from rtscope.capture import codec, file
from rtscope.config.deadlines import Deadlines
from rtscope.config.durations import parse_duration
from rtscope.config.file import parse_config
from rtscope.correlate.join import join
from rtscope.errors import BackendError, ExitCode, NotFoundError, UsageError
from rtscope.model.inventory import Inventory
from rtscope.model.observation import Endpoint, Node
from rtscope.model.refs import Ref
from rtscope.procfs import cgroups, mounts
from rtscope.procfs.daemons import daemon_kind, is_daemon_call, options_of
from rtscope.procfs.host import Host
from rtscope.procfs.monitors import kind_of, monitor_from_args, monitor_from_cwd, oci_root_of_args
from rtscope.render.document import ps_document
from rtscope.render.filters import matches, parse_filter
from rtscope.render.jsonpath import evaluate
from rtscope.render.selector import resolve
from rtscope.render.units import parse_instant
from tests.generate import generated_observations

CORPUS = os.path.join(os.path.dirname(__file__), "corpus")
PEER = Peer("docker", "/run/docker.sock")
REF = Ref(origin="/run/containerd", namespace="default", id="c1")
C64 = "ab" * 32
NOW = datetime(2026, 11, 27, 4, 0, tzinfo=UTC)
NOT_JSON = (ValueError, RecursionError)
"""What json.loads raises, and every caller of it catches."""


@dataclass(frozen=True)
class Target:
    run: Callable[[bytes], Any]
    errors: tuple[type[BaseException], ...] = ()
    cost: int = 1

    def check(self, data: bytes) -> None:
        """Raises what no caller expects."""
        try:
            self.run(data)
        except self.errors:
            return


class Folder:
    """A node of few files in memory-backed storage: each input is written into one of them."""

    def __init__(self) -> None:
        base = "/dev/shm" if os.path.isdir("/dev/shm") else None
        self._held = tempfile.TemporaryDirectory(prefix="rtscope-fuzz-", dir=base)
        self.root = self._held.name
        self.host = Host(self.root)
        self.targets = Targets(node=Node(hostname="n"), host=self.host)

    def put(self, path: str, data: bytes) -> None:
        full = self.root + path
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb") as target:
            target.write(data)

    def close(self) -> None:
        self.host.close()
        self._held.cleanup()


_open: list[Folder] = []


@contextmanager
def folder() -> Iterator[Folder]:
    """One folder for all inputs of a run; `close_all` removes it."""
    if not _open:
        _open.append(Folder())
    yield _open[0]


def close_all() -> None:
    while _open:
        _open.pop().close()


# --------------------------------------------------------------- state directories
def _observe(backend: Any, endpoint: Endpoint, node: Folder) -> None:
    made = backend.connect(endpoint, Deadlines())
    try:
        observation = made.observe(node.targets)
    finally:
        made.close()
    assert observation.gaps or observation.containers or observation.oci_states
    codec.from_json(json.loads(json.dumps(codec.to_json(observation))))


def _oci_root(name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with folder() as node:
            place = f"/{name}"
            inside = {"runsc": f"{C64}_sandbox:{C64}.state", "crun": f"{C64}/status"}
            node.put(f"{place}/{inside.get(name, f'{C64}/state.json')}", data)
            _observe(OciBackend, Endpoint(kind="oci", address=place), node)

    return run


def _docker_config(data: bytes) -> None:
    with folder() as node:
        node.put(f"/docker/containers/{C64}/config.v2.json", data)
        _observe(DockerFilesBackend, Endpoint(kind="dockerfs", address="/docker"), node)


BUNDLE_FILES = ("init.pid", "address", "options.json", "bootstrap.json", "config.json",
                "shim-binary-path")  # fmt: skip


def _bundle_file(name: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with folder() as node:
            path = f"/{name}/io.containerd.runtime.v2.task/default/c1"
            node.put(f"{path}/{name}", data)
            endpoint = Endpoint(kind="shim", address="shims")
            reader = BundleReader(node.host, 0, Draft(endpoint, node.targets))
            bundle = reader.bundle(REF, path, with_spec=True)
            assert bundle is not None
            reader.without_shim(bundle)

    return run


def _podman_pids(data: bytes) -> None:
    store.exit_code_from(data)
    store.pid_from(data)
    store.membership_in(data)


# --------------------------------------------------------------- documents
def _docker_list(data: bytes) -> None:
    document = json.loads(data)
    known = {"origin": "/d", "below": None, "below_namespace": None}
    for entry in document if isinstance(document, list) else [document]:
        docker.record_from_list(entry, **known)
    list(docker.images_from_list(document, origin="/d"))


def _podman_list(data: bytes) -> None:
    document = json.loads(data)
    for entry in document if isinstance(document, list) else [document]:
        podman.record_from_list(entry, origin="/g")
        podman.sandbox_from(entry, origin="/g")
        list(podman.images_from(entry, origin="/g"))


def _recording(data: bytes) -> None:
    with folder() as node:
        node.put("/recording", data)
        file.load(f"{node.root}/recording")


def _line(read: Callable[[str], Any]) -> Callable[[bytes], None]:
    """What a user typed, as the command line hands it over: no argument holds a null byte."""
    return lambda data: read(data.replace(b"\0", b"").decode(errors="surrogateescape")[:500])


@cache
def _node() -> Inventory:
    return join(generated_observations(8))


def _jsonpath(text: str) -> None:
    evaluate(text, ps_document(_node(), _node().containers))


def _filter(text: str) -> None:
    wanted = [parse_filter(text)]
    for container in _node().containers:
        matches(container, wanted)


def _listing(verb: str, *words: str) -> Callable[[bytes], None]:
    """A verb that lists what somebody recorded, to the last character."""

    def run(data: bytes) -> None:
        with folder() as node, redirect_stdout(_Pipe()), redirect_stderr(_Pipe()):
            node.put("/recording", data)
            code = cli.run([verb, *words, "--from", f"{node.root}/recording"])
        assert code in (ExitCode.OK, ExitCode.USAGE, ExitCode.UNREADABLE), code

    return run


class _Pipe(io.TextIOWrapper):
    """As strict as a user's UTF-8 terminal: what is no character cannot be written."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", errors="strict")


def _cri(data: bytes) -> None:
    item = cri_pb2.Container.FromString(data)
    known = cri_convert.Store(origin="/c")
    cri_convert.record_from(item, known, {})
    cri_convert.sandbox_from(cri_pb2.PodSandbox.FromString(data), known)


def _cri_info(data: bytes) -> None:
    answer = cri_pb2.ContainerStatusResponse(info={"info": data.decode(errors="replace")})
    record = cri_convert.record_from(cri_pb2.Container(id="c"), cri_convert.Store(origin="/c"), {})
    cri_convert.detailed(record, answer)
    cri_convert.document_from(answer)


def _containerd(data: bytes) -> None:
    message = containers_pb2.Container.FromString(data)
    containerd.record_from(message, origin="/c", namespace="default")
    containerd.document_from(message)


def _kubelet(data: bytes) -> None:
    text = data.decode(errors="replace")
    kubelet.manifest_name_in(data, "pod.yaml")
    kubelet.setting_in(data, "healthzPort")
    kubelet.log_directory_from(text)
    kubelet.container_ids_in(text.split("\n"))
    kubelet.is_pod_uid(text)
    certificate.validity_in(data)


# --------------------------------------------------------------- the kernel's words
def _arguments(data: bytes) -> list[str]:
    return [part.decode(errors="surrogateescape") for part in data.rstrip(b"\0").split(b"\0")]


def _monitor(data: bytes) -> None:
    args = _arguments(data)
    comm = args[0].rsplit("/", 1)[-1].encode(errors="surrogateescape")[:15]
    kind_of(args[0])
    monitor_from_args(args, args[0], "/run/containerd/io.containerd.runtime.v2.task/default/c1")
    monitor_from_args(args, None, None)
    monitor_from_cwd(comm, args[-1])
    oci_root_of_args(args)


DAEMONS = ("dockerd", "containerd", "crio", "cri-dockerd", "podman", "k3s", "kubelet", "buildkitd")


def _daemon(data: bytes) -> None:
    args = _arguments(data)
    with folder() as node:
        for kind in DAEMONS:
            daemon_kind(kind.encode())
            is_daemon_call(kind, args)
            options_of(node.host, kind, args, 0)


def _daemon_file(kind: str, flag: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        with folder() as node:
            node.put(f"/etc/{kind}.conf", data)
            options_of(node.host, kind, (f"/usr/bin/{kind}", flag, f"/etc/{kind}.conf"), 0)

    return run


def _cgroup(data: bytes) -> None:
    for _, path in cgroups.lines_of(data):
        shape = cgroups.parse_path(path, ("default", "k8s.io"))
        assert shape is None or shape.owner


def _mountinfo(data: bytes) -> None:
    found = mounts.parse_mountinfo(data)
    mounts.mount_of(found, "/var/lib/docker/x")


# --------------------------------------------------------------- the wire
def _ttrpc(data: bytes) -> None:
    reader = ttrpc.FrameReader()
    half = len(data) // 2
    for frame in (*reader.feed(data[:half]), *reader.feed(data[half:])):
        ttrpc.decode_response(frame, PEER)


def _task(data: bytes) -> None:
    task_from(data, REF, "/b", None)


def _http2(data: bytes) -> None:
    """A peer's whole side of a connection on which one call is open."""
    connection = Connection()
    block = encode_request("/s/M", "localhost", [])
    call = connection.open(block, b"x", True)
    for start in range(0, len(data), 4096):
        if connection.broken is None:
            connection.receive(data[start : start + 4096])
    if connection.broken is None:
        connection.receive_end()
    assert call.is_over or connection.broken is not None
    call.error(PEER)
    assert len(connection.outgoing) < 4 << 20
    connection.drop(call)


def _hpack(data: bytes) -> None:
    decoder = Decoder()
    for part in (data[: len(data) // 2], data[len(data) // 2 :]):
        decoder.decode(part)


def _http1(data: bytes) -> None:
    """A server that says this to whatever it is asked, and hangs up."""
    with folder() as node:
        path = f"{node.root}/http.sock"
        if os.path.exists(path):
            os.unlink(path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
            server.listen(4)
            connection = HttpConnection(path, backend="docker", endpoint=path,
                                        deadlines=Deadlines())  # fmt: skip
            _answer(server, connection, data)


def _answer(server: socket.socket, connection: HttpConnection, data: bytes) -> None:
    connect, said = connection._connect, []

    def connected() -> socket.socket:
        sock = connect()
        accepted, _ = server.accept()
        said.append(accepted)
        accepted.sendall(data[:100_000])
        accepted.shutdown(socket.SHUT_WR)
        return sock

    connection._connect = connected  # type: ignore[method-assign]  # no thread for a server
    try:
        connection.get("/containers/json", 5.0)
    finally:
        connection.close()
        for accepted in said:
            accepted.close()


TARGETS: dict[str, Target] = {
    "oci-runc": Target(_oci_root("runc"), cost=3),
    "oci-youki": Target(_oci_root("youki"), cost=3),
    "oci-crun": Target(_oci_root("crun"), cost=3),
    "oci-runsc": Target(_oci_root("runsc"), cost=3),
    "oci-state": Target(oci.state_from, (oci.StateFileError,)),
    "docker-config": Target(_docker_config, cost=3),
    "docker-list": Target(_docker_list, (*NOT_JSON, docker.DocumentError)),
    "podman-list": Target(_podman_list, (*NOT_JSON, podman.DocumentError)),
    "podman-store": Target(store.entries_from, (podman.DocumentError,)),
    "podman-database": Target(database.database_from, (database.DatabaseError,), cost=3),
    "podman-words": Target(_podman_pids),
    **{f"bundle-{name}": Target(_bundle_file(name), cost=2) for name in BUNDLE_FILES},
    "cri-message": Target(_cri, (DecodeError,)),
    "cri-info": Target(_cri_info),
    "containerd-message": Target(_containerd, (DecodeError,)),
    "kubelet": Target(_kubelet),
    "monitor-arguments": Target(_monitor),
    "daemon-arguments": Target(_daemon, cost=2),
    "dockerd-file": Target(_daemon_file("dockerd", "--config-file")),
    "containerd-file": Target(_daemon_file("containerd", "--config")),
    "crio-file": Target(_daemon_file("crio", "--config")),
    "kubelet-file": Target(_daemon_file("kubelet", "--config")),
    "cgroup": Target(_cgroup),
    "mountinfo": Target(_mountinfo),
    "ttrpc": Target(_ttrpc, (ttrpc.FrameError, BackendError)),
    "task-message": Target(_task, (DecodeError,)),
    "http2": Target(_http2, cost=2),
    "hpack": Target(_hpack, (HpackError,)),
    "http1": Target(_http1, (BackendError,), cost=4),
    "jsonpath": Target(_line(_jsonpath), (UsageError,)),
    "filter": Target(_line(_filter), (UsageError,)),
    "selector": Target(_line(lambda text: resolve(_node(), text)), (UsageError, NotFoundError)),
    "duration": Target(_line(parse_duration), (UsageError,)),
    "instant": Target(_line(lambda text: parse_instant(text, NOW)), (UsageError,)),
    "config": Target(lambda data: parse_config("/etc/rtscope.toml", data), (UsageError,)),
    "recording": Target(_recording, (UsageError,), cost=3),
    "recording-ps": Target(_listing("ps", "-a", "--all-runtimes", "--no-trunc"), cost=6),
    "recording-json": Target(_listing("ps", "-a", "--all-runtimes", "-o", "json"), cost=6),
    "recording-tree": Target(_listing("tree"), cost=6),
    "recording-sources": Target(_listing("sources"), cost=6),
}


def directory_of(name: str) -> str:
    """Where a target's inputs are kept: those of one kind of file together."""
    return os.path.join(CORPUS, "recording" if name.startswith("recording") else name)


def corpus_of(name: str) -> tuple[bytes, ...]:
    """The kept inputs of a target, in the order of their names."""
    directory = directory_of(name)
    kept = []
    for entry in sorted(os.listdir(directory)):
        with open(os.path.join(directory, entry), "rb") as kept_file:
            data = kept_file.read()
        kept.append(gzip.decompress(data) if entry.endswith(".gz") else data)
    return tuple(kept)
