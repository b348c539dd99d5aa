"""What others wrote may be anything: a parser raises what it documents, or nothing, and in time."""

import time

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutate import BYTES, WORDS, inputs
from tests.fuzz.targets import TARGETS, close_all, corpus_of

CPU_LIMIT_S = 2.0
"""Of one input; the largest take some milliseconds."""
EXAMPLES = 120


@pytest.fixture(scope="module", autouse=True)
def folders():
    yield
    close_all()


def check(name: str, data: bytes) -> None:
    started = time.thread_time()
    TARGETS[name].check(data)
    assert time.thread_time() - started < CPU_LIMIT_S


@pytest.mark.parametrize("name", TARGETS)
def test_every_kept_input_is_read_or_refused(name):
    kept = corpus_of(name)
    assert kept
    for data in kept:
        check(name, data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_word_alone_is_read_or_refused(name):
    for data in (*WORDS, *BYTES):
        check(name, data)


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_read_or_refused(name):
    @settings(
        max_examples=EXAMPLES // TARGETS[name].cost,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs(corpus_of(name)))
    def run(data: bytes) -> None:
        check(name, data)

    run()
