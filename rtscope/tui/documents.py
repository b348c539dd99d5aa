"""Raw documents: which ones a container has, and what is taken out before they are shown."""

import json
import re
from collections.abc import Iterator
from typing import Any

from rtscope.capture.redact import REMOVED, clean_mapping
from rtscope.capture.removed import Removed
from rtscope.model.facts import fact
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Endpoint
from rtscope.model.refs import Ref
from rtscope.model.state import ANSWERED

_KINDS = ("docker", "podman", "cri", "containerd", "oci", "dockerfs")
_ENVIRONMENT = re.compile(r"(?i)^envs?$")


@fact
class Wanted:
    """One document.

    Attributes:
        name: For its heading.
        trouble: Why it is not asked for.
    """

    name: str
    endpoint: Endpoint
    ref: Ref
    trouble: str | None = None


def documents_of(inventory: Inventory, container: Container) -> tuple[Wanted, ...]:
    """The documents of one container, highest layer first."""
    return tuple(_wanted(inventory, container))


def _wanted(inventory: Inventory, container: Container) -> Iterator[Wanted]:
    for kind in _KINDS:
        for endpoint in inventory.endpoints:
            if endpoint.kind != kind or endpoint.is_remote:
                continue
            for ref in dict.fromkeys(container.refs):
                if _holds(endpoint, ref):
                    is_up = endpoint.skip is None and endpoint.state in ANSWERED
                    trouble = None if is_up else f"not asked: it is {endpoint.state.value}"
                    name = f"{endpoint.kind} {endpoint.address}"
                    yield Wanted(name=name, endpoint=endpoint, ref=ref, trouble=trouble)
                    break


def _holds(endpoint: Endpoint, ref: Ref) -> bool:
    if ref.origin not in (endpoint.origin, endpoint.address):
        return False
    if endpoint.kind == "containerd":
        return bool(ref.namespace)
    if endpoint.kind == "cri" and endpoint.namespace:
        return ref.namespace == endpoint.namespace
    return True


def clean_document(document: Any) -> tuple[Any, int]:
    """The document without secrets, and how many values were taken out.

    Values of environment variables go whatever they look like.
    """
    removed: list[Removed] = []
    blanked = _without_environment(document, removed, "")
    text = json.dumps(blanked, default=str)
    if isinstance(blanked, dict | list):
        text = clean_mapping({"document": text}, "", removed)["document"]
    return json.loads(text), len(removed)


def _without_environment(value: Any, removed: list[Removed], path: str) -> Any:
    if isinstance(value, list):
        return [_without_environment(one, removed, f"{path}[{n}]") for n, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    clean: dict[str, Any] = {}
    for key, member in value.items():
        here = f"{path}.{key}"
        if _ENVIRONMENT.match(str(key)) and isinstance(member, list | dict):
            clean[key] = _blanked(member, removed, here)
        else:
            clean[key] = _without_environment(member, removed, here)
    return clean


def _blanked(member: Any, removed: list[Removed], path: str) -> Any:
    if isinstance(member, dict):
        removed += [Removed(path=f"{path}.{key}", reason="environment") for key in member]
        return dict.fromkeys(member, REMOVED)
    found: list[Any] = []
    for number, one in enumerate(member):
        removed.append(Removed(path=f"{path}[{number}]", reason="environment"))
        if isinstance(one, dict):
            found.append(f"{one.get('key') or one.get('name') or ''}={REMOVED}")
        else:
            name, equals, _ = str(one).partition("=")
            found.append(name + equals + (REMOVED if equals else ""))
    return found
