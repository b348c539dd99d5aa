import dataclasses
import re

import pytest

from rtscope.model.state import EndpointState
from rtscope.tui.views.groups import PREFIX
from tests.generate import generated_observations, hex_id
from tests.tui.driving import later, line_with, screen, settled, view
from tests.tui.nodes import ESCAPES, PlayedNode, inventory_of, sick_observations


async def test_containers_sick_ones_stand_first_and_say_why() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (_, app):
        rows = [line for line in screen(app).splitlines() if line.startswith(("!", "?"))]
        assert "worker-4" in rows[0]
        assert "container missing" in rows[0]
        assert rows[-1].startswith("?")
        assert "task, shim unknown" in rows[-1]
        assert "2 problems" in screen(app)


async def test_containers_hostile_name_is_shown_not_obeyed() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (_, app):
        text = screen(app)
        assert "\\e[2J" in text
        assert not any(char in text for char in ("\x1b", "\x07", "\x9b"))
        assert ESCAPES not in text


async def test_containers_sort_key_turns_the_order_and_x_puts_problems_first_again() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("N")
        names = [app.picture().shown[key].container.name or "" for key in app.containers.rows.keys]
        assert names == sorted(names, key=str.casefold)
        assert "NAME↑" in screen(app)
        await pilot.press("N")
        assert "NAME↓" in screen(app)
        await pilot.press("X")
        assert "problems first" in screen(app)


async def test_containers_click_on_a_header_sorts_by_that_column() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        header = line_with(app, "LAYERS")
        await pilot.click("#container-head", offset=(header.index("IMAGE") + 1, 0))
        assert app.containers.sort == "image"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("web-", 4),
        ("engine=podman", 9),
        ("label=com.docker.compose.project=shop-1", 3),
        ("^web-(0|8)$", 1),
        ("engine=docker !missing", 8),
        ("state=exited", 0),
        ("nothing-like-this", 0),
    ],
)
async def test_containers_filter_takes_words_pairs_and_patterns(text: str, count: int) -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        app.set_filter(text)
        await pilot.pause()
        found = [app.picture().shown[key].container for key in app.containers.rows.keys]
        assert len(found) == count
        if not found:
            assert "nothing matches" in screen(app)


async def test_containers_filter_is_typed_seen_kept_and_taken_away() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("slash", *"podman")
        assert "podman" in app.prompt.text
        assert len(app.containers.rows.keys) == 9
        await pilot.press("enter")
        assert "/podman" in screen(app)
        await pilot.press("escape")
        assert len(app.containers.rows.keys) == 37


async def test_containers_filter_that_is_not_understood_says_so_and_hides_nothing() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        app.set_filter("engine=nonsense")
        await pilot.pause()
        assert "no such engine" in screen(app)
        assert len(app.containers.rows.keys) == 37


async def test_containers_groups_go_round_and_fold() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("o")
        headings = [key for key in app.containers.rows.keys if key.startswith(PREFIX)]
        assert [key.rpartition("|")[2] for key in headings] == [
            "docker",
            "podman",
            "containerd",
            "cri",
        ]
        assert "1 with a problem" in line_with(app, "▾ docker")
        count = len(app.containers.rows.keys)
        await pilot.press("g", "enter")
        assert len(app.containers.rows.keys) < count
        assert "▸ docker" in screen(app)
        await pilot.press("o", "o", "o", "o")
        assert not any(key.startswith(PREFIX) for key in app.containers.rows.keys)


async def test_containers_all_shows_what_has_stopped() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        assert "stopped hidden (a)" in screen(app)
        await pilot.press("a")
        assert len(app.containers.rows.keys) == 40
        assert "stopped hidden" not in screen(app)


async def test_containers_marks_stay_with_their_containers() -> None:
    node = PlayedNode(generated_observations(12))
    async with view(node) as (pilot, app):
        await pilot.press("space", "space")
        marked = set(app.containers.marks)
        assert len(marked) == 2
        assert "2 marked" in screen(app)
        await pilot.press("N")
        assert app.containers.marks == marked
        await pilot.press("u")
        assert not app.containers.marks


async def test_containers_cursor_stays_with_its_container_while_others_come_and_go() -> None:
    node = PlayedNode(generated_observations(40))
    async with view(node) as (pilot, app):
        await pilot.press("N", *["j"] * 5)
        here = app.containers.rows.key
        assert here is not None
        docker = next(o for o in node.observations.values() if o.kind == "docker")
        first = docker.containers[0]
        ref = dataclasses.replace(first.ref, id=hex_id("new"))
        new = dataclasses.replace(first, ref=ref, name="aaa", state=None, state_raw=None)
        node.change("docker", containers=(new, *docker.containers))
        await pilot.press("a")
        await later(pilot, app, 5)
        assert "aaa" in screen(app)
        assert app.containers.rows.key == here
        node.change("docker", containers=docker.containers[1:])
        await later(pilot, app, 5)
        assert app.containers.rows.key == here


async def test_containers_cursor_is_on_the_first_row_until_a_key_moves_it() -> None:
    node = PlayedNode(generated_observations(8))
    async with view(node) as (pilot, app):
        before = app.containers.rows.key
        node.put(sick_observations(8)[2])
        for observation in sick_observations(8):
            node.put(observation)
        await later(pilot, app, 5)
        assert app.containers.rows.cursor == 0
        assert app.containers.rows.key != before


async def test_containers_gone_one_fades_with_its_last_facts() -> None:
    node = PlayedNode(generated_observations(12))
    async with view(node) as (pilot, app):
        gone = hex_id("podman", 0)
        await pilot.press("slash", *"queue-3", "enter")
        for observation in tuple(node.observations.values()):
            node.put(_without(observation, gone))
        await later(pilot, app, 4)
        assert "gone" in line_with(app, gone[:12])
        assert "postgres" in line_with(app, gone[:12])
        await later(pilot, app, 6)
        assert re.search(r"gone [5-9]s", line_with(app, gone[:12]))
        await later(pilot, app, 6)
        assert "nothing matches" in screen(app)


async def test_containers_known_only_to_a_silent_daemon_stay_marked_as_stale() -> None:
    node = PlayedNode(generated_observations(12))
    async with view(node) as (pilot, app):
        await pilot.press("a", "slash", *"worker-36", "escape")
        docker = next(o for o in node.observations.values() if o.kind == "docker")
        lost = dataclasses.replace(
            docker.containers[0],
            ref=dataclasses.replace(docker.containers[0].ref, id=hex_id("only docker")),
            name="only-docker",
            state_raw="exited",
        )
        node.change("docker", containers=(*docker.containers, lost))
        await later(pilot, app, 4)
        assert "only-docker" in screen(app)
        endpoint = dataclasses.replace(docker.endpoint, state=EndpointState.SILENT)
        node.change("docker", containers=(), endpoint=endpoint)
        await later(pilot, app, 20)
        await later(pilot, app, 20)
        assert "stale" in line_with(app, "only-docker")
        node.change("docker", containers=docker.containers, endpoint=docker.endpoint)
        await later(pilot, app, 61)
        await settled(pilot, app)
        assert "gone" in line_with(app, "only-docker")


def _without(observation, identifier):
    kept = {}
    for name in ("containers", "tasks", "bundles", "oci_states"):
        kept[name] = tuple(r for r in getattr(observation, name) if r.ref.id != identifier)
    kept["processes"] = tuple(
        p for p in observation.processes if p.container_id != identifier and p.comm != "conmon"
    )
    kept["shims"] = tuple(s for s in observation.shims if s.id != identifier)
    return dataclasses.replace(observation, **kept)
