"""Compiles upstream's .proto files, as `prepare` unpacked them, into descriptor sets."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from google.protobuf import descriptor_pb2
from grpc_tools import protoc

GO = "root/usr/share/gocode/src"
_CONTAINERD = "github.com/containerd/containerd"
_API = f"{_CONTAINERD}/api"
_NEW = (
    *(f"{_API}/services/{name}" for name in (
        "containers/v1/containers.proto",
        "namespaces/v1/namespace.proto",
        "version/v1/version.proto",
        "introspection/v1/introspection.proto",
        "images/v1/images.proto",
        "events/v1/events.proto",
        "tasks/v1/tasks.proto",
    )),
    *(f"{_API}/events/{name}.proto" for name in (
        "container", "image", "namespace", "sandbox", "task"
    )),
)  # fmt: skip
_FILES: Mapping[str, tuple[str, ...]] = {
    "forky": (
        *_NEW,
        f"{_API}/types/task/task.proto",
        f"{_API}/types/event.proto",
        f"{_API}/types/runc/options/oci.proto",
        f"{_API}/types/runtimeoptions/v1/api.proto",
        f"{_API}/runtime/task/v2/shim.proto",
        f"{_API}/runtime/task/v3/shim.proto",
        "request.proto",
        "google/rpc/status.proto",
        "pkg/apis/runtime/v1/api.proto",
    ),
    "bookworm": (
        *(name for name in _NEW if not name.endswith("events/sandbox.proto")),
        f"{_API}/types/task/task.proto",
        f"{_CONTAINERD}/runtime/v2/runc/options/oci.proto",
        f"{_CONTAINERD}/runtime/linux/runctypes/runc.proto",
        f"{_CONTAINERD}/pkg/runtimeoptions/v1/api.proto",
        f"{_CONTAINERD}/runtime/v2/task/shim.proto",
        f"{_CONTAINERD}/runtime/v1/shim/v1/shim.proto",
        "google/rpc/status.proto",
    ),
}
_ROOTS: Mapping[str, tuple[str, ...]] = {
    "forky": (
        f"forky/{GO}",
        f"forky/{GO}/github.com/containerd/ttrpc",
        f"forky/{GO}/k8s.io/cri-api",
    ),
    "bookworm": (f"bookworm/{GO}",),
}
_SHARED = (
    f"bookworm/{GO}/github.com/gogo/googleapis",
    f"bookworm/{GO}/github.com/gogo/protobuf",
)
# One file under two names would be two definitions of the same things; newer compilers have no
# weak imports.
_REWRITES = (
    (re.compile(r'^import weak "', re.M), 'import "'),
    (re.compile(r'"github\.com/gogo/protobuf/gogoproto/'), '"gogoproto/'),
)


@dataclass(frozen=True, slots=True)
class Definitions:
    """Everything that a descriptor set defines, by full name."""

    messages: dict[str, descriptor_pb2.DescriptorProto] = field(default_factory=dict)
    enums: dict[str, descriptor_pb2.EnumDescriptorProto] = field(default_factory=dict)
    methods: dict[str, descriptor_pb2.MethodDescriptorProto] = field(default_factory=dict)

    def add_file(self, file: descriptor_pb2.FileDescriptorProto) -> None:
        scope = f".{file.package}" if file.package else ""
        for message in file.message_type:
            self._add_message(scope, message)
        self.enums.update({f"{scope}.{enum.name}": enum for enum in file.enum_type})
        for service in file.service:
            path = f"/{file.package}.{service.name}/"
            self.methods.update({path + method.name: method for method in service.method})

    def _add_message(self, scope: str, message: descriptor_pb2.DescriptorProto) -> None:
        name = f"{scope}.{message.name}"
        self.messages[name] = message
        self.enums.update({f"{name}.{enum.name}": enum for enum in message.enum_type})
        for nested in message.nested_type:
            self._add_message(name, nested)


def _imports(text: str) -> Iterator[str]:
    return iter(re.findall(r'^import "([^"]+)"', text, re.M))


def _copy(name: str, roots: list[Path], target: Path) -> None:
    """Copy one .proto and what it imports; what protoc brings along is left to it."""
    if (target / name).exists() or name.startswith("google/protobuf/"):
        return
    source = next(root / name for root in roots if (root / name).is_file())
    text = source.read_text()
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    (target / name).parent.mkdir(parents=True, exist_ok=True)
    (target / name).write_text(text)
    for imported in _imports(text):
        _copy(imported, roots, target)


def compile_protos(names: list[str], include: Path, output: Path) -> Definitions:
    """What the files define, with all that they import, except Google's own."""
    arguments = ["protoc", f"-I{include}", f"-I{files('grpc_tools') / '_proto'}"]
    arguments += ["--include_imports", f"--descriptor_set_out={output}", *names]
    assert protoc.main(arguments) == 0, f"protoc failed on {include}"
    definitions = Definitions()
    for file in descriptor_pb2.FileDescriptorSet.FromString(output.read_bytes()).file:
        if not file.name.startswith("google/protobuf/"):
            definitions.add_file(file)
    return definitions


def compile_upstream(suite: str, cache: Path, work: Path) -> Definitions:
    """What one suite's packages define."""
    target = work / suite
    roots = [cache / root for root in (*_ROOTS[suite], *_SHARED)]
    for name in _FILES[suite]:
        _copy(name, roots, target)
    return compile_protos(list(_FILES[suite]), target, work / f"{suite}.pb")
