from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class RuncOptions(_message.Message):
    __slots__ = ("runtime", "runtime_root", "systemd_cgroup")
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_ROOT_FIELD_NUMBER: _ClassVar[int]
    SYSTEMD_CGROUP_FIELD_NUMBER: _ClassVar[int]
    runtime: str
    runtime_root: str
    systemd_cgroup: bool
    def __init__(self, runtime: _Optional[str] = ..., runtime_root: _Optional[str] = ..., systemd_cgroup: _Optional[bool] = ...) -> None: ...

class CreateOptions(_message.Message):
    __slots__ = ("no_pivot_root", "shim_cgroup")
    NO_PIVOT_ROOT_FIELD_NUMBER: _ClassVar[int]
    SHIM_CGROUP_FIELD_NUMBER: _ClassVar[int]
    no_pivot_root: bool
    shim_cgroup: str
    def __init__(self, no_pivot_root: _Optional[bool] = ..., shim_cgroup: _Optional[str] = ...) -> None: ...
