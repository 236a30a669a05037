"""`ipex-node agent`: what gateways and monitors ask this node. Needs no privilege."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from ipex_node import exposition, floating, marker, samples, settings
from ipex_node.failure import FailedError, failed
from ipex_node.readiness import Readiness
from ipex_node.samples import Sample
from ipex_node.warmth import Warmth
from ipex_node.world import end_at_sigterm, progress

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from ipex_node.settings import Settings
    from ipex_node.world import World

CONVERSATIONS = 16
"""At once; a few gateways and monitors ask once a second or less."""
PER_ADDRESS = 4
"""Of them for one address, and for all of loopback: an engine on this node must not keep the gateways out."""
IDLE_SECONDS = 10.0
"""A connection that says nothing for so long is closed."""
_JSON = "application/json"


def serve(world: World) -> dict[str, Any]:
    """Answer until SIGTERM.

    Raises:
        FailedError: The node has no settings yet, or its port is taken.
    """
    node = settings.load(world.paths.settings)
    if node.node is None:
        raise failed(str(world.paths.settings), "does not exist", "deploy this node first")
    agent = Agent(world, node)
    try:
        server = Server(("", node.agent_port), agent)
    except OSError as error:
        raise failed(f"port {node.agent_port}", f"cannot be listened on: {error.strerror}") from error
    end_at_sigterm()
    progress(f"agent of {node.node} on port {server.server_port}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass  # the way it is meant to end
    finally:
        server.server_close()
    return {"ok": True, "failures": []}


class Agent:
    """Knows every answer.

    Args:
        world: The node.
        node: Its settings.
    """

    def __init__(self, world: World, node: Settings) -> None:
        self._world = world
        self._node = node
        self._readiness = Readiness(world.paths, node.services)
        self._warmth = Warmth(world.paths, node)

    def answer(self, target: str, accept: str = "", address: str = "") -> tuple[int, str, bytes]:
        """Return status, content type and body.

        Args:
            target: The path with its query.
            accept: What the asker takes.
            address: Where it asks from.
        """
        path, _, query = target.partition("?")
        if path == "/metrics":
            kind = exposition.content_type(accept)
            return 200, kind, exposition.text(self._samples(), self._node.metrics, kind).encode()
        if path == "/ready":
            self._hear(query, address)
            ready = {**self._readiness.answer(), "warm": self._warmth.loaded(), "models": self._warmth.there()}
            if self._node.floating:
                ready["floating"] = floating.said(self._world.paths, self._node.floating)
            return (200 if ready["ready"] else 503), _JSON, json.dumps(ready).encode()
        if path == "/healthz":
            return 200, _JSON, b'{"ok": true}'
        return 404, _JSON, b'{"error": "there are /metrics, /ready and /healthz"}'

    def _hear(self, query: str, address: str) -> None:
        """Keep what a gateway says of itself while it asks.

        What runs on this node, engines included, may ask as well, but comes from another address than the gateways';
        on a node that is a gateway itself nothing tells them apart.
        """
        words = dict(parse_qsl(query))
        if self._node.is_gateway(words.get("gateway", ""), address):
            told = (words.get(key, "") for key in ("gateway", "rotation", "without", "circuit"))
            self._readiness.gateways.hear(*told)

    def _samples(self) -> Iterator[Sample]:
        ready = self._readiness.answer()
        generation = ready["generation"] or ""
        named = {"node": self._node.node or "", "environment": self._node.environment, "generation": generation}
        yield Sample("ipex_node_info", named, 1)
        yield Sample("ipex_node_in_rotation", {}, float(ready["ready"]))
        whose = marker.left_out_by(self._world.paths)
        for by in marker.WHO:
            yield Sample("ipex_node_left_out", {"by": by}, float(by == whose))
        if self._node.floating:
            said = floating.said(self._world.paths, self._node.floating)
            named = {"address": said["address"]}
            yield Sample("ipex_floating_address_held", named, float(said["holds"]))
            yield Sample("ipex_floating_address_able", named, float(said["able"]))
        for service, up in ready["services"].items():
            yield Sample("ipex_service_up", {"service": service}, float(up))
            yield Sample("ipex_health_condemned", {"service": service}, float(service in ready["out"]))
        for source, silent_seconds in self._node.sources.items():
            yield from self._left(source, silent_seconds)

    def _left(self, source: str, silent_seconds: float) -> Iterator[Sample]:
        """Return what another unit has measured; where it is silent, that it is."""
        found = samples.read(self._world.paths.samples(source), silent_seconds)
        if found is None:
            yield samples.absent(source, f"ipex-{source} has left nothing in the last {silent_seconds:.0f} seconds")
        # While a change goes on, one of the two may be of another version than the other.
        yield from (one for one in found or () if one.family in self._node.metrics)


class Server(ThreadingHTTPServer):
    """Serves with a bounded number of threads: who comes too many is told to come again.

    Args:
        address: Host and port.
        agent: Knows every answer.
        handler: Asks it; what an agent's asks without it.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        address: tuple[str, int],
        agent: Any,  # noqa: ANN401 - its handler knows
        handler: type[BaseHTTPRequestHandler] | None = None,
    ) -> None:
        super().__init__(address, handler or _Handler)
        self.agent = agent
        self._talking = Counter[str]()
        self._lock = threading.Lock()

    def server_bind(self) -> None:
        """Listen without asking for the machine's name in DNS, as http.server would."""
        self.allow_reuse_address = True
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - socketserver's types
        """Take a thread if one is free."""
        if self._takes(_place(client_address)):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Give the thread back in any case."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._talking[_place(client_address)] -= 1
                # A counter of every address that has ever asked would grow without end.
                self._talking += Counter()

    def _takes(self, place: str) -> bool:
        with self._lock:
            if self._talking[place] >= PER_ADDRESS or self._talking.total() >= CONVERSATIONS:
                return False
            self._talking[place] += 1
            return True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as above
        """Say in one line what went wrong: a client that has gone is no news for a page of traceback."""
        progress(f"{client_address}: {sys.exc_info()[1]!r} on {request!r}")


def _place(client_address: tuple[str, int]) -> str:
    """Return where somebody asks from; loopback is one place and has many addresses."""
    return "loopback" if client_address[0].startswith("127.") else client_address[0]


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # An answer in one piece: the second of two would wait 40 ms for the first to be acknowledged (Nagle's algorithm).
    wbufsize = -1
    connection: socket.socket

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        try:
            status, kind, body = self.server.agent.answer(
                self.path, self.headers.get("Accept", ""), self.client_address[0]
            )
        except FailedError as error:
            answer = {"ok": False, "failures": [one.as_json() for one in error.failures]}
            status, kind, body = 500, _JSON, json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def version_string(self) -> str:
        """Name the program, not Python's version."""
        return "ipex-node"

    def log_message(self, *_words: object) -> None:
        """Log nothing: what is asked every second is no news."""
