"""Dials dockerd and asks it: the one place that knows docker's addresses, TLS and HTTP errors."""

import json
import os
from typing import TYPE_CHECKING, Any

from rtscope.backends.channel.failure import Peer
from rtscope.backends.channel.http import HttpConnection
from rtscope.backends.rights import reach
from rtscope.config.deadlines import Deadlines
from rtscope.errors import BackendDeniedError, BackendError
from rtscope.procfs.host import Host

if TYPE_CHECKING:
    from ssl import SSLContext

_TLS_PORT = 2376
_PLAIN_PORT = 2375


class DockerChannel:
    """One connection to one dockerd, opened by the first request and kept."""

    def __init__(self, address: str, deadlines: Deadlines) -> None:
        self.address = address
        self._peer = Peer("docker", address)
        self._deadlines = deadlines
        self._connection: HttpConnection | None = None

    @property
    def connect_ms(self) -> float | None:
        """How long the last connection took; None before the first."""
        return None if self._connection is None else self._connection.connect_ms

    @property
    def first_answer_ms(self) -> float | None:
        """From the first request of the connection to the head of its answer."""
        return None if self._connection is None else self._connection.first_answer_ms

    def get_json(self, path: str, host: Host) -> tuple[Any, dict[str, str]]:
        """The document at a path, and the headers that it came with.

        Raises:
            BackendError: or one of its kinds; nothing else.
        """
        if self._connection is None:
            self._connection = self._dialling(host)
        is_first = self._connection.first_answer_ms is None
        limit_s = self._deadlines.first_answer_s if is_first else self._deadlines.request_s
        status, headers, body = self._connection.get(path, limit_s)
        if status != 200:
            kind = BackendDeniedError if status in (401, 403) else BackendError
            raise self._peer.error(kind, f"HTTP {status}{_message_in(body)}")
        try:
            return json.loads(body), headers
        except (ValueError, RecursionError) as error:
            raise self._peer.malformed("the answer is not JSON") from error

    def close(self) -> None:
        """Let go of the connection; the next request opens another."""
        if self._connection is not None:
            self._connection.close()

    def _dialling(self, host: Host) -> HttpConnection:
        """A connection that the first request opens."""
        scheme, separator, rest = self.address.partition("://")
        if not separator or scheme == "unix":
            path = reach(host, rest if separator else self.address, self._peer)
            return self._over(path)
        if scheme in ("tcp", "http", "https"):
            return self._dialling_tcp()
        raise self._peer.error(BackendError, f"cannot dial {scheme}://")

    def _dialling_tcp(self) -> HttpConnection:
        from urllib.parse import urlsplit

        url = urlsplit(self.address)
        # Source: docker's own client: either variable turns TLS on, only the first verifies.
        is_verified = bool(os.environ.get("DOCKER_TLS_VERIFY"))
        is_tls = is_verified or bool(os.environ.get("DOCKER_CERT_PATH")) or url.scheme == "https"
        try:
            server, port = url.hostname or "localhost", url.port
            tls = _tls_context(is_verified) if is_tls else None
        except (OSError, ValueError) as error:
            raise self._peer.malformed(f"TLS or address: {error}") from error
        port = port or (_TLS_PORT if is_tls else _PLAIN_PORT)
        return self._over(f"tcp://[{server}]:{port}", tls, server)

    def _over(
        self, address: str, tls: "SSLContext | None" = None, server: str | None = None
    ) -> HttpConnection:
        return HttpConnection(
            address,
            backend="docker",
            endpoint=self.address,
            deadlines=self._deadlines,
            tls=tls,
            tls_name=server,
        )


def _tls_context(is_verified: bool) -> "SSLContext":
    """TLS with the files that docker's own client takes.

    Raises:
        OSError: a file is missing or is no certificate.
    """
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
    return context


def _message_in(body: bytes) -> str:
    try:
        return f": {json.loads(body)['message']}"
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
