"""One question for each of many records, a few at once, all under one deadline."""

import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from rtscope.errors import BackendError, BackendTimeoutError

_Q = TypeVar("_Q")
_A = TypeVar("_A")

MAX_AT_ONCE = 8
"""Runtimes take a lock for each status; more at once gain nothing. Source: observed."""


class Fanout(Generic[_Q, _A]):
    """Asks with daemon threads, which hold nobody up at exit; without threads one by one."""

    def __init__(self, ask: Callable[[_Q, float], _A], limit_s: float) -> None:
        self._ask = ask
        self._deadline = time.monotonic() + limit_s
        self._todo: SimpleQueue[tuple[int, _Q]] = SimpleQueue()
        self._answers: dict[int, _A | BackendError] = {}

    def run(self, questions: Sequence[_Q], *, may_thread: bool) -> list[_A | BackendError]:
        """The answer to each question, in order; those that the deadline cut off are silent."""
        for pair in enumerate(questions):
            self._todo.put(pair)
        threads: list[threading.Thread] = []
        for _ in range(min(MAX_AT_ONCE, len(questions)) - 1 if may_thread else 0):
            thread = threading.Thread(target=self._work, name="cri", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                break
            threads.append(thread)
        self._work()
        for thread in threads:
            thread.join(max(self._deadline - time.monotonic(), 0.0))
        late = BackendTimeoutError("no answer in time")
        return [self._answers.get(number, late) for number in range(len(questions))]

    def _work(self) -> None:
        while (left_s := self._deadline - time.monotonic()) > 0:
            try:
                number, question = self._todo.get_nowait()
            except Empty:
                return
            try:
                self._answers[number] = self._ask(question, left_s)
            except BackendError as error:
                self._answers[number] = error
