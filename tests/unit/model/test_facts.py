import copy
import dataclasses
import pickle

import pytest

from rtscope.model.facts import FrozenFactError, fact, field, field_names, replace
from rtscope.model.inventory import Container
from rtscope.model.refs import Ref


@fact
class Point:
    x: int
    y: int = 2
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.x + self.y


@fact(order=True)
class Version:
    major: int
    minor: int = 0


def test_fact_without_a_required_field_raises_a_type_error():
    with pytest.raises(TypeError, match="x"):
        Point()


def test_fact_with_an_unknown_field_raises_a_type_error():
    with pytest.raises(TypeError, match="z"):
        Point(x=1, z=3)


def test_fact_positional_argument_is_refused():
    with pytest.raises(TypeError):
        Point(1)


def test_fact_defaults_are_made_anew_for_each_instance():
    first, second = Point(x=1), Point(x=1)
    assert (first.y, first.tags) == (2, {})
    assert first.tags is not second.tags


def test_fact_assignment_is_refused():
    point = Point(x=1)
    with pytest.raises(FrozenFactError):
        point.x = 2
    with pytest.raises(FrozenFactError):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1


def test_fact_compares_and_hashes_by_value():
    assert Point(x=1) == Point(x=1) != Point(x=2)
    assert Ref(origin="a", namespace="b", id="c") in {Ref(origin="a", namespace="b", id="c")}
    assert Version(major=1) != Point(x=1)


def test_fact_without_eq_compares_by_identity():
    names = field_names(Container)
    assert {"key", "layers"} <= set(names)
    assert Container.__eq__ is object.__eq__


def test_fact_with_order_sorts_field_by_field():
    assert sorted([Version(major=1, minor=2), Version(major=1)]) == [
        Version(major=1),
        Version(major=1, minor=2),
    ]


def test_fact_replace_changes_only_what_is_named():
    assert replace(Point(x=1), y=5) == Point(x=1, y=5)
    with pytest.raises(TypeError):
        replace(Point(x=1), z=5)


def test_fact_survives_copy_and_pickle():
    version = Version(major=3)
    assert copy.deepcopy(version) == version
    assert pickle.loads(pickle.dumps(version)) == version


def test_fact_is_a_dataclass_for_the_standard_library():
    assert dataclasses.is_dataclass(Point)
    assert [f.name for f in dataclasses.fields(Point)] == ["x", "y", "tags"]
    assert dataclasses.asdict(Point(x=1)) == {"x": 1, "y": 2, "tags": {}}
    assert dataclasses.replace(Point(x=1), y=9) == Point(x=1, y=9)


def test_fact_keeps_properties_and_shows_its_fields():
    assert Point(x=1).total == 3
    assert repr(Version(major=1)) == "Version(major=1, minor=0)"
