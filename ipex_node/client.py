"""HTTP as a service's client sees it: one address, one deadline, cookies kept."""

from __future__ import annotations

import http.client
import json
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ipex_node import border, loopback, websocket
from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ipex_node.tls import Tls

_LIMIT = 16 * 1024 * 1024
"""Longest answer read, in bytes: a service that says more is not the one that was asked."""
NODE_HEADER = "X-Ipex-Node"
"""Response header in which the gateway names the node that answered."""


@dataclass(frozen=True)
class Way:
    """How a gateway is asked.

    Attributes:
        host: Name sent as Host; the address without it.
        key: API key; none without it, and never shown.
        tls: How the gateway proves who it is; none without TLS.
    """

    host: str = ""
    key: str = field(default="", repr=False)
    tls: Tls | None = None


class Client:
    """Asks one service.

    Args:
        base_url: Scheme, address and port; https where `way` says how the server proves who it is, and nowhere else.
        deadline: Moment of `time.monotonic()` at which every question ends.
        prefix: Path before every path, as a gateway has it.
        way: How it is reached, where that is a gateway.
    """

    def __init__(self, base_url: str, deadline: float, prefix: str = "", way: Way | None = None) -> None:
        address = urlsplit(base_url)
        scheme = "https" if way and way.tls else "http"
        if address.scheme != scheme or not address.hostname:
            raise failed(base_url, f"is no {scheme}:// address", "correct it in the settings")
        self._host, self._port = address.hostname, address.port or {"http": 80, "https": 443}[scheme]
        self._scheme = scheme
        self._prefix = prefix.rstrip("/")
        self._way = way or Way()
        self._deadline = deadline
        self._cookies: dict[str, str] = {}
        self.node = ""
        """The node that answered last, where a gateway names it."""

    def get(self, path: str) -> bytes:
        """Return the body of a 200 answer."""
        return self._whole("GET", path, None)

    def get_json(self, path: str) -> Any:  # noqa: ANN401 - JSON is anything
        """Return the JSON of a 200 answer."""
        return self._json("GET", path, None)

    def post_json(self, path: str, question: object) -> Any:  # noqa: ANN401 - JSON is anything
        """Send JSON and return the JSON of a 200 answer."""
        return self._json("POST", path, question)

    def delete(self, path: str, question: object) -> None:
        """Ask for a removal with JSON; a 200 answer says that it is done."""
        self._whole("DELETE", path, question)

    def stream(self, path: str, question: object) -> Iterator[tuple[int, bytes]]:
        """Send JSON and yield each line of the answer as it comes, with the number of its arrival.

        Lines that share a number came in one piece: something on the way had collected them.
        """
        with self._asking("POST", path) as connection:
            answer = self._ask(connection, "POST", path, question)
            rest, arrival = b"", 0
            while piece := answer.read1(65536):
                arrival += 1
                *lines, rest = (rest + piece).split(b"\n")
                yield from ((arrival, line) for line in lines if line.strip())
            if rest.strip():
                yield arrival, rest

    def websocket(self, path: str) -> websocket.WebSocket:
        """Open a websocket."""
        with _in_words(self._name("WEBSOCKET", path)):
            address = (self._host, self._port)
            opened = websocket.connect(address, self._prefix + path, self._headers(), self._deadline, self._way.tls)
        self._learn(opened.answer)
        return opened

    def _json(self, method: str, path: str, question: object) -> Any:  # noqa: ANN401 - JSON is anything
        body = self._whole(method, path, question)
        try:
            return border.parse(body)
        except ValueError as error:
            raise failed(self._name(method, path), f"answers no JSON but {body[:80]!r}") from error

    def _whole(self, method: str, path: str, question: object) -> bytes:
        with self._asking(method, path) as connection:
            return self._ask(connection, method, path, question).read(_LIMIT)

    @contextmanager
    def _asking(self, method: str, path: str) -> Iterator[http.client.HTTPConnection]:
        """Open a connection that ends at the deadline, and close it in any case."""
        connection = loopback.Connection(self._host, self._port, self._deadline, self._way.tls)
        try:
            with _in_words(self._name(method, path)):
                yield connection
        finally:
            connection.close()

    def _ask(
        self, connection: http.client.HTTPConnection, method: str, path: str, question: object
    ) -> http.client.HTTPResponse:
        body = None if question is None else json.dumps(question).encode()
        headers = self._headers() | ({"Content-Type": "application/json"} if body else {})
        connection.request(method, self._prefix + path, body, headers)
        answer = connection.getresponse()
        self._learn(list(answer.headers.items()))
        if answer.status != 200:
            said = answer.read(300).decode(errors="replace").strip()
            raise failed(self._name(method, path), f"answers {answer.status} {answer.reason}: {said[:300]}")
        return answer

    def _headers(self) -> dict[str, str]:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        return {
            **({"Host": self._way.host} if self._way.host else {}),
            **({"Authorization": f"Bearer {self._way.key}"} if self._way.key else {}),
            **({"Cookie": cookies} if cookies else {}),
        }

    def _learn(self, headers: list[tuple[str, str]]) -> None:
        """Keep cookies, whatever their path: this client asks one service only."""
        for name, value in headers:
            if name.lower() == "set-cookie":
                key, _, content = value.partition(";")[0].partition("=")
                self._cookies[key.strip()] = content.strip()
            elif name.lower() == NODE_HEADER.lower():
                self.node = value

    def _name(self, method: str, path: str) -> str:
        named = f" (Host: {self._way.host})" if self._way.host else ""
        return f"{method} {self._scheme}://{self._host}:{self._port}{self._prefix}{path}{named}"


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Say in words what broke a question."""
    try:
        yield
    except TimeoutError as error:
        raise failed(name, "no answer before the deadline") from error
    except OSError as error:
        raise failed(name, f"no answer: {error.strerror or error}") from error
    except http.client.HTTPException as error:
        raise failed(name, f"broken answer: {type(error).__name__}: {error}") from error
