"""One question to this node's own loopback that costs at most a few seconds, whatever answers there."""

from __future__ import annotations

import http.client
import socket
import time
from typing import TYPE_CHECKING, Any

from ipex_node import border

if TYPE_CHECKING:
    from ipex_node.tls import Tls

SECONDS = 2.0
"""For the whole answer, unless somebody has reason to wait longer."""
LIMIT = 16 * 1024 * 1024
"""Longest answer that is read: ComfyUI lists a queue of long graphs whole."""


class Connection(http.client.HTTPConnection):
    """A connection that ends at one moment, however slowly an answer drips in.

    A socket's own timeout begins anew with every byte.

    Args:
        host: Name or address.
        port: Its port.
        deadline: That moment, of `time.monotonic()`; whoever waits then meets a TimeoutError.
        tls: How the other side proves who it is; none without TLS.
    """

    def __init__(self, host: str, port: int, deadline: float, tls: Tls | None = None) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._tls = tls

    def connect(self) -> None:
        """Connect."""
        self.timeout = _left(self._deadline)
        super().connect()
        if self._tls:
            self.sock = self._tls.wrap(self.sock, self._deadline)
        else:
            self.sock = _Line(self.sock.detach(), self._deadline)


class _Line(socket.socket):
    """Reads until a deadline; http.client reads with `recv_into` alone (Python's socket.py, SocketIO.readinto)."""

    def __init__(self, descriptor: int, deadline: float) -> None:
        super().__init__(fileno=descriptor)
        self._deadline = deadline
        self.settimeout(_left(deadline))

    def recv_into(self, *words: Any) -> int:  # noqa: ANN401 - as the socket's own
        """Take what comes before the deadline."""
        self.settimeout(_left(self._deadline))
        return super().recv_into(*words)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def get(port: int, path: str, seconds: float = SECONDS, limit: int = LIMIT) -> tuple[int, bytes]:
    """Return status and body of an answer.

    Args:
        port: Whom to ask.
        path: For what.
        seconds: For the whole answer.
        limit: Bytes of the body that are read.

    Raises:
        OSError: Nobody is there, or the answer was not whole in time (TimeoutError).
        ValueError: What answers does not speak HTTP.
    """
    connection = Connection("127.0.0.1", port, time.monotonic() + seconds)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read(limit)
    except http.client.HTTPException as error:
        raise ValueError(f"broken answer: {error!r}") from error
    finally:
        connection.close()


def ask(port: int, path: str, seconds: float = SECONDS) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the JSON of a 200 answer; none for anything else."""
    try:
        status, body = get(port, path, seconds)
        return border.parse(body) if status == 200 else None
    except (OSError, ValueError):
        return None
