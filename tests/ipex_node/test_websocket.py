"""The websocket client on the wire."""

import os
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from ipex_node.websocket import WebSocket, WebSocketError
from tests.ipex_node.tiny_server import frame, read_frame

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


@pytest.fixture
def ends() -> Iterator[tuple[WebSocket, socket.socket]]:
    """An open websocket and the server's end of it."""
    mine, theirs = socket.socketpair()
    yield WebSocket(mine, [], b"", time.monotonic() + 0.1), theirs
    mine.close()
    theirs.close()


def test_fragments_are_joined_around_a_ping(ends: tuple[WebSocket, socket.socket]) -> None:
    """A message in two frames with a ping between them is one message, and the ping is answered."""
    client, server = ends
    server.sendall(frame(TEXT, b"hel", final=False) + frame(PING, b"you there?") + frame(0, b"lo"))
    assert client.receive() == "hello"
    assert read_frame(server) == (PONG, b"you there?")


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_every_length_encoding(ends: tuple[WebSocket, socket.socket], size: int) -> None:
    """Binary messages of all three length encodings arrive whole."""
    client, server = ends
    payload = os.urandom(size)
    sender = threading.Thread(target=server.sendall, args=(frame(BINARY, payload),))
    sender.start()
    assert client.receive() == payload
    sender.join()


def test_sent_text_is_masked(ends: tuple[WebSocket, socket.socket]) -> None:
    """What the client says is masked, as section 5.3 asks."""
    client, server = ends
    client.send("hi")
    assert read_frame(server) == (TEXT, b"hi")


def test_close_says_why(ends: tuple[WebSocket, socket.socket]) -> None:
    """The code and the reason of a close are in the error."""
    client, server = ends
    server.sendall(frame(CLOSE, (1012).to_bytes(2, "big") + b"restart"))
    with pytest.raises(WebSocketError, match="code 1012 restart"):
        client.receive()


def test_silence_ends_at_the_deadline(ends: tuple[WebSocket, socket.socket]) -> None:
    """Nothing is waited for beyond the deadline."""
    client, _ = ends
    with pytest.raises(TimeoutError):
        client.receive()


def test_masked_server_frame_is_refused(ends: tuple[WebSocket, socket.socket]) -> None:
    """A server must not mask: whoever does is no websocket server."""
    client, server = ends
    server.sendall(bytes([0x81, 0x81, 0, 0, 0, 0, 65]))
    with pytest.raises(WebSocketError, match="no server may send"):
        client.receive()
