"""Two clients of a gateway, one for each protocol, that ask and answer alike."""

import base64
import contextlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.events

from tests.gateway.site import ADDRESS, NAME, OUTSIDE, Site

SECONDS = 10.0
Fields = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """A whole answer; names of fields in small letters."""

    status: int
    fields: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Ask = Callable[..., Answer]


def bearer(site: Site, client: str) -> dict[str, str]:
    """A client's key as a bearer token; nothing for nobody."""
    return {"Authorization": f"Bearer {site.proofs.key(client)}"} if client else {}


def basic(client: str, password: str) -> dict[str, str]:
    """A person's name and password."""
    return {"Authorization": "Basic " + base64.b64encode(f"{client}:{password}".encode()).decode()}


def connect(
    site: Site,
    protocol: str = "http/1.1",
    *,
    certificate: str = "",
    source: str = OUTSIDE,
    seconds: float = SECONDS,
) -> ssl.SSLSocket:
    """A TLS connection to the gateway.

    Args:
        site: whose gateway.
        protocol: as ALPN has it.
        certificate: the client whose certificate is shown.
        source: the client's address.
        seconds: longest wait for any answer.
    """
    line = socket.socket()
    try:
        line.settimeout(seconds)
        line.bind((source, 0))
        line.connect((ADDRESS, site.tls_port))
        return site.proofs.context(protocol, certificate).wrap_socket(line, server_hostname=NAME)
    except BaseException:
        line.close()
        raise


def ask(
    site: Site, method: str, path: str, body: bytes | None = None, fields: Fields | None = None, **line: Any
) -> Answer:
    """Ask by HTTP/1.1 on a connection of its own."""
    with opened(site, method, path, body, fields, **line) as answer:
        return Answer(answer.status, _joined(answer.getheaders()), answer.read())


@contextlib.contextmanager
def opened(
    site: Site, method: str, path: str, body: bytes | None = None, fields: Fields | None = None, **line: Any
) -> Iterator[http.client.HTTPResponse]:
    """Ask by HTTP/1.1, and read the answer bit by bit."""
    connection = http.client.HTTPConnection(NAME)
    connection.sock = connect(site, **line)
    with contextlib.closing(connection):
        # The gateway may answer, and close, before it has the whole body.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request(method, path, body, {**(fields or {})})
        yield connection.getresponse()


def ask2(
    site: Site, method: str, path: str, body: bytes | None = None, fields: Fields | None = None, **line: Any
) -> Answer:
    """Ask by HTTP/2 on a connection of its own."""
    with contextlib.closing(Http2(site, **line)) as connection:
        pairs = [(name.lower(), value) for name, value in (fields or {}).items()]
        length = [("content-length", str(len(body)))] if body is not None else []
        head = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", path)]
        return connection.answer(connection.send([*head, *pairs, *length], body))


class Http2:
    """A connection of HTTP/2 that sends what it is told, right or wrong."""

    def __init__(self, site: Site, **line: Any) -> None:
        self._line = connect(site, "h2", **line)
        settings = h2.config.H2Configuration(
            header_encoding="latin-1",
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self._state = h2.connection.H2Connection(settings)
        self._state.initiate_connection()
        self._answers: dict[int, Answer] = {}
        self.arrivals: list[float] = []
        """When each frame of a body came, by `time.monotonic()`."""
        self._flush()

    def send(self, head: list[tuple[str, str]], body: bytes | None = None) -> int:
        """Send a request, and return its stream."""
        stream = self._state.get_next_available_stream_id()
        self._state.send_headers(stream, head, end_stream=body is None)
        if body is not None:
            self._send_body(stream, body)
        self._flush()
        return stream

    def answer(self, stream: int) -> Answer:
        """Wait for a whole answer.

        Raises:
            ConnectionError: the gateway has ended the stream or the connection instead.
        """
        while not self._ended(stream):
            received = self._line.recv(65536)
            if not received:
                raise ConnectionResetError("the gateway has closed the connection")
            for event in self._state.receive_data(received):
                self._take(event, stream)
            self._flush()
        found = self._answers.pop(stream)
        del found.fields["\0end"]
        return found

    def close(self) -> None:
        """Leave."""
        self._line.close()

    def _send_body(self, stream: int, body: bytes) -> None:
        while body and not self._ended(stream):
            room = min(self._state.local_flow_control_window(stream), self._state.max_outbound_frame_size, len(body))
            if not room:
                for event in self._state.receive_data(self._line.recv(65536)):
                    self._take(event, stream)
                continue
            self._state.send_data(stream, body[:room])
            body = body[room:]
            self._flush()
        if not self._ended(stream):
            self._state.end_stream(stream)

    def _ended(self, stream: int) -> bool:
        """Whether the answer is whole; it may be before the request is."""
        return stream in self._answers and "\0end" in self._answers[stream].fields

    def _take(self, event: h2.events.Event, stream: int) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            fields = _joined([(str(name), str(value)) for name, value in event.headers])
            self._answers[event.stream_id] = Answer(int(fields.pop(":status")), fields, b"")
        elif isinstance(event, h2.events.DataReceived):
            self.arrivals.append(time.monotonic())
            known = self._answers[event.stream_id]
            self._answers[event.stream_id] = Answer(known.status, known.fields, known.body + event.data)
            self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._answers[event.stream_id].fields["\0end"] = "1"
        elif isinstance(event, h2.events.StreamReset) and event.stream_id == stream and not self._ended(stream):
            raise ConnectionResetError(f"the gateway has ended the stream: {event.error_code}")
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise ConnectionResetError(f"the gateway has ended the connection: {event.error_code}")

    def _flush(self) -> None:
        self._line.sendall(self._state.data_to_send())


def _joined(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Header fields by name, several of one name as a list (RFC 9110, 5.3)."""
    fields: dict[str, str] = {}
    for name, value in pairs:
        known = fields.get(name.lower())
        fields[name.lower()] = value if known is None else f"{known}, {value}"
    return fields
