"""Dials dockerd and asks it: the one place that knows sockets, TLS and HTTP errors of docker."""

import json
import os
import socket
import time
from typing import Any

from rtscope.backends.channel.dial import dial
from rtscope.backends.channel.failure import Peer
from rtscope.backends.docker.http import (
    Answer,
    AnswerError,
    AnswerReader,
    EndOfAnswerError,
    request,
)
from rtscope.backends.rights import reach, text_of
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendDeniedError, BackendError
from rtscope.procfs.host import Host

_TLS_PORT = 2376
_PLAIN_PORT = 2375


class DockerChannel:
    """One connection to one dockerd, opened by the first request and kept.

    An unanswered request keeps its connection, and the next `get` of the same path waits on it
    instead of asking again: a stopped daemon's queue must not fill up with our requests.

    Attributes:
        connect_ms: How long the last connection took; None before the first.
        first_answer_ms: From the first request of that connection to the head of its answer.
    """

    def __init__(self, address: str, deadlines: Deadlines) -> None:
        self.address = address
        self.connect_ms: float | None = None
        self.first_answer_ms: float | None = None
        self._peer = Peer("docker", address)
        self._deadlines = deadlines
        self._sock: socket.socket | None = None
        self._reader: AnswerReader | None = None
        self._pending: str | None = None
        self._sent_at = 0.0

    def get_json(self, path: str, host: Host) -> tuple[Any, Answer]:
        """The document at a path, and the answer that it came in.

        Raises:
            BackendError: or one of its kinds; nothing else.
        """
        answer = self.get(path, host)
        if answer.status != 200:
            kind = BackendDeniedError if answer.status in (401, 403) else BackendError
            raise self._peer.error(kind, f"HTTP {answer.status}{_message_in(answer.body)}")
        try:
            return json.loads(answer.body), answer
        except (ValueError, RecursionError) as error:
            raise self._peer.malformed("the answer is not JSON") from error

    def get(self, path: str, host: Host) -> Answer:
        """The answer to a GET, whatever its status."""
        try:
            return self._get(path, host)
        except TimeoutError as error:
            if self._pending is None:
                self.close()
            raise self._peer.silent() from error
        except EndOfAnswerError as error:
            self.close()
            if error.is_midway:
                raise self._peer.malformed(str(error)) from error
            raise self._peer.gone(str(error)) from error
        except AnswerError as error:
            self.close()
            raise self._peer.malformed(str(error)) from error
        except OSError as error:
            self.close()
            raise self._peer.gone(text_of(error)) from error

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._sock is not None:
            self._sock.close()
        self._sock = self._reader = self._pending = None

    def _get(self, path: str, host: Host) -> Answer:
        if self._pending != path:
            if self._pending is not None:
                self.close()
            self._send(path, host)
        assert self._reader is not None
        is_first = self.first_answer_ms is None
        limit_s = self._deadlines.first_answer_s if is_first else self._deadlines.request_s
        head = self._reader.head(time.monotonic() + limit_s)
        self._pending = None
        if is_first:
            self.first_answer_ms = (time.monotonic() - self._sent_at) * 1000
        body = self._reader.body(head, time.monotonic() + self._deadlines.request_s)
        if head.is_last:
            self.close()
        return Answer(status=head.status, headers=head.headers, body=body)

    def _send(self, path: str, host: Host) -> None:
        """Send a request; a kept connection that the daemon closed meanwhile is replaced."""
        if self._sock is not None and not _is_open(self._sock):
            self.close()
        if self._sock is None:
            self._connect(host)
        assert self._sock is not None
        self._sock.settimeout(self._deadlines.connect_s)
        self._sock.sendall(request(path, "docker"))
        self._pending = path
        self._sent_at = time.monotonic()

    def _connect(self, host: Host) -> None:
        self.connect_ms = None
        started_at = time.monotonic()
        scheme, separator, rest = self.address.partition("://")
        if not separator or scheme == "unix":
            path = reach(host, rest if separator else self.address, self._peer)
            self._sock = dial(path, self._deadlines.connect_s, self._peer)
        elif scheme in ("tcp", "http", "https"):
            self._sock = self._dial_tcp()
        else:
            raise self._peer.error(BackendError, f"cannot dial {scheme}://")
        self.connect_ms = (time.monotonic() - started_at) * 1000
        self.first_answer_ms = None
        self._reader = AnswerReader(self._sock)

    def _dial_tcp(self) -> socket.socket:
        from urllib.parse import urlsplit

        url = urlsplit(self.address)
        # Source: docker's own client: either variable turns TLS on, only the first verifies.
        is_verified = bool(os.environ.get("DOCKER_TLS_VERIFY"))
        is_tls = is_verified or bool(os.environ.get("DOCKER_CERT_PATH")) or url.scheme == "https"
        server = url.hostname or "localhost"
        port = url.port or (_TLS_PORT if is_tls else _PLAIN_PORT)
        sock = dial(f"tcp://[{server}]:{port}", self._deadlines.connect_s, self._peer)
        if not is_tls:
            return sock
        try:
            sock.settimeout(self._deadlines.first_answer_s)
            return _secured(sock, server, is_verified)
        except BaseException as error:
            sock.close()
            if isinstance(error, OSError) and not isinstance(error, TimeoutError):
                raise self._peer.malformed(f"TLS: {error}") from error
            raise


def _secured(sock: socket.socket, server: str, is_verified: bool) -> socket.socket:
    """The connection under TLS, with the files that docker's own client takes."""
    import ssl

    directory = os.environ.get("DOCKER_CERT_PATH") or os.environ.get("DOCKER_CONFIG")
    directory = directory or os.path.expanduser("~/.docker")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if is_verified:
        context.load_verify_locations(os.path.join(directory, "ca.pem"))
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    certificate = os.path.join(directory, "cert.pem")
    if os.path.exists(certificate):
        context.load_cert_chain(certificate, os.path.join(directory, "key.pem"))
    return context.wrap_socket(sock, server_hostname=server)


def _is_open(sock: socket.socket) -> bool:
    """Whether an idle connection can still be used: nothing to read, not even its end."""
    sock.setblocking(False)
    try:
        sock.recv(1)
    except BlockingIOError:
        return True
    except OSError as error:
        # An idle TLS connection says SSLWantReadError, which has no class without importing ssl.
        return type(error).__name__ == "SSLWantReadError"
    return False


def _message_in(body: bytes) -> str:
    try:
        return f": {json.loads(body)['message']}"
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
