from rtscope.model.state import EndpointState, Reason
from rtscope.render.notes import (
    gap_notes,
    is_incomplete,
    recording_note,
    silent_endpoints,
    where_it_looked,
)
from rtscope.render.sources import chains
from tests.unit.render.build import (
    NOW,
    containerd,
    docker,
    gap,
    hex_id,
    inventory,
    population,
)


def test_twenty_silent_shims_are_one_line_with_count_and_first_names():
    gaps = [gap(subject=hex_id(n), detail=f"shim {n}: no answer") for n in range(1, 21)]
    notes = gap_notes(gaps)
    assert len(notes) == 1
    assert "20 silent" in notes[0]
    assert "and 17 more" in notes[0]
    assert hex_id(1)[:12] in notes[0]


def test_one_daemon_with_several_missing_things_is_one_line():
    facts = {"source": "docker:///d.sock", "subject": "daemon", "detail": "no answer within 1 s"}
    notes = gap_notes([gap(missing="containers", **facts), gap(missing="images", **facts)])
    assert notes == [
        "docker:///d.sock: silent: no answer within 1 s (not known: containers, images)"
    ]


def test_what_is_absent_is_said_only_when_asked():
    gaps = [gap(reason=Reason.ABSENT), gap(reason=Reason.VANISHED)]
    assert gap_notes(gaps) == []
    assert len(gap_notes(gaps, is_verbose=True)) == 2


def test_notes_are_harmless():
    hostile = gap(subject="x\x1b[2J", detail="\n\x9b\u202e" * 5000, source="\x07")
    assert all(line.isprintable() and len(line) < 1000 for line in gap_notes([hostile]))


def test_endpoint_that_failed_without_a_gap_is_named():
    node = inventory(
        endpoints=[docker(state=EndpointState.STOPPED, skip_detail="state T"), containerd()]
    )
    assert silent_endpoints(node) == ["docker:///run/docker.sock: stopped: state T"]


def test_named_endpoint_that_is_absent_is_named():
    absent = docker(state=EndpointState.ABSENT, is_named=True)
    assert silent_endpoints(inventory(endpoints=[absent])) == ["docker:///run/docker.sock: absent"]
    other = docker(state=EndpointState.ABSENT)
    assert silent_endpoints(inventory(endpoints=[other])) == []


def test_many_denied_roots_are_one_line():
    gaps = [
        gap(
            source=f"oci:///run/r{n}",
            subject="daemon",
            missing="oci_states",
            reason=Reason.DENIED,
            detail=f"/run/r{n}: permission denied",
        )
        for n in range(9)
    ]
    assert gap_notes(gaps) == [
        "oci: 9 sources denied: /run/r0, /run/r1, /run/r2 and 6 more (not known: oci_states); "
        "first: /run/r0: permission denied"
    ]
    assert len(gap_notes(gaps[:3])) == 3


def test_empty_list_says_where_it_looked():
    assert "docker:///run/docker.sock" in where_it_looked(inventory())
    assert "/proc" in where_it_looked(inventory(endpoints=()))


def test_recording_says_what_it_is():
    assert recording_note(inventory(), "x") is None
    text = recording_note(inventory(recorded_at=NOW), "node.json")
    assert text is not None
    assert "node.json" in text
    assert "2026-11-27 04:10:00Z" in text
    demo = recording_note(inventory(recorded_at=NOW, is_demo=True), "")
    assert "demo" in (demo or "")


def test_incomplete_is_what_may_hide_something():
    assert not is_incomplete(inventory())
    assert not is_incomplete(inventory(gaps=[gap(reason=Reason.ABSENT)]))
    assert not is_incomplete(inventory(endpoints=[docker(state=EndpointState.INACTIVE)]))
    assert is_incomplete(inventory(gaps=[gap()]))
    assert is_incomplete(inventory(endpoints=[docker(state=EndpointState.SILENT)]))


def test_chain_sentence_names_the_link_that_does_not_answer():
    told = "\n".join(chains(population()))
    assert (
        "worker: dockerd ok 3.4 ms → containerd ok 12 ms → shim 53 silent (stopped, state T)"
        " → runc state ok → init alive" in told
    )


def test_chain_sentence_of_a_stopped_daemon_says_its_state():
    node = population()
    from dataclasses import replace

    sick = docker(state=EndpointState.STOPPED, holder_state="T", first_answer_ms=None)
    told = chains(replace(node, endpoints=(sick, containerd())))
    assert any(line.startswith("dockerd stopped (state T) →") for line in told)
