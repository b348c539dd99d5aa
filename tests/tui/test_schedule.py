import dataclasses
import threading
from collections.abc import Callable

from textual.message import Message

from rtscope.config.deadlines import BACKOFF_S, RECONCILE_S
from rtscope.model.state import EndpointState
from rtscope.tui.messages import InventoryTaken, KernelTaken, SourceTaken, WorkFailed
from rtscope.tui.schedule import CHANGE_GAP_S, JOIN_SHARE, Schedule
from rtscope.tui.slots import Slot, interval_of
from tests.generate import generated_observations
from tests.tui.nodes import PlayedNode, sick_observations

DOCKER = "docker:///run/docker.sock"


class Driven:
    """A schedule without an app: its threads' messages are delivered by hand."""

    def __init__(self, node: PlayedNode) -> None:
        self.now = 1000.0
        self.cpu_s = 0.0
        self.failures: list[WorkFailed] = []
        self._arrived: list[Message] = []
        self._news = threading.Condition()
        self.schedule = Schedule(
            node, self._post, refresh_s=2.0, clock=lambda: self.now, cpu=lambda: self.cpu_s
        )

    def _post(self, message: Message) -> None:
        with self._news:
            self._arrived.append(message)
            self._news.notify()

    def deliver(self, until: Callable[[], bool]) -> None:
        """Hands over what the threads post, until it is so."""
        while not until():
            with self._news:
                assert self._news.wait_for(lambda: bool(self._arrived), 30), "no message came"
                message = self._arrived.pop(0)
            match message:
                case KernelTaken():
                    self.schedule.take_look(message)
                case SourceTaken():
                    self.schedule.take_answer(message)
                case InventoryTaken():
                    self.schedule.take_inventory(message)
                case WorkFailed():
                    self.failures.append(message)
                    self.schedule.take_failure(message)

    def settle(self) -> None:
        self.schedule.tick()
        self.deliver(lambda: not self.schedule.is_in_flight)
        while not self.schedule.is_settled:
            self.now += 0.25
            self.schedule.tick()
            self.deliver(lambda: not self.schedule.is_in_flight)

    def go_on(self, seconds: float) -> None:
        """Ticks four times a second, as the app does."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            self.schedule.tick()
            self.deliver(lambda: not self.schedule.is_in_flight)


def _silent(node: PlayedNode, kind: str) -> None:
    observation = next(o for o in node.observations.values() if o.kind == kind)
    endpoint = dataclasses.replace(observation.endpoint, state=EndpointState.SILENT)
    node.put(dataclasses.replace(observation, endpoint=endpoint, containers=()))


def test_schedule_first_picture_waits_for_every_source() -> None:
    driven = Driven(PlayedNode(generated_observations(8)))
    driven.settle()
    inventory = driven.schedule.inventory
    assert inventory is not None
    assert all(not c.has_problem for c in inventory.containers)
    assert {c.engine.value for c in inventory.containers} == {
        "docker",
        "containerd",
        "cri",
        "podman",
    }


def test_schedule_silent_daemon_delays_the_first_picture_by_a_second_only() -> None:
    node = PlayedNode(generated_observations(8))
    gate = node.hold(DOCKER)
    driven = Driven(node)
    schedule = driven.schedule
    schedule.tick()
    others = len(node.observations) - 2
    driven.deliver(
        lambda: sum(s.observation is not None for s in schedule.slots.values()) == others
    )
    schedule.tick()
    assert schedule.inventory is None
    driven.now += 1.25
    schedule.tick()
    driven.deliver(lambda: schedule.inventory is not None)
    view = next(v for v in schedule.views() if v.endpoint.source == DOCKER)
    assert view.word == "waiting 1.2 s"
    gate.set()
    driven.deliver(lambda: not schedule.is_in_flight)


def test_schedule_one_request_in_flight_however_long_it_takes() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    asked = node.asked[DOCKER]
    gate = node.hold(DOCKER)
    schedule = driven.schedule
    for _ in range(200):
        driven.now += 0.25
        schedule.tick()
        driven.deliver(lambda: not (schedule._is_looking or schedule._is_joining))
    assert node.asked[DOCKER] == asked + 1
    gate.set()
    driven.deliver(lambda: not schedule.is_in_flight)


def test_schedule_unanswered_source_is_asked_after_5_10_30_and_60_seconds() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    _silent(node, "docker")
    slot = driven.schedule.slots[DOCKER]
    driven.go_on(RECONCILE_S)
    assert slot.failures
    for _ in range(5):
        failures = slot.failures
        while slot.failures == failures:
            driven.go_on(0.25)
        wanted = BACKOFF_S[min(slot.failures, len(BACKOFF_S)) - 1]
        assert slot.due_at == driven.now + wanted


def test_schedule_ten_minutes_of_silence_cost_a_dozen_requests() -> None:
    node = PlayedNode(generated_observations(8))
    _silent(node, "docker")
    driven = Driven(node)
    driven.settle()
    driven.go_on(600)
    assert node.asked[DOCKER] <= 13


def test_schedule_stopped_daemon_is_not_dialled_and_shown_within_one_look() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    asked = node.asked[DOCKER]
    kernel = node.kernel
    stopped = tuple(
        dataclasses.replace(d, process_state="T") if d.kind == "dockerd" else d
        for d in kernel.daemons
    )
    node.put(dataclasses.replace(kernel, daemons=stopped))
    driven.go_on(2.25)
    view = next(v for v in driven.schedule.views() if v.endpoint.source == DOCKER)
    assert view.word == "stopped"
    driven.go_on(120)
    assert node.asked[DOCKER] == asked
    inventory = driven.schedule.inventory
    assert inventory is not None
    assert all(
        c.layers["engine"].verdict == "unknown"
        for c in inventory.containers
        if c.engine == "docker"
    )
    node.put(kernel)
    driven.go_on(3)
    assert node.asked[DOCKER] == asked + 1
    view = next(v for v in driven.schedule.views() if v.endpoint.source == DOCKER)
    assert view.word == "ok"


def test_schedule_source_that_must_not_be_dialled_never_is() -> None:
    node = PlayedNode(sick_observations(8))
    driven = Driven(node)
    driven.settle()
    driven.go_on(60)
    assert "docker:///srv/old/docker.sock" not in node.asked


def test_schedule_shims_are_asked_at_start_and_after_changes_never_by_a_timer() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    driven.go_on(300)
    assert node.asked["shim://shims"] == 1
    kernel = node.kernel
    node.put(dataclasses.replace(kernel, processes=kernel.processes[:-1]))
    driven.go_on(10)
    assert node.asked["shim://shims"] == 2


def test_schedule_nothing_is_joined_again_while_nothing_changes() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    inventory = driven.schedule.inventory
    driven.go_on(60)
    assert driven.schedule.inventory is inventory


def test_schedule_quiet_node_is_looked_at_every_five_seconds() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    driven.go_on(31)
    looks = node.looks
    driven.go_on(60)
    assert 11 <= node.looks - looks <= 13


def test_schedule_paused_asks_nobody_and_hurries_afterwards() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    driven.schedule.is_paused = True
    looks, asked = node.looks, dict(node.asked)
    driven.go_on(120)
    assert (node.looks, node.asked) == (looks, asked)
    driven.schedule.is_paused = False
    driven.schedule.hurry()
    driven.deliver(lambda: not driven.schedule.is_in_flight)
    assert node.looks > looks
    assert node.asked[DOCKER] == asked[DOCKER] + 1


def test_schedule_half_of_a_change_is_not_shown_as_a_problem() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    inventories = []
    kernel, gone = node.kernel, "api-1-ctr"
    node.put(
        dataclasses.replace(
            kernel,
            processes=tuple(p for p in kernel.processes if gone not in (p.cgroup or "")),
            shims=tuple(s for s in kernel.shims if s.id != gone),
        )
    )
    for kind in ("containerd", "shim", "oci"):
        for observation in list(node.observations.values()):
            if observation.kind == kind:
                kept = {
                    name: tuple(r for r in getattr(observation, name) if r.ref.id != gone)
                    for name in ("containers", "tasks", "bundles", "oci_states")
                }
                node.put(dataclasses.replace(observation, **kept))
    for _ in range(24):
        driven.go_on(0.25)
        inventories.append(driven.schedule.inventory)
    assert inventories[-1] is not None
    assert all(not c.has_problem for i in inventories if i is not None for c in i.containers)
    assert not any(c.id == gone for c in inventories[-1].containers)


def test_schedule_join_takes_its_share_of_a_core_and_no_more() -> None:
    node = PlayedNode(generated_observations(8))
    driven = Driven(node)
    driven.settle()
    schedule = driven.schedule
    schedule.take_inventory(InventoryTaken(schedule.inventory, 0.2))
    assert schedule._join_at == driven.now + 0.2 / JOIN_SHARE


def test_schedule_mistake_of_ours_costs_one_answer_not_the_view() -> None:
    node = PlayedNode(generated_observations(8))
    node.failing.add(DOCKER)
    driven = Driven(node)
    driven.settle()
    assert [failure.what for failure in driven.failures] == [DOCKER]
    assert driven.schedule.inventory is not None
    node.failing.clear()
    driven.go_on(RECONCILE_S + 3)
    view = next(v for v in driven.schedule.views() if v.endpoint.source == DOCKER)
    assert view.word == "ok"


def test_interval_grows_with_what_asking_everybody_costs() -> None:
    slots = [Slot(o.endpoint) for o in generated_observations(8) if o.kind != "procfs"]
    by_kind = {slot.endpoint.kind: slot for slot in slots}
    docker, oci = by_kind["docker"], by_kind["oci"]
    assert interval_of(docker, slots, 2.0, 0.015) == 2.0
    assert interval_of(oci, slots, 2.0, 0.015) == RECONCILE_S
    docker.cost_s = 0.15
    assert round(interval_of(docker, slots, 2.0, 0.015)) == 10
    docker.cost_s = 3.0
    assert interval_of(docker, slots, 2.0, 0.015) == 60.0
    assert interval_of(oci, slots, 2.0, 0.015) == 200.0


def test_slot_change_asks_a_healthy_source_soon_and_a_silent_one_not() -> None:
    observation = generated_observations(8)[1]
    slot = Slot(observation.endpoint)
    slot.asked(10.0)
    slot.answered(observation, 10.0, 0.0)
    slot.schedule(10.0, 60.0)
    slot.poke(12.0, CHANGE_GAP_S)
    assert slot.may_ask(12.0)
    silent = dataclasses.replace(observation.endpoint, state=EndpointState.SILENT)
    slot.asked(12.0)
    slot.answered(dataclasses.replace(observation, endpoint=silent), 12.0, 0.0)
    slot.schedule(12.0, 60.0)
    slot.poke(13.0, CHANGE_GAP_S)
    assert not slot.may_ask(16.0)
    assert slot.may_ask(17.0)
