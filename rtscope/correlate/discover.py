"""Every source of the node, found without configuration and without connecting to any."""

from collections.abc import Iterable, Iterator
from typing import Any

from rtscope.backends.base import Discovering
from rtscope.backends.registry import backend_of, plugins
from rtscope.config.settings import Settings
from rtscope.correlate.discover_named import Named, named_addresses
from rtscope.correlate.discover_roots import root_endpoints
from rtscope.correlate.discover_sockets import socket_endpoints
from rtscope.model.observation import Endpoint, Observation
from rtscope.model.state import EndpointState
from rtscope.procfs.host import Host

_ALWAYS = frozenset({"shim", "oci"})
"""Layers of every engine's containers: narrowing to engines does not take them away."""

_FILES_OF = {"dockerfs": "docker", "podmanfs": "podman"}
_SOCKET_KINDS = frozenset({"docker", "containerd", "cri", "podman", "unix"})


def discover(kernel: Observation, host: Host, settings: Settings) -> tuple[Endpoint, ...]:
    """Every endpoint of every kind, strongest evidence first within one kind.

    `skip` is set where an endpoint must not be dialled, with the state that it has instead.

    Raises:
        UsageError: an address or an engine that the user named is not understood.
    """
    named = tuple(named_addresses(host, settings))
    found = [
        *_elsewhere(named),
        *socket_endpoints(kernel, host, settings, _local(named)),
        *root_endpoints(kernel, host, settings, named),
        *_plugins(kernel, host, settings, named),
    ]
    return tuple(endpoint for endpoint in found if _is_wanted(endpoint, settings))


def _is_wanted(endpoint: Endpoint, settings: Settings) -> bool:
    if settings.engines is None or endpoint.is_named or endpoint.kind in _ALWAYS:
        return True
    return {endpoint.kind, _FILES_OF.get(endpoint.kind)} & set(settings.engines) != set()


def _local(named: Iterable[Named]) -> tuple[Named, ...]:
    return tuple(
        one
        for one in named
        if one.kind in _SOCKET_KINDS and "://" not in one.address and not one.trouble
    )


def _elsewhere(named: Iterable[Named]) -> Iterator[Endpoint]:
    """Other nodes, and names that lead nowhere."""
    seen: dict[tuple[str, str], Endpoint] = {}
    for one in named:
        if "://" not in one.address and not one.trouble:
            continue
        key = (one.kind, one.address)
        known = seen.get(key)
        seen[key] = Endpoint(
            kind=one.kind,
            address=one.address,
            found_by=(*(known.found_by if known else ()), one.how),
            is_remote=True,
            is_named=one.is_named or (known is not None and known.is_named),
            skip=EndpointState.ABSENT if one.trouble else None,
            skip_detail=one.trouble,
        )
    yield from seen.values()


def _plugins(
    kernel: Observation, host: Host, settings: Settings, named: Iterable[Named]
) -> Iterator[Endpoint]:
    """What the backends of other distributions find, each by its own rules."""
    for kind in plugins():
        for one in named:
            if one.kind == kind:
                yield Endpoint(
                    kind=kind, address=one.address, found_by=(one.how,), is_named=one.is_named
                )
        try:
            backend: Any = backend_of(kind)
            if isinstance(backend, Discovering):
                yield from tuple(backend.discover(kernel, host, settings))
        except Exception as error:  # noqa: BLE001  # other people's code must not end a listing
            yield Endpoint(
                kind=kind,
                address=kind,
                found_by=("plug-in",),
                skip=EndpointState.MALFORMED,
                skip_detail=f"its discovery failed: {type(error).__name__}: {error}",
            )
