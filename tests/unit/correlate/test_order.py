"""What the join makes of a node depends on what was said, not on who said it first."""

import random
from dataclasses import replace
from typing import Any

import pytest

from rtscope.correlate.join import join
from rtscope.model.inventory import Container, Inventory
from rtscope.model.observation import Observation
from rtscope.model.state import EndpointState, State, Verdict
from tests.generate import generated_observations

_RECORDS = ("containers", "tasks", "bundles", "oci_states", "shims", "sandboxes", "processes")
_UNORDERED = ("refs", "processes")
_COMPARED = [name for name in Container.__match_args__ if name not in _UNORDERED]


def facts(inventory: Inventory) -> list[dict[str, Any]]:
    found = []
    for row in inventory.containers:
        mine = {name: getattr(row, name) for name in _COMPARED}
        mine |= {name: set(getattr(row, name)) for name in _UNORDERED}
        found.append(mine)
    return found


def shuffled(observations: list[Observation], seed: int) -> list[Observation]:
    chance = random.Random(seed)
    found = []
    for observation in observations:
        changes: dict[str, Any] = {}
        for name in _RECORDS:
            records = list(getattr(observation, name))
            chance.shuffle(records)
            changes[name] = tuple(records)
        found.append(replace(observation, **changes))
    chance.shuffle(found)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_order_of_sources_and_records_changes_nothing(seed: int) -> None:
    observations = list(generated_observations(60))
    assert facts(join(shuffled(observations, seed))) == facts(join(observations))


@pytest.mark.parametrize("seed", range(3))
def test_order_changes_no_key_of_a_second_look(seed: int) -> None:
    observations = list(generated_observations(60))
    first = join(observations)
    again = join(shuffled(observations, seed), first)
    assert [row.key for row in again.containers] == [row.key for row in first.containers]


def test_healthy_node_of_every_engine_has_no_problem() -> None:
    rows = join(generated_observations(120)).containers
    assert {row.problem for row in rows} == {None}
    assert {row.verdict for row in rows} == {Verdict.OK}
    assert {str(row.engine) for row in rows} == {"docker", "containerd", "cri", "podman"}


def test_every_record_is_in_exactly_one_row() -> None:
    observations = generated_observations(120)
    refs = [ref for row in join(observations).containers for ref in row.refs]
    assert len(refs) == len(set(refs))
    told = {r.ref for o in observations for name in _RECORDS[:4] for r in getattr(o, name)}
    assert set(refs) >= told


@pytest.mark.parametrize("kind", ["docker", "containerd", "cri", "podman", "shim", "oci"])
def test_source_that_falls_silent_loses_and_doubles_no_live_container(kind: str) -> None:
    observations = generated_observations(80)
    whole = {row.pid: row for row in join(observations).containers if row.pid is not None}
    quiet = [silenced(o) if o.kind == kind else o for o in observations]
    rows = [row for row in join(quiet).containers if row.pid is not None]
    assert sorted(row.pid or 0 for row in rows) == sorted(whole)
    for row in rows:
        assert row.state is State.RUNNING
        assert row.shim_pid == whole[row.pid].shim_pid
        assert row.verdict in (Verdict.OK, Verdict.UNKNOWN), row.problem


def test_every_daemon_silent_leaves_one_row_for_each_live_container() -> None:
    observations = generated_observations(80)
    daemons = ("docker", "containerd", "cri", "podman")
    whole = {row.pid: row.id for row in join(observations).containers if row.pid is not None}
    quiet = [silenced(o) if o.kind in daemons else o for o in observations]
    rows = [row for row in join(quiet).containers if row.pid is not None]
    assert {row.pid: row.id for row in rows} == whole
    assert len(rows) == len(whole)


@pytest.mark.parametrize("kind", ["docker", "containerd", "podman"])
def test_engine_of_a_silent_source_is_inferred(kind: str) -> None:
    observations = generated_observations(80)
    whole = {row.pid: row.engine for row in join(observations).containers}
    quiet = [silenced(o) if o.kind == kind else o for o in observations]
    rows = [row for row in join(quiet).containers if row.pid is not None]
    assert {row.pid: row.engine for row in rows}.items() <= whole.items()


def silenced(observation: Observation) -> Observation:
    state = EndpointState.SILENT
    return replace(
        observation,
        endpoint=replace(observation.endpoint, state=state),
        **dict.fromkeys(_RECORDS, ()),
    )
