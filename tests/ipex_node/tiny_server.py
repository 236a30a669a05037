"""A server of a few lines that speaks as much of the engines' APIs as the checks ask for."""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Gives every request to the function of its method and path."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        """Look the answer up."""
        length = int(self.headers.get("Content-Length") or 0)
        self.server.bodies.append(json.loads(self.rfile.read(length) or b"null"))
        self.server.seen.append((f"{self.command} {self.path.partition('?')[0]}", dict(self.headers.items())))
        answer = self.server.answers.get(self.server.seen[-1][0])
        if answer:
            answer(self)
        else:
            self.say(404, {"error": "not here"})

    do_POST = do_GET  # noqa: N815 - http.server's name
    do_DELETE = do_GET  # noqa: N815 - as do_POST

    def say(self, status: int, body: object, **headers: str) -> None:
        """Answer with JSON."""
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def chunks(self, *pieces: bytes) -> None:
        """Answer piece by piece, as a stream."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (*pieces, b""):
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            self.wfile.flush()

    def upgrade(self, *frames: bytes, proof: str = "") -> None:
        """Become a websocket and send raw frames."""
        key = self.headers["Sec-WebSocket-Key"]
        digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Sec-WebSocket-Accept", proof or base64.b64encode(digest).decode())
        self.end_headers()
        for frame in frames:
            self.wfile.write(frame)
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_words: object) -> None:
        """Be quiet."""


class Server(ThreadingHTTPServer):
    """Knows the answers and what was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.bodies: list[Any] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Be quiet when a client has gone."""


@contextmanager
def running() -> Iterator[Server]:
    """Run a server for the length of a test."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def dripping(first: bytes = b"") -> Iterator[int]:
    """Run a server on a port that says something and then one byte now and then, for ever."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(first)
            while not over.wait(0.02):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: drip(server.accept()[0]), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        over.set()
        thread.join()


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return a server's frame: unmasked."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    else:
        length = bytes([126]) + size.to_bytes(2, "big") if size < 1 << 16 else bytes([127]) + size.to_bytes(8, "big")
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


def read_frame(connection: socket.socket) -> tuple[int, bytes]:
    """Read a client's short frame and unmask it."""
    first, second = connection.recv(2, socket.MSG_WAITALL)
    assert second & 0x80, "a client must mask"
    key = connection.recv(4, socket.MSG_WAITALL)
    payload = connection.recv(second & 0x7F, socket.MSG_WAITALL) if second & 0x7F else b""
    return first & 0x0F, bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
