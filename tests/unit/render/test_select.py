from dataclasses import replace

import pytest

from rtscope.errors import NotFoundError, UsageError
from rtscope.model.state import Engine, State, Verdict
from rtscope.render.filters import KEYS, parse_filter
from rtscope.render.select import Selection, hidden_origins, select
from rtscope.render.selector import candidates, exact_selectors, resolve
from tests.unit.render.build import ago, container, hex_id, inventory, population


def names(found):
    return [c.name or c.id for c in found]


def selected(*filters, **changes):
    chosen = Selection(filters=tuple(map(parse_filter, filters)), **changes)
    return names(select(population(), chosen))


def test_default_lists_live_ones_and_problems_first():
    assert selected() == ["db", "web-1", "worker", "api"]


def test_all_adds_states_and_all_runtimes_adds_origins():
    assert set(selected(is_all=True)) == {"db", "web-1", "worker", "api", "job"}
    assert "bare" in selected(is_every_origin=True)
    assert "job" not in selected(is_every_origin=True)


def test_hidden_origins_are_counted():
    assert hidden_origins(population(), Selection()) == 1
    assert hidden_origins(population(), Selection(is_every_origin=True)) == 0


def test_sandboxes_are_rows_only_when_asked_for():
    assert "api-7d9f" in selected(has_sandboxes=True)


def test_problems_are_problems_and_unknown_of_every_origin():
    assert selected(only_problems=True) == ["db", "worker"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("state=exited",), {"job"}),
        (("status=stopped",), {"db", "job"}),
        (("name=we",), {"web-1"}),
        (("name=w*",), {"web-1", "worker"}),
        (("name=web-1", "name=job"), {"web-1"}),
        (("name=web-1", "state=stopped"), set()),
        (("image=nginx", "name=web-1"), {"web-1"}),
        (("image=nginx:1.27", "name=api"), {"api"}),
        (("image=postgres",), {"db"}),
        (("image=registry.test/team/postgres",), {"db"}),
        (("image=ngin",), set()),
        (("label=app",), {"api"}),
        (("label=app=api",), {"api"}),
        (("label=app=x",), set()),
        (("namespace=k8s.io",), {"api"}),
        (("engine=oci",), {"bare"}),
        (("engine=cri", "engine=oci"), {"api", "bare"}),
        (("runtime=runc", "engine=oci"), {"bare"}),
        (("pid=101",), {"web-1"}),
        (("exited=137",), {"db"}),
        (("pod=shop/api-7d9f",), {"api"}),
        (("pod=api",), {"api"}),
        (("pod=other/api",), set()),
        (("health=unhealthy",), {"worker"}),
        (("verdict=unknown",), {"worker"}),
        (("verdict=task:unknown",), {"worker"}),
        (("nested=true",), set()),
        (("user=0", "name=web-1"), {"web-1"}),
        (("id=" + hex_id(3)[:10],), {"worker"}),
    ],
)
def test_filter(filters, expected):
    assert set(selected(*filters)) == expected


@pytest.mark.parametrize(
    "text",
    ["colour=red", "name", "engine=lxc", "nested=perhaps", "verdict=bad", "pid=x", "exited=-1"],
)
def test_filter_that_cannot_be_is_a_usage_error(text):
    with pytest.raises(UsageError):
        parse_filter(text)


def test_unknown_key_names_the_keys():
    with pytest.raises(UsageError) as error:
        parse_filter("colour=red")
    assert all(key in (error.value.hint or "") for key in KEYS)


def test_since_takes_starts_and_ends():
    assert selected(since=ago(minutes=90)) == ["db", "web-1"]


def test_last_takes_the_newest_by_creation():
    assert selected(last=1, is_every_origin=True) == ["web-1"]


def test_sort_by_column_and_reverse():
    up = selected(sort="name", is_all=True)
    assert up == sorted(up)
    assert selected(sort="-name", is_all=True) == up[::-1]
    # what is unknown comes last in both directions
    assert selected(sort="pid", is_all=True)[-2:] == ["db", "job"]
    assert selected(sort="-pid", is_all=True)[-2:] == ["db", "job"]
    with pytest.raises(UsageError):
        selected(sort="colour")


def test_other_users_containers_are_another_origin():
    node = inventory([container(1, uid=1000, engine=Engine.PODMAN)])
    assert names(select(node, Selection())) == []
    assert names(select(node, Selection(own_uid=1000))) == ["web-1"]
    assert names(select(node, Selection(is_every_origin=True))) == ["web-1"]


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        ("web-1", "web-1"),
        ("we", "web-1"),
        ("docker:db", "db"),
        (hex_id(5), "api"),
        (hex_id(5)[:6], "api"),
        ("ns:k8s.io/" + hex_id(5), "api"),
        ("pod:shop/api-7d9f/api", "api"),
        ("pid:103", "worker"),
        ("pid:53", "worker"),
        ("key:k1", "web-1"),
        ("bare", "bare"),
    ],
)
def test_selector_names_one(selector, name):
    assert names(resolve(population(), selector)) == [name]


def test_selector_of_a_pod_names_all_of_it():
    assert names(resolve(population(), "pod:shop/api-7d9f")) == ["api", "api-7d9f"]


@pytest.mark.parametrize("selector", ["nobody", "docker:api", "ns:moby/zz", "pid:99999"])
def test_selector_of_nothing_is_not_found(selector):
    with pytest.raises(NotFoundError):
        resolve(population(), selector)


@pytest.mark.parametrize("selector", ["", "ns:x", "pod:a", "pid:x"])
def test_selector_that_cannot_be_is_a_usage_error(selector):
    with pytest.raises(UsageError):
        resolve(population(), selector)


def test_ambiguous_selector_names_the_candidates():
    node = inventory(
        [
            container(1, id="c1", name="c1", namespace="a", engine=Engine.CONTAINERD),
            container(2, id="c1", name="c1", namespace="b", engine=Engine.CONTAINERD),
        ]
    )
    with pytest.raises(NotFoundError) as error:
        resolve(node, "c1")
    assert "ns:a/c1" in (error.value.hint or "")
    assert "ns:b/c1" in (error.value.hint or "")


def test_exact_selectors_each_name_exactly_one():
    twins = [
        container(1, id="c1", name="c1", namespace="a"),
        container(2, id="c1", name="c1", namespace="a", pid=None, state=State.STOPPED),
        container(3, id="ab" * 32, name="x"),
        container(4, id="ab" * 16 + "cd" * 16, name="x"),
        container(5, id="pid:7", name="odd"),
        container(6, id="ee" * 32, name="ee" * 8),
    ]
    twins = [replace(twin, key=f"t{index}") for index, twin in enumerate(twins)]
    node = inventory([*twins, *population().containers])
    every = node.containers
    for key, selector in exact_selectors(every).items():
        assert [c.key for c in candidates(every, selector)][:1] == [key], selector
        assert [c.key for c in candidates(every, selector)] == [key], selector


def test_row_with_a_problem_is_listed_when_stopped():
    node = inventory([container(1, state=State.STOPPED, verdict=Verdict.MISSING, pid=None)])
    assert names(select(node, Selection())) == ["web-1"]
