import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtscope.backends.channel import frames
from rtscope.backends.channel.call import Call, percent_decoded
from rtscope.backends.channel.connection import CONNECTION_WINDOW, Connection
from rtscope.backends.channel.failure import Peer
from rtscope.errors import BackendError

# Deadlines of single examples fail on a busy machine and say nothing.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

GREETING = frames.encode_settings({})
HEAD = b"\x88\x00\x0ccontent-type\x10application/grpc"
TRAILERS = b"\x00\x0bgrpc-status\x010"


def opened(*, is_unary: bool = True) -> tuple[Connection, Call]:
    connection = Connection()
    connection.receive(GREETING)
    call = connection.open(b"\x83", b"request", is_unary)
    connection.outgoing.clear()
    return connection, call


def headers(block: bytes, *, is_last: bool = False) -> bytes:
    flags = frames.END_HEADERS | (frames.END_STREAM if is_last else 0)
    return frames.encode(frames.HEADERS, flags, 1, block)


def data(payload: bytes) -> bytes:
    return frames.encode(frames.DATA, 0, 1, payload)


def sent_frames(connection: Connection) -> list[frames.Frame]:
    reader = frames.FrameReader()
    reader.feed(GREETING)
    return reader.feed(bytes(connection.outgoing))


kinds = st.integers(0, 12)
frame_bytes = st.builds(
    frames.encode,
    kinds,
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 1 << 30]),
    st.one_of(st.binary(max_size=60), st.just(HEAD), st.just(TRAILERS), st.just(b"\0\0\0\0\1x")),
)


@patient
@given(st.lists(frame_bytes, max_size=20), st.booleans())
def test_any_frames_end_in_an_answer_or_an_error(parts: list[bytes], is_unary: bool) -> None:
    connection, call = opened(is_unary=is_unary)
    for part in parts:
        if connection.broken is None:
            connection.receive(part)
    connection.receive_end()
    assert call.is_over
    while connection.take(call) is not None:
        pass
    connection.drop(call)
    assert connection.calls == {}


@patient
@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_error(chunk: bytes) -> None:
    connection = Connection()
    call = connection.open(b"\x83", b"request", True)
    connection.receive(chunk)
    connection.receive_end()
    assert isinstance(call.error(Peer("b", "e")), BackendError)


@patient
@given(st.lists(st.binary(max_size=3000), max_size=8), st.integers(1, 700))
def test_messages_are_cut_wherever_frames_end(messages: list[bytes], size: int) -> None:
    connection, call = opened(is_unary=False)
    body = b"".join(b"\0" + len(each).to_bytes(4, "big") + each for each in messages)
    stream = headers(HEAD)
    stream += b"".join(data(body[at : at + size]) for at in range(0, len(body), size))
    stream += headers(TRAILERS, is_last=True)
    for at in range(0, len(stream), 997):
        connection.receive(stream[at : at + 997])
    assert list(call.messages) == messages
    assert call.is_over
    assert call.error(Peer("b", "e")) is None


def test_request_waits_for_the_peers_window() -> None:
    connection = Connection()
    connection.receive(frames.encode_settings({frames.INITIAL_WINDOW_SIZE: 10}))
    connection.outgoing.clear()
    call = connection.open(b"\x83", bytes(30), True)
    assert [len(frame.payload) for frame in sent_frames(connection)][1:] == [10]
    connection.outgoing.clear()
    connection.receive(frames.encode_window_update(1, 20))
    connection.receive(frames.encode_settings({frames.INITIAL_WINDOW_SIZE: 15}))
    sizes = [
        (len(frame.payload), frame.flags)
        for frame in sent_frames(connection)
        if frame.kind == frames.DATA
    ]
    assert sizes == [(20, 0), (5, frames.END_STREAM)]
    assert call.unsent == b""


