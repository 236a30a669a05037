"""Ollama through the gateway: streams, balance, and what becomes of a request whose node fails."""

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.gateway.clients import Ask, Http2, ask, ask2, bearer, opened
from tests.gateway.site import NAME, Site, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

BOTH = pytest.mark.parametrize("asks", [ask, ask2], ids=["HTTP/1.1", "HTTP/2"])
ENGINES = ("gpu-01.ollama", "gpu-02.ollama", "gpu-03.ollama")
TOKEN_SECONDS = 0.05


def _generation(tokens: int, **more: Any) -> bytes:
    return json.dumps({"model": "tinyllama", "prompt": "hello", "options": {"num_predict": tokens}, **more}).encode()


def _fault(site: Site, engine: str, **fault: object) -> Callable[[], None]:
    """Give an engine a fault; what is returned takes it away."""
    path = site.directory / engine / "ollama.json"
    path.write_text(json.dumps(fault))
    return path.unlink


@pytest.fixture
def site(gateway: Site) -> Iterator[Site]:
    """The shared gateway. Afterwards it is reloaded: nginx forgets then which nodes have failed."""
    gateway.forget()
    yield gateway
    gateway.treat()


@pytest.fixture
def slow(site: Site) -> Iterator[Site]:
    """Engines whose tokens take their time."""
    ends = [_fault(site, engine, token_seconds=TOKEN_SECONDS) for engine in ENGINES]
    yield site
    for end in ends:
        end()


def _chat(**more: Any) -> bytes:
    words = {"model": "tinyllama", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 10, "stream": True}
    return json.dumps({**words, **more}).encode()


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/ollama/api/generate", _generation(10), "application/x-ndjson"),
        ("/ollama/v1/chat/completions", _chat(), "text/event-stream"),
    ],
)
def test_tokens_come_one_by_one(slow: Site, path: str, body: bytes, kind: str) -> None:
    """Ten tokens at 50 ms each arrive over most of half a second, as NDJSON and as server-sent events."""
    with opened(slow, "POST", path, body, bearer(slow, "use")) as answer:
        arrivals = [time.monotonic() for line in iter(answer.readline, b"") if line.strip()]
        assert answer.getheader("Content-Type") == kind

    gaps = [after - before for before, after in itertools.pairwise(arrivals)]
    assert len(arrivals) >= 10
    assert arrivals[-1] - arrivals[0] > 5 * TOKEN_SECONDS
    assert sum(gap > TOKEN_SECONDS / 2 for gap in gaps) >= 5


def test_tokens_come_one_by_one_over_http2(slow: Site) -> None:
    """Each in a frame of its own, as it comes from the engine."""
    connection = Http2(slow)
    key = ("authorization", f"Bearer {slow.proofs.key('use')}")
    head = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", "/ollama/api/generate"), key]
    connection.answer(connection.send(head, _generation(10)))
    connection.close()
    times = connection.arrivals

    assert len(times) >= 10
    assert times[-1] - times[0] > 5 * TOKEN_SECONDS


@BOTH
def test_requests_at_once_go_to_every_node(slow: Site, asks: Ask) -> None:
    """Twelve at once: each node has its four, for the next one goes to whoever has the fewest."""
    found: list[str] = []

    def one() -> None:
        answer = asks(slow, "POST", "/ollama/api/generate", _generation(10), bearer(slow, "use"))
        found.append(answer.fields["x-ipex-node"])

    threads = [threading.Thread(target=one) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert Counter(found) == {"gpu-01": 4, "gpu-02": 4, "gpu-03": 4}


@pytest.mark.parametrize(("asks", "full"), [(ask, ENGINES[0]), (ask2, ENGINES[1])], ids=["HTTP/1.1", "HTTP/2"])
def test_a_full_queue_is_tried_on_another_node(site: Site, asks: Ask, full: str) -> None:
    """An engine that answers 503 is not the last word: every request is answered by one that has room."""
    end = _fault(site, full, generate="error503")
    try:
        answers = [asks(site, "POST", "/ollama/api/generate", _generation(2), bearer(site, "use")) for _ in range(6)]
    finally:
        end()
    arrived = Counter(one.engine for one in site.arrived())

    assert {answer.status for answer in answers} == {200}
    assert full.removesuffix(".ollama") not in {answer.fields["x-ipex-node"] for answer in answers}
    assert arrived[full] >= 1
    assert sum(arrived.values()) == 6 + arrived[full]


def test_two_tries_are_the_most(site: Site) -> None:
    """A request that no node takes is not carried round the fleet: 503 after the second."""
    ends = [_fault(site, engine, generate="error503") for engine in ENGINES]
    try:
        answer = ask(site, "POST", "/ollama/api/generate", _generation(2), bearer(site, "use"))
    finally:
        for end in ends:
            end()

    assert answer.status == 503
    assert len(site.arrived()) == 2


def test_an_answer_that_has_begun_is_not_asked_for_again(site: Site) -> None:
    """Whoever has had the first token gets the rest or a cut stream, and the request has been made once."""
    ends = [_fault(site, engine, generate="cut") for engine in ENGINES]
    try:
        with opened(site, "POST", "/ollama/api/generate", _generation(10), bearer(site, "use")) as answer:
            status = answer.status
            with pytest.raises((http.client.IncompleteRead, OSError)):
                answer.read()
    finally:
        for end in ends:
            end()

    assert status == 200
    assert len(site.arrived()) == 1


def test_killing_a_node_loses_no_request_whose_answer_has_not_begun(slow: Site) -> None:
    """Under load, SIGKILL of one engine of three: every request is answered but those in the middle of their answer."""
    begun: list[bool] = []
    whole: list[bool] = []
    stop = threading.Event()

    def user() -> None:
        while not stop.is_set():
            try:
                with opened(slow, "POST", "/ollama/api/generate", _generation(6), bearer(slow, "bulk")) as answer:
                    if answer.status != 200:
                        begun.append(False)
                        continue
                    said = answer.read()
                whole.append(b'"done":true' in said.replace(b" ", b""))
            except http.client.IncompleteRead:
                begun.append(True)
            except OSError:
                begun.append(False)

    users = [threading.Thread(target=user) for _ in range(12)]
    for one in users:
        one.start()
    until(lambda: len(whole) >= 12, "no request is answered")
    slow.kill(ENGINES[1])
    before = len(whole)
    until(lambda: len(whole) >= before + 60, "requests are not answered any more")
    stop.set()
    for one in users:
        one.join()
    slow.start(ENGINES[1])

    assert begun.count(False) == 0
    # Those that the node was answering: a third of twelve, or one more where a node had just got a new one.
    assert begun.count(True) <= 6
    assert all(whole)


def test_a_draining_node_gets_nothing_new(site: Site) -> None:
    """And what it is answering ends as it began."""
    end = _fault(site, ENGINES[0], token_seconds=TOKEN_SECONDS)
    try:
        site.treat(gpu_02="out", gpu_03="out")
        with opened(site, "POST", "/ollama/api/generate", _generation(20), bearer(site, "use")) as answer:
            first = answer.readline()
            site.treat(gpu_01="draining")
            new = {
                ask(site, "GET", "/ollama/api/version", None, bearer(site, "use")).fields["x-ipex-node"]
                for _ in range(6)
            }
            rest = answer.read()
    finally:
        end()

    assert first
    assert answer.getheader("X-Ipex-Node") == "gpu-01"
    assert b'"done":true' in rest.replace(b" ", b"")
    assert new == {"gpu-02", "gpu-03"}
