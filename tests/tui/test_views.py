import dataclasses

from rtscope.model.state import EndpointState
from tests.generate import generated_observations
from tests.tui.driving import later, line_with, screen, settled, until, view
from tests.tui.nodes import STOPPED_SHIM, PlayedNode, inventory_of, sick_observations

DOCUMENT = {
    "Id": STOPPED_SHIM,
    "Name": "/web-0\x1b[31m",
    "Config": {
        "Env": ["PATH=/bin", "API_TOKEN=s3cret"],
        "Cmd": ["nginx", "--password=hunter2"],
        "Labels": {"db.password": "opensesame", "team": "shop"},
        "Deep": {"Deeper": {"Deepest": {"needle": "haystack"}}},
    },
}


async def test_tree_opens_what_is_sick_and_leaves_the_rest_closed() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(160, 60)) as (pilot, app):
        await pilot.press("2")
        text = screen(app)
        assert "! missing: containerd does not know it" in text
        assert "stopped (T)" in text
        assert "→ worker-12 running" in text
        assert "nginx: worker process" not in text


async def test_tree_follows_the_selection_and_enter_opens_its_chain() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("slash", *"cache-18", "enter", "2")
        assert app.view.rows.key == f"container|{app.view.selected()}"
        assert "cache-18" in line_with(app, "cache-18")
        await pilot.press("right")
        await pilot.press("right")
        assert "nginx" in screen(app)
        await pilot.press("enter")
        assert "WHO SAYS SO" in screen(app)
        assert "cache-18" in line_with(app, "[Chain]")


async def test_tree_enter_on_a_daemon_leads_to_its_source() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("2", "g", "j", "enter")
        assert "[3 Sources]" in screen(app)
        assert app.view.rows.key is not None
        assert app.view.rows.key.startswith("containerd://")


async def test_tree_closes_and_opens_branches_by_hand() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("2", "g", "j")
        count = len(app.view.rows.keys)
        await pilot.press("left")
        assert len(app.view.rows.keys) < count
        assert "below" in line_with(app, "▸ containerd")
        await pilot.press("right")
        assert len(app.view.rows.keys) == count
        await pilot.press("j", "left", "left")
        assert app.view.rows.cursor == 1


async def test_tree_filter_keeps_the_way_to_what_it_finds() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("2", "slash", *"cron-7", "enter")
        text = screen(app)
        assert "podman" in text
        assert "cron-7" in text
        assert "worker-4" not in text


async def test_sources_show_what_failed_first_and_why_on_enter() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(120, 30)) as (pilot, app):
        await pilot.press("3")
        first = screen(app).splitlines()[4]
        assert first.startswith("! docker:///srv/old/docker.sock")
        assert "dead" in first
        await pilot.press("enter")
        assert "nobody listens on this path" in screen(app)
        assert "/etc/rtscope.toml" in screen(app)


async def test_chain_shows_every_layer_with_its_claims_and_the_verdict() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(120, 60)) as (pilot, app):
        await pilot.press("enter")
        text = screen(app)
        assert "containerd does not know it" in text
        assert "! missing" in line_with(app, "C container")
        assert "nobody" in line_with(app, "C container")
        assert "docker:///run/docker.sock" in line_with(app, "E engine")
        assert "not expected here: kubelet, sandbox" in text


async def test_chain_marks_the_values_that_disagree() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(120, 60)) as (pilot, app):
        await pilot.press("j", "enter")
        assert "≠" in line_with(app, "E engine")
        assert "! differs" in line_with(app, "E engine")


async def test_detail_follows_the_list_while_the_list_has_the_focus() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(120, 60)) as (pilot, app):
        await pilot.press("enter", "tab", "j")
        assert app.detail.key == app.containers.rows.key
        assert "queue-11" in line_with(app, "[Chain]")


async def test_processes_are_a_tree_with_state_user_age_and_command() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(120, 60)) as (pilot, app):
        await pilot.press("enter", "right_square_bracket")
        assert "PID  STATE     USER" in screen(app)
        assert "root" in line_with(app, "nginx -g daemon off;")
        assert "└─ nginx: worker process" in screen(app)


