import pytest
from textual import events

from rtscope.errors import UsageError
from rtscope.tui.commands import COMMANDS
from rtscope.tui.keys import KEYS, SECTIONS, keymap_of, keys_of
from rtscope.tui.layout import Layout
from tests.generate import generated_observations
from tests.tui.driving import screen, until, view
from tests.tui.nodes import PlayedNode, inventory_of, sick_observations


def test_keys_each_one_has_a_title_and_a_section() -> None:
    assert all(key.title and key.where in SECTIONS for key in KEYS)
    assert len({key.id for key in KEYS}) == len(KEYS)


def test_keys_no_two_actions_share_a_key_in_one_part_of_the_screen() -> None:
    taken: dict[tuple[str, str], str] = {}
    for key in KEYS:
        for one in key.keys.split(","):
            for where in {key.where}:
                assert (where, one) not in taken, f"{one}: {key.id} and {taken[where, one]}"
                taken[where, one] = key.id


def test_keymap_of_an_unknown_action_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="no such action"):
        keymap_of({"fly": "x"})


async def test_keys_of_the_configuration_replace_the_usual_ones() -> None:
    keymap = keymap_of({"filter": "ctrl+l", "quit": "Q"})
    async with view(inventory=inventory_of(sick_observations()), keymap=keymap) as (pilot, app):
        await pilot.press("slash")
        assert not app.prompt.is_open
        await pilot.press("ctrl+l")
        assert app.prompt.is_open
        await pilot.press("escape", "question_mark")
        assert "Ctrl-l" in screen(app)


async def test_keys_typed_in_one_go_reach_what_they_were_meant_for() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        for key, character in (
            ("slash", "/"),
            *((c, c) for c in "podman"),
            ("enter", "\r"),
            ("j", "j"),
            ("j", "j"),
            ("enter", "\r"),
            ("right_square_bracket", "]"),
        ):
            app.post_message(events.Key(key, character))
        await until(pilot, lambda: app.is_detail_open and app.detail.tab == 1)
        assert app.containers.filter_text() == "podman"
        assert app.containers.rows.cursor == 2
        assert app.detail.key == app.containers.rows.keys[2]


async def test_help_lists_every_key_and_closes() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(100, 200)) as (pilot, app):
        await pilot.press("question_mark")
        text = screen(app)
        for key in KEYS:
            assert key.title in text
            for sign in keys_of(key, {}):
                assert sign in text
        assert "--EC?HOPG" in text
        await pilot.press("q")
        assert "LAYERS" in screen(app)
        assert app.is_running


async def test_command_completes_and_runs() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("colon", *"gro", "tab")
        assert app.prompt.text == "group"
        await pilot.press("space", *"na", "tab")
        assert app.prompt.text == "group namespace"
        await pilot.press("enter")
        assert app.containers.group == "namespace"
        await pilot.press("colon", *"tree", "enter")
        assert "[2 Tree]" in screen(app)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nonsense", "no command 'nonsense'"),
        ("sort nonsense", "no column 'nonsense'"),
        ("group nonsense", "no group 'nonsense'"),
        ("theme nonsense", "no theme 'nonsense'"),
        ("columns nonsense", "there is none"),
        ("copy nonsense", "no nonsense to copy"),
    ],
)
async def test_command_that_is_wrong_says_what_is_wrong(line: str, says: str) -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("colon", *(("space" if c == " " else c) for c in line), "enter")
        assert says in screen(app)


async def test_command_columns_change_what_is_shown() -> None:
    async with view(inventory=inventory_of(sick_observations()), size=(160, 40)) as (pilot, app):
        app.set_columns("+namespace,-image")
        await pilot.pause()
        assert "NAMESPACE" in screen(app)
        assert "IMAGE" not in screen(app)


async def test_palette_offers_the_same_commands() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "containers" in screen(app) and app.screen.is_modal)
        await pilot.press(*"tree")
        await until(pilot, lambda: "view: Tree" in screen(app))
        await pilot.press("enter", "enter")
        await until(pilot, lambda: app.view_number == 2)


async def test_copy_asks_what_and_copies_it() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("c")
        assert "copy: i id" in screen(app)
        await pilot.press("p")
        assert app.clipboard == "2017"
        assert "copied pid: 2017" in screen(app)
        await pilot.press("space", "space", "c", "n")
        assert app.clipboard.splitlines() == ["queue-11", "worker-4"]
        await pilot.press("c", "escape")
        assert app.clipboard.splitlines() == ["queue-11", "worker-4"]


async def test_equivalent_line_prints_what_is_on_screen() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        app.place = ("--from", "my node.json")
        app.set_filter("engine=docker web !proxy")
        await pilot.press("a", "A", "y")
        assert app.clipboard == (
            "rtscope --from 'my node.json' ps -a --all-runtimes --sort age --filter engine=docker"
            " | grep -Ei -- web | grep -Eiv -- proxy"
        )
        app.place = ()
        await pilot.press("escape", "2", "y")
        assert app.clipboard == "rtscope tree --all-runtimes"
        await pilot.press("3", "y")
        assert app.clipboard == "rtscope sources"


async def test_mouse_is_given_to_the_terminal_and_taken_again() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("m")
        assert "the mouse is the terminal's" in screen(app)
        assert not app.layout_now().has_mouse
        await pilot.press("m")
        assert app.layout_now().has_mouse


async def test_theme_is_chosen_and_remembered() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        for name in ("rtscope-light", "rtscope-contrast", "rtscope-16", "rtscope-mono", "nord"):
            app.set_theme(name)
            await pilot.pause()
            assert app.theme == name
            assert "worker-4" in screen(app)
        assert app.layout_now().theme == "nord"


async def test_layout_comes_back_in_the_next_run() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        await pilot.press("a", "o", "E", "2")
        layout = app.layout_now()
    assert layout == Layout(view="tree", sort="engine", group="engine", is_all=True, is_seen=True)
    async with view(inventory=inventory_of(sick_observations()), layout=layout) as (pilot, app):
        assert "[2 Tree]" in screen(app)
        await pilot.press("1")
        assert app.containers.group == "engine"
        assert app.containers.sort == "engine"


async def test_first_run_explains_itself_in_one_line() -> None:
    inventory = inventory_of(sick_observations())
    async with view(inventory=inventory, size=(80, 24), layout=Layout()) as (_, app):
        assert "Problems stand first. Enter: what every layer says. ?: all keys." in screen(app)


async def test_quit_goes_back_first() -> None:
    async with view(PlayedNode(generated_observations(8))) as (pilot, app):
        await pilot.press("enter", "q")
        assert not app.is_detail_open
        await pilot.press("q")
        assert app.return_value == 0


async def test_resizing_to_any_size_breaks_nothing() -> None:
    async with view(inventory=inventory_of(sick_observations())) as (pilot, app):
        for size in ((20, 5), (200, 60), (1, 1), (120, 40)):
            for key in ("1", "enter", "escape", "2", "3", "1"):
                await pilot.press(key)
            await pilot.resize_terminal(*size)
            await pilot.pause()
        assert "worker-4" in screen(app)


def test_commands_have_titles_and_names_of_their_own() -> None:
    assert len({command.name for command in COMMANDS}) == len(COMMANDS)
    assert all(command.title for command in COMMANDS)
