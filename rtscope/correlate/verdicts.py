"""The verdict on every layer of one container.

Sources are read one after another, never at one instant. What changed while they were read may
look like a disagreement: of a container in motion nothing is called a problem.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from rtscope.config.deadlines import SETTLED_S
from rtscope.correlate.asked import Answers
from rtscope.correlate.claims import claims_of
from rtscope.correlate.expect import Expectation, Kind, conflict, expected, view_of
from rtscope.correlate.rows import Row
from rtscope.model.facts import replace
from rtscope.model.inventory import Claim, LayerView
from rtscope.model.observation import Observation
from rtscope.model.state import ANSWERED, Layer, State, Verdict

_IN_MOTION = frozenset({"restarting", "removing", "stopping", "starting"})
_STATELESS = frozenset({Layer.SHIM, Layer.SANDBOX, Layer.CONTAINER, Layer.KUBELET})
"""Layers whose claims have no state of the container's own."""

_RECORDED = frozenset(Layer) - {Layer.PROCESS, Layer.CGROUP}


def settled_before(observations: Iterable[Observation]) -> datetime | None:
    """What changed after this instant may have been seen by one source and not by another."""
    read = [o.taken_at for o in observations if o.endpoint.state in ANSWERED]
    try:
        return min(read) - timedelta(seconds=SETTLED_S) if read else None
    except OverflowError:
        return None  # a recording may say anything


def views_of(row: Row, answers: Answers, settled_at: datetime | None) -> dict[Layer, LayerView]:
    """Layer -> claims and verdict, all nine of them."""
    claims = claims_of(row)
    expectation = _expectation(row, claims)
    unknown = _unknown(row, answers)
    is_moving = _is_moving(row, claims, settled_at)
    pid = row.init.key.pid if row.init is not None and not row.is_sandboxed else None
    views = {}
    for layer in Layer:
        said = claims.get(layer, ())
        clash = None
        if said and layer not in _STATELESS and row.kind is not Kind.REMOTE:
            clash = conflict(said, row.state, pid)
        view = view_of(layer, said, expectation, unknown, clash)
        views[layer] = _softened(view) if is_moving else view
    return views


def _expectation(row: Row, claims: Mapping[Layer, Sequence[Claim]]) -> Expectation:
    found = expected(
        row.kind, row.state, has_init=row.init is not None, is_sandboxed=row.is_sandboxed
    )
    always, may = found.always, found.may
    if row.is_sandbox():
        # A pause container is the sandbox's: CRI lists it as no container of its own.
        always, may = always - {Layer.ENGINE}, may | {Layer.ENGINE}
        if row.kind is Kind.CRIO and not row.group.has_lower_layer:
            # CRI-O makes no pause container where the pod shares no pid namespace.
            # Source: crio.conf(5), drop_infra_ctr.
            always = always & claims.keys()
    if row.init is not None and row.init.cgroup in (None, "/"):
        always, may = always - {Layer.CGROUP}, may | {Layer.CGROUP}
    if row.kind is Kind.REMOTE:
        return Expectation(always=always, may=may)
    return Expectation(always=always, may=may | {Layer.KUBELET, Layer.SANDBOX})


def _unknown(row: Row, answers: Answers) -> dict[Layer, str]:
    unknown = answers.unknown_layers(row.group, row.kind, row.shim, row.stores())
    if not row.group.items and row.is_read_by_user:
        # Another user's container: its records may well be where only root can look.
        unknown = {**unknown, **dict.fromkeys(_RECORDED, "only root can read its records")}
    if row.init is None and row.state is State.RUNNING and not row.is_sandboxed:
        late = "it was not there yet when /proc was read"
        unknown = {**dict.fromkeys((Layer.PROCESS, Layer.CGROUP), late), **unknown}
    return unknown


def _softened(view: LayerView) -> LayerView:
    """What one source may say while another has not heard of it yet."""
    if view.verdict is Verdict.DIFFERS:
        return replace(view, verdict=Verdict.OK, why=None)
    if view.verdict is Verdict.MISSING:
        return replace(view, verdict=Verdict.NOT_EXPECTED, why=None)
    return view


def _is_moving(
    row: Row, claims: Mapping[Layer, Sequence[Claim]], settled_at: datetime | None
) -> bool:
    words = {claim.state_raw for said in claims.values() for claim in said}
    if words & _IN_MOTION:
        return True
    if settled_at is None:
        return False
    instants = [
        instant
        for said in claims.values()
        for claim in said
        for instant in (claim.created_at, claim.started_at, claim.finished_at)
        if instant is not None
    ]
    instants += [instant for instant in (row.init_started_at(), row.shim_started_at()) if instant]
    return any(settled_at <= instant for instant in instants)
