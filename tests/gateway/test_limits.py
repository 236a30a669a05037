"""What one client and one address may ask, and what becomes of slow ones; small limits, so that seconds show them."""

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from fleet.limits import Rate
from fleet.model import Fleet
from tests.gateway import site
from tests.gateway.clients import Ask, ask, ask2, bearer, connect, opened
from tests.gateway.site import ADDRESS, NAME, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

BOTH = pytest.mark.parametrize("asks", [ask, ask2], ids=["HTTP/1.1", "HTTP/2"])
TAGS = ("GET", "/ollama/api/tags")
STANDARD = Rate(requests_per_second=2, burst=5, concurrent=3)
BULK = Rate(requests_per_second=1000, burst=1000, concurrent=1000)
ADDRESS_RATE = Rate(requests_per_second=20, burst=40, concurrent=60)
HEADER_SECONDS, BODY_SECONDS, IDLE_SECONDS = 1, 1, 2
LATE_SECONDS = 1.5
"""How much later than its limit a slow client may still be there."""


@pytest.fixture(scope="module")
def small(example: Fleet, nginx: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:  # noqa: ARG001
    """A gateway with small limits."""
    limits = {
        "classes": {"standard": STANDARD, "bulk": BULK},
        "address": ADDRESS_RATE,
        "header_seconds": HEADER_SECONDS,
        "body_seconds": BODY_SECONDS,
        "idle_seconds": IDLE_SECONDS,
    }
    with site.running(example, tmp_path_factory.mktemp("small"), **limits) as found:
        yield found


@pytest.fixture
def sources() -> Iterator[str]:
    """Addresses that nobody has come from yet."""
    return (f"127.0.1.{number}" for number in _NUMBERS)


_NUMBERS = iter(range(1, 250))


def _at_once(site: Site, count: int, client: str, source: str, asks: Ask) -> list[int]:
    """Statuses of so many requests at the same time."""
    found: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(asks(site, *TAGS, None, bearer(site, client), source=source).status)
        )
        for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize(("asks", "client"), [(ask, "use"), (ask2, "both")], ids=["HTTP/1.1", "HTTP/2"])
def test_who_asks_too_often_is_told_when_to_come_again_and_nobody_else_suffers(
    small: Site, sources: Iterator[str], asks: Ask, client: str
) -> None:
    """More than its burst is 429 with Retry-After, and reaches no engine; another client is served meanwhile."""
    source = next(sources)
    small.forget()
    statuses = Counter(_at_once(small, 3 * STANDARD.burst, client, source, asks))
    arrived = len(small.arrived())
    refused = asks(small, *TAGS, None, bearer(small, client), source=source)
    others = {asks(small, *TAGS, None, bearer(small, "bulk"), source=next(sources)).status for _ in range(5)}

    assert set(statuses) == {200, 429}
    assert statuses[200] == arrived <= STANDARD.burst + 4
    assert refused.status == 429
    assert refused.fields["retry-after"] == "2"
    assert set(refused.json()) == {"error"}
    assert others == {200}


def test_a_client_has_so_many_in_work_at_once(small: Site, sources: Iterator[str]) -> None:
    """The next one is 429 until one of them has ended, from whatever address it comes."""
    body = json.dumps({"model": "tinyllama", "prompt": "x", "options": {"num_predict": 100}}).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(STANDARD.concurrent):
            line = opened(small, "POST", "/ollama/api/generate", body, certificate="idle", source=next(sources))
            assert stack.enter_context(line).status == 200
        refused = ask(small, *TAGS, certificate="idle", source=next(sources))
        other = ask(small, *TAGS, None, bearer(small, "bulk"), source=next(sources))

    assert refused.status == 429
    assert other.status == 200
    site.until(lambda: ask(small, *TAGS, certificate="idle", source=next(sources)).status == 200, "it stays refused")


