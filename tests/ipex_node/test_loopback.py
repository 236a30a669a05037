"""A question to loopback costs its time and no more, whatever answers."""

import time

import pytest

from ipex_node import loopback
from ipex_node.loopback import ask, get
from tests.ipex_node import tiny_server
from tests.ipex_node.tiny_server import dripping

HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "first",
    [b"", HEAD + b"X: ", HEAD + b"Content-Length: 100000\r\n\r\n", HEAD + b"Connection: close\r\n\r\n"],
    ids=["nothing", "head", "body", "last"],
)
def test_an_answer_that_drips_ends_at_its_time(first: bytes) -> None:
    """Each byte comes in time, the answer does not; also where http.client has let go of the connection."""
    with dripping(first) as port:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            get(port, "/", 0.2)
        assert time.monotonic() - began < 2
    with dripping(first) as port:
        assert ask(port, "/queue", 0.2) is None


def test_answers_that_are_no_json() -> None:
    """Nothing, for each of them."""
    with tiny_server.running() as server:
        server.answers["GET /deep"] = lambda request: request.chunks(b"[" * 200_000)
        server.answers["GET /words"] = lambda request: request.chunks(b"hello")
        server.answers["GET /refused"] = lambda request: request.say(500, {})
        server.answers["GET /good"] = lambda request: request.say(200, {"a": 1})
        port = server.server_port
        assert [ask(port, path) for path in ("/deep", "/words", "/refused", "/good")] == [None, None, None, {"a": 1}]


def test_nobody_and_nonsense_are_told_apart() -> None:
    """Where nobody listens nobody works; what speaks no HTTP may do anything."""
    with pytest.raises(ConnectionRefusedError):
        get(1, "/")
    with dripping(b"SSH-2.0\r\n\r\n") as port, pytest.raises(ValueError, match="broken answer"):
        get(port, "/")


def test_no_more_is_read_than_is_wanted() -> None:
    """The status alone, or the beginning of what is endless."""
    with tiny_server.running() as server:
        server.answers["GET /"] = lambda request: request.chunks(b"x" * 1000)
        assert get(server.server_port, "/", limit=0) == (200, b"")
        assert get(server.server_port, "/", limit=10) == (200, b"x" * 10)
    assert loopback.LIMIT > 1 << 20
