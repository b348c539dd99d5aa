import json

import pytest

from rtscope.capture.codec import from_json, to_json
from rtscope.errors import UsageError
from rtscope.model.records import Daemon
from rtscope.model.refs import ProcessKey
from rtscope.model.state import EndpointState
from tests.unit.capture.build import full_observation, plain_observation


def through_json(observation):
    return from_json(json.loads(json.dumps(to_json(observation))))


def test_every_field_of_every_record_survives():
    full = full_observation()
    again, unknown = through_json(full)
    assert again == full
    assert unknown == frozenset()


def test_defaults_survive_being_left_out():
    plain = plain_observation()
    document = to_json(plain)
    assert "tasks" not in document
    assert through_json(plain)[0] == plain


def test_false_and_zero_are_not_mistaken_for_defaults():
    one = plain_observation(
        daemons=(Daemon(key=ProcessKey(pid=0, start=0), kind="dockerd", uid=0, is_verified=False),)
    )
    assert through_json(one)[0] == one


def test_unknown_field_and_word_are_left_out_and_named():
    document = to_json(full_observation())
    document["colour"] = "red"
    document["endpoint"]["state"] = "enchanted"
    again, unknown = from_json(document)
    assert again.endpoint.state is EndpointState.UNKNOWN
    assert unknown == {"Observation.colour", "EndpointState 'enchanted'"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("node",), None),
        (("node", "clk_tck"), "100"),
        (("node", "euid"), True),
        (("taken_at",), "yesterday"),
        (("taken_at",), "2026-11-27T04:10:00"),
        (("taken_at",), 7),
        (("containers",), {}),
        (("containers",), [1]),
        (("source",), 3),
        (("endpoint", "found_by"), "x"),
        (("containers", 0, "labels"), []),
        (("containers", 0, "layer"), "basement"),
        (("containers", 0, "ref"), {"id": "x"}),
    ],
)
def test_malformed_document_names_the_place(path, value):
    document = to_json(full_observation())
    here = document
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    with pytest.raises(UsageError) as error:
        from_json(document, "recording x.json: observations[0]")
    assert str(path[-1]) in error.value.message
    assert error.value.message.startswith("recording x.json: observations[0]")


@pytest.mark.parametrize("document", [None, [], 3, "x", {}])
def test_what_is_no_observation_is_a_usage_error(document):
    with pytest.raises(UsageError):
        from_json(document)
