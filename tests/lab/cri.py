"""Makes pods through the container runtime interface with plain requests of our own."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from tests.lab._pb import cri_write_pb2 as pb
from tests.lab.layout import IMAGE, LabError

CALL_S = 60.0
_SERVICE = "/runtime.v1.RuntimeService/"
POD_NAMESPACE = "rtlab"


class Cri:
    """One channel to a CRI server."""

    def __init__(self, path: str) -> None:
        options = [("grpc.default_authority", "localhost")]
        self._channel = grpc.insecure_channel(f"unix:{path}", options=options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def call(self, method: str, request: Any, answer: Any) -> Any:
        """One unary call; LabError with the server's words when it fails."""
        stub = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        try:
            return stub(request, timeout=CALL_S, wait_for_ready=True)
        except grpc.RpcError as error:
            raise LabError(f"CRI {method}: {error.code()} {error.details()}") from error

    def version(self) -> str:
        answer = self.call("Version", pb.VersionRequest(), pb.VersionResponse)
        return f"{answer.runtime_name} {answer.runtime_version}"

    def run_pod(self, config: Any, handler: str = "") -> str:
        """The sandbox's id."""
        request = pb.RunPodSandboxRequest(config=config, runtime_handler=handler)
        return str(self.call("RunPodSandbox", request, pb.RunPodSandboxResponse).pod_sandbox_id)

    def stop_pod(self, sandbox: str) -> None:
        self.call("StopPodSandbox", pb.StopPodSandboxRequest(pod_sandbox_id=sandbox), pb.Empty)

    def remove_pod(self, sandbox: str) -> None:
        self.call("RemovePodSandbox", pb.RemovePodSandboxRequest(pod_sandbox_id=sandbox), pb.Empty)

    def create(self, sandbox: str, pod: Any, name: str, command: Sequence[str]) -> str:
        """The new container's id."""
        labels = {**pod_labels(pod.metadata.name), "io.kubernetes.container.name": name}
        config = pb.ContainerConfig(
            metadata=pb.ContainerMetadata(name=name),
            image=pb.ImageSpec(image=IMAGE, user_specified_image=IMAGE),
            command=list(command),
            envs=[pb.KeyValue(key="SECRET_TOKEN", value="hunter2")],
            labels=labels,
            log_path=f"{name}/0.log",
            linux=pb.LinuxContainerConfig(
                security_context=pb.LinuxContainerSecurityContext(namespace_options=_namespaces())
            ),
        )
        request = pb.CreateContainerRequest(
            pod_sandbox_id=sandbox, config=config, sandbox_config=pod
        )
        return str(self.call("CreateContainer", request, pb.CreateContainerResponse).container_id)

    def start(self, container: str) -> None:
        self.call("StartContainer", pb.StartContainerRequest(container_id=container), pb.Empty)

    def run(self, sandbox: str, pod: Any, name: str, command: Sequence[str]) -> str:
        container = self.create(sandbox, pod, name, command)
        self.start(container)
        return container

    def stop(self, container: str, timeout_s: int = 0) -> None:
        request = pb.StopContainerRequest(container_id=container, timeout=timeout_s)
        self.call("StopContainer", request, pb.Empty)

    def remove(self, container: str) -> None:
        self.call("RemoveContainer", pb.RemoveContainerRequest(container_id=container), pb.Empty)

    def pods(self) -> list[Any]:
        answer = self.call("ListPodSandbox", pb.ListPodSandboxRequest(), pb.ListPodSandboxResponse)
        return list(answer.items)

    def containers(self) -> list[Any]:
        request = pb.ListContainersRequest()
        return list(self.call("ListContainers", request, pb.ListContainersResponse).containers)

    def status(self, container: str) -> Any:
        """ContainerStatusResponse with the verbose `info`."""
        request = pb.ContainerStatusRequest(container_id=container, verbose=True)
        return self.call("ContainerStatus", request, pb.ContainerStatusResponse)

    def pod_info(self, sandbox: str) -> Mapping[str, str]:
        """The verbose `info` of a sandbox."""
        request = pb.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
        answer = self.call("PodSandboxStatus", request, pb.PodSandboxStatusResponse)
        return dict(answer.info)


def _namespaces() -> Any:
    """The host's network: a pod then needs no CNI; a PID namespace a container."""
    return pb.NamespaceOption(network=pb.NODE, pid=pb.CONTAINER, ipc=pb.POD)


def pod_labels(name: str) -> dict[str, str]:
    """The labels that a kubelet gives a pod's containers."""
    return {
        "io.kubernetes.pod.name": name,
        "io.kubernetes.pod.namespace": POD_NAMESPACE,
        "io.kubernetes.pod.uid": f"uid-{name}",
    }


def pod_config(
    name: str, cgroup_parent: str, log_directory: str, annotations: Mapping[str, str] | None = None
) -> Any:
    """A pod on the host's network; no hostname, which that would forbid."""
    return pb.PodSandboxConfig(
        metadata=pb.PodSandboxMetadata(name=name, uid=f"uid-{name}", namespace=POD_NAMESPACE),
        log_directory=log_directory,
        labels={"app": name, **pod_labels(name)},
        annotations=dict(annotations or {}),
        linux=pb.LinuxPodSandboxConfig(
            cgroup_parent=cgroup_parent,
            security_context=pb.LinuxSandboxSecurityContext(namespace_options=_namespaces()),
        ),
    )