async def test_raw_documents_are_fetched_when_opened_and_hold_no_secret() -> None:
    node = PlayedNode(sick_observations())
    node.documents = DOCUMENT
    async with view(node, size=(120, 80)) as (pilot, app):
        await pilot.press("slash", *"^web-0$", "enter", "enter")
        assert "team" not in screen(app).split("[Chain]")[1].split("label")[0]
        await pilot.press("right_square_bracket", "right_square_bracket")
        await until(pilot, lambda: "team: shop" in screen(app))
        text = screen(app)
        for secret in ("s3cret", "hunter2", "opensesame", "/bin", "\x1b"):
            assert secret not in text
        assert "values removed" in text
        assert "\\e[31m" in text


async def test_raw_document_is_searched_through_its_folds() -> None:
    node = PlayedNode(sick_observations())
    node.documents = DOCUMENT
    async with view(node, size=(120, 80)) as (pilot, app):
        await pilot.press("slash", *"^web-0$", "enter", "enter")
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: "team: shop" in screen(app))
        assert "needle" not in screen(app)
        await pilot.press("slash", *"haystack", "enter")
        assert "needle: haystack" in screen(app)
        here = app.detail.rows.key
        await pilot.press("n")
        assert app.detail.rows.key != here
        await pilot.press("N")
        assert app.detail.rows.key == here
        await pilot.press("slash", *"nowhere", "enter", "n")
        assert "no match" in screen(app)


async def test_raw_document_that_cannot_be_had_says_why() -> None:
    node = PlayedNode(sick_observations())
    async with view(node, size=(120, 60)) as (pilot, app):
        await pilot.press("enter", "left_square_bracket")
        await until(pilot, lambda: "docker has none" in screen(app))
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("enter", "left_square_bracket")
        assert "a recording holds no raw documents" in screen(app)


async def test_detail_of_a_container_that_goes_away_keeps_its_last_facts() -> None:
    node = PlayedNode(generated_observations(12))
    async with view(node, size=(120, 60)) as (pilot, app):
        await pilot.press("slash", *"api-1-ctr", "enter", "enter")
        for observation in tuple(node.observations.values()):
            kept = {
                name: tuple(r for r in getattr(observation, name) if r.ref.id != "api-1-ctr")
                for name in ("containers", "tasks", "bundles", "oci_states")
            }
            pids = {t.pid for t in observation.tasks if t.ref.id == "api-1-ctr"}
            kept["shims"] = tuple(s for s in observation.shims if s.id != "api-1-ctr")
            kept["processes"] = tuple(
                p for p in observation.processes if "api-1-ctr" not in (p.cgroup or "")
            )
            assert pids is not None
            node.put(dataclasses.replace(observation, **kept))
        await later(pilot, app, 4)
        assert "gone" in line_with(app, "[Chain]")
        assert "what was last known" in screen(app)
        assert "redis:7" in screen(app)


async def test_detail_takes_the_whole_screen_where_it_is_small_or_wanted() -> None:
    inventory = inventory_of(sick_observations())
    async with view(inventory=inventory, size=(80, 24)) as (pilot, app):
        await pilot.press("enter")
        assert "queue-11" not in screen(app)
        await pilot.press("escape")
        assert "queue-11" in screen(app)
    async with view(inventory=inventory, size=(120, 60)) as (pilot, app):
        await pilot.press("enter")
        assert "queue-11" in screen(app)
        await pilot.press("f")
        assert "queue-11" not in screen(app)


async def test_header_names_engines_problems_mode_and_load() -> None:
    node = PlayedNode(sick_observations())
    async with view(node, is_read_only=True) as (pilot, app):
        await later(pilot, app, 3)
        first, second = screen(app).splitlines()[:2]
        for word in ("node-7", "live read-only", "2 problems", "cpu 12%", "mem 43%", "data 0s old"):
            assert word in first
        assert "dockerd dead" in second
        assert "1 does not answer" in second
        assert "podman slow 412 ms" in second
        await pilot.press("z")
        assert "paused" in screen(app).splitlines()[0]
        node.change("docker", endpoint=_state(node, "docker", EndpointState.OK))
        await settled(pilot, app)


def _state(node: PlayedNode, kind: str, state: EndpointState):
    endpoint = next(o for o in node.observations.values() if o.kind == kind).endpoint
    return dataclasses.replace(endpoint, state=state)