@BOTH
@pytest.mark.parametrize("client", ["bulk", ""], ids=["known", "nobody"])
def test_an_address_has_its_share(small: Site, sources: Iterator[str], client: str, asks: Ask) -> None:
    """Whoever asks from it, guessers of keys among them; another address is served."""
    greedy, other = next(sources), next(sources)
    statuses = Counter(_at_once(small, 3 * ADDRESS_RATE.burst, client, greedy, asks))

    assert set(statuses) == {200 if client else 401, 429}
    assert ask(small, *TAGS, None, bearer(small, "bulk"), source=other).status == 200


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/ollama/api/generate", 32 * 2**20 + 1),
        ("/comfyui/upload/image", 101 * 2**20 + 1),
        ("/prometheus/api/v1/query", 2**31),
    ],
)
def test_a_body_that_is_too_large_is_refused_before_it_comes(
    small: Site, sources: Iterator[str], path: str, size: int
) -> None:
    """413 by what its header says, in JSON; nothing arrives."""
    small.forget()
    client = "look" if "prometheus" in path else "bulk"
    head = f"POST {path} HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {small.proofs.key(client)}\r\n"
    with contextlib.closing(connect(small, source=next(sources))) as line:
        line.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        answer = line.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert small.arrived() == []


def test_a_body_of_chunks_is_refused_where_it_becomes_too_large(small: Site, sources: Iterator[str]) -> None:
    """Nobody has said how long it is: it is counted."""
    small.forget()
    head = f"POST /ollama/api/generate HTTP/1.1\r\nHost: {NAME}\r\nAuthorization: Bearer {small.proofs.key('bulk')}\r\n"
    with contextlib.closing(connect(small, source=next(sources))) as line:
        line.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + bytes(2**20) + b"\r\n"
        with contextlib.suppress(OSError):
            for _ in range(33):
                line.sendall(chunk)
        answer = line.recv(4096)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert small.arrived() == []


_START = "POST /ollama/api/generate HTTP/1.1\r\nHost: ai-services.local\r\nAuthorization: Bearer {key}\r\n"
SLOW = {
    "a header": (b"", b"X", HEADER_SECONDS),
    "a line that does not end": (b"GET /", b"a", HEADER_SECONDS),
    "fields that do not end": (b"GET / HTTP/1.1\r\nHost: ai-services.local\r\n", b"X: y\r\n", HEADER_SECONDS),
    "a body that stops": (_START.encode() + b"Content-Length: 100\r\n\r\n{", b"", BODY_SECONDS),
    "chunks that stop": (_START.encode() + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{", b"", BODY_SECONDS),
    "nobody's body": (_START.replace("{key}", "x").encode() + b"Content-Length: 100\r\n\r\n", b"x", BODY_SECONDS),
    "nothing": (b"", b"", max(HEADER_SECONDS, IDLE_SECONDS)),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_is_gone_in_time(small: Site, sources: Iterator[str], name: str) -> None:
    """A byte now and then does not keep a connection; nothing of it reaches an engine."""
    begin, drip, seconds = SLOW[name]
    small.forget()
    with contextlib.closing(connect(small, source=next(sources), seconds=0.1)) as line:
        line.sendall(begin.replace(b"{key}", small.proofs.key("bulk").encode()))
        started = time.monotonic()
        while _open(line, drip):
            assert time.monotonic() - started < seconds + LATE_SECONDS

    assert small.arrived() == []


def _open(line: socket.socket, drip: bytes) -> bool:
    """Send a little more, and tell whether the other side has not closed."""
    try:
        line.sendall(drip)
        while line.recv(4096):
            pass
    except TimeoutError:
        return True
    except OSError:
        return False
    return False


def test_a_connection_that_never_speaks_tls_is_gone_in_time(small: Site, sources: Iterator[str]) -> None:
    """A handshake has the time of a header."""
    with socket.create_connection((ADDRESS, small.tls_port), 0.1, (next(sources), 0)) as line:
        started = time.monotonic()
        while _open(line, b""):
            assert time.monotonic() - started < HEADER_SECONDS + LATE_SECONDS


def test_fifty_slow_clients_hold_up_nobody(small: Site, sources: Iterator[str]) -> None:
    """While they drip, a user is answered at once."""
    source = next(sources)
    with contextlib.ExitStack() as stack:
        for _ in range(50):
            line = stack.enter_context(contextlib.closing(connect(small, source=source)))
            line.sendall(b"GET / HTTP/1.1\r\nX: ")
        started = time.monotonic()
        answer = ask(small, *TAGS, None, bearer(small, "bulk"), source=next(sources))
        took = time.monotonic() - started

    assert answer.status == 200
    assert took < 1
