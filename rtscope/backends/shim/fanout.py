"""Asks many shims at once from one thread: a slow or silent one delays no other.

Threads would cost more than the answers, and on a sick node none may be left to start.
"""

import errno
import selectors
import socket
import time
from collections import deque
from collections.abc import Mapping, Sequence

from rtscope.backends.channel.dial import dial
from rtscope.backends.channel.failure import Peer
from rtscope.backends.rights import reach, text_of
from rtscope.backends.shim.ttrpc import (
    Frame,
    FrameError,
    FrameReader,
    decode_response,
    encode_request,
)
from rtscope.errors import BackendError
from rtscope.model.facts import fact
from rtscope.procfs.host import Host

MAX_AT_ONCE = 32
"""Source: docs/architecture.md, "Do no harm": the widest fan-out there is."""

_CHUNK_BYTES = 64 << 10
_NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})

Reply = Mapping[str, bytes | BackendError]
"""For each key of a question the answer's payload, or why there is none."""


@fact
class Question:
    """What one shim is asked: the same method for each of its containers, on one connection.

    Attributes:
        address: The shim's socket, as its bundle names it.
        payloads: A serialised request for each key.
    """

    address: str
    service: str
    method: str
    payloads: Mapping[str, bytes]


def ask_all(questions: Sequence[Question], host: Host, limit_s: float) -> Mapping[str, Reply]:
    """The reply to every question, by address; an address may be asked once.

    No shim is given longer than `limit_s`, and all together twice that: more than 32 silent ones
    would otherwise stand in line for each other.
    """
    fanout = _Fanout(host, limit_s)
    try:
        fanout.run(questions)
        return fanout.replies
    finally:
        fanout.close()


class _Talk:
    """One connection: what is still to be sent, and which answers are still to come."""

    def __init__(self, question: Question, limit_s: float) -> None:
        self.question = question
        self.peer = Peer("shim", question.address)
        self.deadline = time.monotonic() + limit_s
        self.answers: dict[str, bytes | BackendError] = {}
        self.unsent = bytearray()
        self.sock: socket.socket | None = None
        self._reader = FrameReader()
        self._key_of: dict[int, str] = {}
        for number, (key, payload) in enumerate(question.payloads.items()):
            stream_id = 2 * number + 1
            self._key_of[stream_id] = key
            self.unsent += encode_request(
                stream_id, question.service, question.method, payload, limit_s
            )

    @property
    def is_over(self) -> bool:
        return len(self.answers) == len(self.question.payloads)

    def open(self, host: Host) -> None:
        """Connect without waiting: a unix socket says yes or no at once."""
        path = self.question.address.removeprefix("unix://")
        if path == self.question.address or path.startswith(("@", "\0")):
            # Without the scheme it is an abstract name: what shims used before containerd 1.3.9.
            address = "@" + path.lstrip("@\0")
        else:
            address = reach(host, path, self.peer)
        self.sock = dial(address, 0, self.peer)

    def send(self) -> None:
        """Send what the socket takes."""
        assert self.sock is not None
        try:
            while self.unsent:
                del self.unsent[: self.sock.send(self.unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            self.fail(self.peer.gone(text_of(error)))

    def receive(self) -> None:
        """Take what has arrived."""
        assert self.sock is not None
        try:
            data = self.sock.recv(_CHUNK_BYTES)
            if data:
                for frame in self._reader.feed(data):
                    self._take(frame)
            else:
                why = "closed the connection midway" if self._reader.is_midway else "hung up"
                self.fail(self.peer.gone(why))
        except BlockingIOError:
            return
        except FrameError as error:
            self.fail(self.peer.malformed(f"not ttrpc: {error}"))
        except OSError as error:
            self.fail(self.peer.gone(text_of(error)))

    def _take(self, frame: Frame) -> None:
        key = self._key_of.pop(frame.stream_id, None)
        if key is None:
            return
        try:
            self.answers[key] = decode_response(frame, self.peer)
        except BackendError as error:
            self.answers[key] = error

    def fail(self, error: BackendError) -> None:
        """Every answer that has not come has this error."""
        for key in self.question.payloads:
            self.answers.setdefault(key, error)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None


class _Fanout:
    """The loop: dials while there is room, serves what is ready, ends what is overdue."""

    def __init__(self, host: Host, limit_s: float) -> None:
        self._host = host
        self._limit_s = limit_s
        self._selector = selectors.PollSelector()
        self._open: dict[socket.socket, _Talk] = {}
        self.replies: dict[str, Reply] = {}

    def run(self, questions: Sequence[Question]) -> None:
        waiting = deque(questions)
        end = time.monotonic() + 2 * self._limit_s
        while waiting or self._open:
            if time.monotonic() >= end:
                self._give_up(waiting)
            while waiting and len(self._open) < MAX_AT_ONCE and self._start(waiting[0]):
                waiting.popleft()
            self._serve()
            self._end_overdue()

    def close(self) -> None:
        for talk in list(self._open.values()):
            self._finish(talk)
        self._selector.close()

    def _start(self, question: Question) -> bool:
        """Dial and ask; False where descriptors ran out and others must end first."""
        talk = _Talk(question, self._limit_s)
        try:
            talk.open(self._host)
        except BackendError as error:
            if getattr(error.__cause__, "errno", None) in _NO_DESCRIPTOR and self._open:
                return False
            talk.fail(error)
        else:
            talk.send()
        if talk.is_over or talk.sock is None:
            self._finish(talk)
            return True
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if talk.unsent else 0)
        self._selector.register(talk.sock, events, talk)
        self._open[talk.sock] = talk
        return True

    def _serve(self) -> None:
        if not self._open:
            return
        next_end = min(talk.deadline for talk in self._open.values())
        for key, events in self._selector.select(max(0.0, next_end - time.monotonic())):
            talk: _Talk = key.data
            if events & selectors.EVENT_WRITE:
                talk.send()
                if not talk.unsent:
                    self._selector.modify(key.fileobj, selectors.EVENT_READ, talk)
            if events & selectors.EVENT_READ:
                talk.receive()
            if talk.is_over:
                self._finish(talk)

    def _end_overdue(self) -> None:
        now = time.monotonic()
        for talk in [talk for talk in self._open.values() if talk.deadline <= now]:
            talk.fail(talk.peer.silent())
            self._finish(talk)

    def _finish(self, talk: _Talk) -> None:
        if talk.sock is not None and self._open.pop(talk.sock, None) is not None:
            self._selector.unregister(talk.sock)
        talk.close()
        self.replies[talk.question.address] = talk.answers

    def _give_up(self, waiting: deque[Question]) -> None:
        for question in waiting:
            peer = Peer("shim", question.address)
            error = peer.silent(f"not asked: {MAX_AT_ONCE} others have not answered")
            self.replies[question.address] = dict.fromkeys(question.payloads, error)
        waiting.clear()