def test_credit_is_given_for_what_is_taken_only() -> None:
    connection, call = opened(is_unary=False)
    body = b"\0" + (2 << 20).to_bytes(4, "big") + bytes(2 << 20)
    connection.receive(headers(HEAD))
    for at in range(0, len(body), frames.FRAME_LIMIT):
        connection.receive(data(body[at : at + frames.FRAME_LIMIT]))
    assert not connection.outgoing
    assert connection.take(call) == bytes(2 << 20)
    updates = {frame.stream_id: frame.payload for frame in sent_frames(connection)}
    assert updates == {0: len(body).to_bytes(4, "big"), 1: len(body).to_bytes(4, "big")}


def test_peer_that_ignores_the_window_breaks_the_connection() -> None:
    connection, call = opened(is_unary=False)
    connection.receive(headers(HEAD))
    body = b"\0" + (1 << 20).to_bytes(4, "big") + bytes(1 << 20)
    flood = b"".join(
        data(body[at : at + frames.FRAME_LIMIT]) for at in range(0, len(body), frames.FRAME_LIMIT)
    )
    for _ in range(2 * CONNECTION_WINDOW // len(body)):
        connection.receive(flood)
    assert connection.broken is not None
    assert "more than it is allowed" in connection.broken[1]
    assert sum(map(len, call.messages)) <= CONNECTION_WINDOW


def test_peer_that_pings_without_reading_breaks_the_connection() -> None:
    connection = Connection()
    connection.receive(GREETING)
    ping = frames.encode(frames.PING, 0, 0, bytes(8)) * 1000
    for _ in range(1000):
        if connection.broken is None:
            connection.receive(ping)
    assert connection.broken == (BackendError, "the daemon sends without reading")
    assert not connection.outgoing


def test_endless_headers_break_the_connection() -> None:
    connection, _ = opened()
    connection.receive(frames.encode(frames.HEADERS, 0, 1, b""))
    part = frames.encode(frames.CONTINUATION, 0, 1, bytes(frames.FRAME_LIMIT))
    for _ in range(100):
        if connection.broken is None:
            connection.receive(part)
    assert connection.broken is not None
    assert "headers longer" in connection.broken[1]


@pytest.mark.parametrize(
    ("frame", "why"),
    [
        (frames.encode(frames.CONTINUATION, 4, 1, b""), "continuation"),
        (frames.encode(frames.PUSH_PROMISE, 4, 1, bytes(8)), "push"),
        (frames.encode(frames.SETTINGS, 0, 0, bytes(5)), "midway"),
        (frames.encode(frames.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff"), "window"),
        (frames.encode(frames.WINDOW_UPDATE, 0, 0, bytes(3)), "midway"),
        (frames.encode(frames.GOAWAY, 0, 0, bytes(5)), "midway"),
        (frames.encode(frames.RST_STREAM, 0, 1, b""), "midway"),
        (frames.encode(frames.DATA, frames.PADDED, 1, b""), "padding"),
        (frames.encode(frames.DATA, frames.PADDED, 1, b"\5abc"), "padding"),
        (frames.encode(frames.DATA, 0, 1, bytes(frames.FRAME_LIMIT + 1)), "allowed"),
    ],
)
def test_frame_that_breaks_the_rules_breaks_the_connection(frame: bytes, why: str) -> None:
    connection, call = opened()
    connection.receive(frame)
    assert connection.broken is not None
    assert why in connection.broken[1]
    assert call.is_over


def test_headers_of_a_call_given_up_still_change_the_table() -> None:
    connection, call = opened()
    connection.drop(call)
    connection.receive(headers(b"\x40\x0bgrpc-status\x010", is_last=True))
    call = connection.open(b"\x83", b"", True)
    connection.receive(frames.encode(frames.HEADERS, 5, 3, HEAD + b"\xbe"))
    assert call.is_over
    assert call.error(Peer("b", "e")) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"100%25 of gr%C3%BCn%0A", "100% of grün\n"),
        (b"%", "%"),
        (b"%4", "%4"),
        (b"%zz%20%", "%zz %"),
        (b"% 1%+1", "% 1%+1"),
        (b"%ff", "\ufffd"),
    ],
)
def test_message_is_percent_decoded(value: bytes, text: str) -> None:
    assert percent_decoded(value) == text


@patient
@given(st.binary(max_size=50))
def test_any_message_is_decoded(value: bytes) -> None:
    assert isinstance(percent_decoded(value), str)
