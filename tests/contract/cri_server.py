"""A real gRPC server that answers the calls of CRI as CRI-O, cri-dockerd or containerd do."""

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc

from rtscope._pb import cri_pb2 as pb

PATIENT_S = 30.0
SERVICE = "/runtime.v1.RuntimeService/"
CREATED_NS = 1_764_218_000_123_456_789
POD_LABELS = {
    "io.kubernetes.pod.name": "web",
    "io.kubernetes.pod.namespace": "shop",
    "io.kubernetes.pod.uid": "0b1c8c39-59d5-4ee0-9b44-1d8fbbbd9f4e",
}

Answer = Callable[[Any, grpc.ServicerContext], Any]


class FakeCri(grpc.GenericRpcHandler):
    """Answers from two tables; a method without an answer is unimplemented, as in real ones.

    Attributes:
        info: What the runtime adds to a verbose status, by id.
        overrides: Other answers, by method.
        asked: The methods that were called, in order.
    """

    def __init__(self, runtime_name: str, runtime_version: str) -> None:
        self.version = pb.VersionResponse(
            version="0.1.0",
            runtime_name=runtime_name,
            runtime_version=runtime_version,
            runtime_api_version="v1",
        )
        self.sandboxes: dict[str, Any] = {}
        self.containers: dict[str, Any] = {}
        self.info: dict[str, Any] = {}
        self.overrides: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.release = threading.Event()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        name = details.method.removeprefix(SERVICE)
        known: dict[str, tuple[Any, Answer]] = {
            "Version": (pb.VersionRequest, lambda _r, _c: self.version),
            "ListPodSandbox": (pb.ListPodSandboxRequest, self._list_sandboxes),
            "ListContainers": (pb.ListContainersRequest, self._list_containers),
            "ContainerStatus": (pb.ContainerStatusRequest, self._container_status),
            "PodSandboxStatus": (pb.PodSandboxStatusRequest, self._sandbox_status),
        }
        if name not in known:
            return None
        kind, answer = known[name]
        answer = self.overrides.get(name, answer)

        def handle(request: Any, context: grpc.ServicerContext) -> bytes:
            self.asked.append(name)
            found = answer(request, context)
            return found if isinstance(found, bytes) else found.SerializeToString()

        return grpc.unary_unary_rpc_method_handler(handle, request_deserializer=kind.FromString)

    def add_pod(self, pod_id: str, **changes: Any) -> None:
        facts = {
            "id": pod_id,
            "metadata": pb.PodSandboxMetadata(
                name="web", namespace="shop", uid=POD_LABELS["io.kubernetes.pod.uid"], attempt=1
            ),
            "created_at": CREATED_NS,
            "labels": POD_LABELS,
        }
        self.sandboxes[pod_id] = pb.PodSandbox(**{**facts, **changes})

    def add_container(self, container_id: str, pod_id: str, **changes: Any) -> None:
        facts = {
            "id": container_id,
            "pod_sandbox_id": pod_id,
            "metadata": pb.ContainerMetadata(name="app", attempt=2),
            "image": pb.ImageSpec(image="sha256:" + "1" * 64),
            "image_ref": "sha256:" + "1" * 64,
            "state": pb.CONTAINER_RUNNING,
            "created_at": CREATED_NS,
            "labels": {**POD_LABELS, "io.kubernetes.container.name": "app"},
        }
        self.containers[container_id] = pb.Container(**{**facts, **changes})

    def _list_sandboxes(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        return pb.ListPodSandboxResponse(items=list(self.sandboxes.values()))

    def _list_containers(self, _request: Any, _context: grpc.ServicerContext) -> Any:
        return pb.ListContainersResponse(containers=list(self.containers.values()))

    def _container_status(self, request: Any, context: grpc.ServicerContext) -> Any:
        item = self.containers.get(request.container_id)
        if item is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such container")
            raise AssertionError
        has_ended = item.state == pb.CONTAINER_EXITED
        status = pb.ContainerStatus(
            id=item.id,
            metadata=item.metadata,
            state=item.state,
            created_at=item.created_at,
            started_at=item.created_at + 10**9,
            finished_at=item.created_at + 2 * 10**9 if has_ended else 0,
            exit_code=137 if has_ended else 0,
            reason="OOMKilled" if has_ended else "",
            log_path=f"/var/log/pods/{item.id}/0.log",
        )
        info = self._info_of(item.id) if request.verbose else {}
        return pb.ContainerStatusResponse(status=status, info=info)

    def _sandbox_status(self, request: Any, context: grpc.ServicerContext) -> Any:
        item = self.sandboxes.get(request.pod_sandbox_id)
        if item is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "no such pod")
            raise AssertionError
        status = pb.PodSandboxStatus(id=item.id, metadata=item.metadata, state=item.state)
        return pb.PodSandboxStatusResponse(status=status, info=self._info_of(item.id))

    def _info_of(self, record_id: str) -> dict[str, str]:
        return {"info": json.dumps(self.info[record_id])} if record_id in self.info else {}


def crio() -> FakeCri:
    """One pod without an infra container, so without a pid; one container."""
    fake = FakeCri("cri-o", "1.37.0")
    fake.add_pod("a" * 64)
    fake.add_container("b" * 64, "a" * 64)
    spec = {"process": {"args": ["sleep", "9"]}, "linux": {"cgroupsPath": "x.slice:crio:b"}}
    fake.info["b" * 64] = {"sandboxID": "a" * 64, "pid": 4711, "runtimeSpec": spec}
    return fake


def cri_dockerd() -> FakeCri:
    """Records of docker's containers: no verbose info at all."""
    fake = FakeCri("docker", "28.5.2")
    fake.add_pod("c" * 64)
    reference = "docker-pullable://busybox@sha256:" + "2" * 64
    fake.add_container(
        "d" * 64, "c" * 64, image=pb.ImageSpec(image="busybox:1"), image_ref=reference
    )
    return fake


@contextlib.contextmanager
def serving(fake: grpc.GenericRpcHandler, path: str) -> Iterator[None]:
    """The fake on a unix socket."""
    with ThreadPoolExecutor(max_workers=16) as workers:
        server = grpc.server(workers, handlers=(fake,))
        server.add_insecure_port(f"unix:{path}")
        server.start()
        try:
            yield
        finally:
            if isinstance(fake, FakeCri):
                fake.release.set()
            server.stop(grace=None).wait(PATIENT_S)
