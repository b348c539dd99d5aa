"""Which shim serves which bundle."""

import os
from collections.abc import Iterable, Mapping

from rtscope.backends.shim.bundles import (
    canonical,
    completed,
    is_containerd_shim,
    state_of,
)
from rtscope.model.observation import Observation
from rtscope.model.records import Bundle, Shim
from rtscope.model.refs import ProcessKey, Ref


class ShimIndex:
    """The live shims that the kernel knows, by what they serve."""

    def __init__(self, kernel: Observation | None) -> None:
        shims = [] if kernel is None else [s for s in kernel.shims if is_containerd_shim(s)]
        states = {} if kernel is None else _states_by_address(kernel)
        self._by_key = {shim.key: shim for shim in shims}
        self._by_ref = {ref: shim for shim in shims if (ref := _ref_of(shim, states)) is not None}
        self._parent_of: Mapping[int, ProcessKey] = {}
        if kernel is not None:
            # Processes may not have been read yet.
            self._parent_of = {child: shim.key for shim in shims for child in shim.children} | {
                p.key.pid: p.shim for p in kernel.processes if p.shim is not None
            }

    def pair(self, bundles: Iterable[Bundle]) -> list[tuple[Bundle, Shim | None]]:
        """Each bundle, completed by what its shim tells, and its shim.

        A pod's shim serves several bundles: they name the same socket, and the shim's own `-id` is
        that of the sandbox.
        """
        bundles = list(bundles)
        by_address = {
            bundle.shim_address: shim
            for bundle in bundles
            if bundle.shim_address is not None and (shim := self._by_ref.get(bundle.ref))
        }
        pairs: list[tuple[Bundle, Shim | None]] = []
        for bundle in bundles:
            shim = by_address.get(bundle.shim_address or "") or self._of(bundle)
            if shim is not None:
                bundle = completed(bundle, shim.kind, shim.oci_root)
            pairs.append((bundle, shim))
        return pairs

    def _of(self, bundle: Bundle) -> Shim | None:
        shim = self._by_ref.get(bundle.ref)
        if shim is None and bundle.init_pid is not None:
            # Only part of a pod was read: its init's ancestor tells. The pid may be another's now.
            shim = self._by_key.get(self._parent_of.get(bundle.init_pid) or _NOBODY)
            if shim is not None and shim.namespace != bundle.ref.namespace:
                shim = None
        return shim


_NOBODY = ProcessKey(pid=0, start=0)


def _states_by_address(kernel: Observation) -> Mapping[str, str]:
    return {
        canonical(address): canonical(state.rstrip("/"))
        for daemon in kernel.daemons
        if daemon.nested_in is None
        and (address := daemon.options.get("address"))
        and (state := daemon.options.get("state"))
    }


def _ref_of(shim: Shim, states: Mapping[str, str]) -> Ref | None:
    """The bundle that a shim was started for: its working directory, else its arguments."""
    if shim.bundle_dir and (state := state_of(shim.bundle_dir)):
        head, container_id = os.path.split(shim.bundle_dir)
        return Ref(origin=state, namespace=os.path.basename(head), id=container_id)
    state = states.get(canonical(shim.containerd_address or ""))
    if state is None or shim.namespace is None or shim.id is None:
        return None
    return Ref(origin=state, namespace=shim.namespace, id=shim.id)
