"""Nothing gets in that may not: judged by what arrives at the engines, not by what the gateway says of it."""

import base64
import contextlib
import json
import re
from collections.abc import Iterator

import pytest

from tests.gateway import hostile_fields, hostile_http2, hostile_paths, hostile_wire
from tests.gateway.arrivals import Arrival
from tests.gateway.clients import Http2, ask, bearer, connect
from tests.gateway.hostile import REFUSED, Case
from tests.gateway.hostile_http2 import Case2
from tests.gateway.site import NAME, Site

pytestmark = [pytest.mark.lab, pytest.mark.security, pytest.mark.timeout(60)]

PATHS = tuple(hostile_paths.cases())
CASES = (*PATHS, *hostile_wire.CASES, *hostile_fields.CASES)
GOOD = ("GET", "/api/version")
QUIET_SECONDS = 0.3
"""An open connection on which nothing comes for so long has been answered."""


def _words(site: Site) -> dict[str, str]:
    keys = {client: site.proofs.key(client) for client in ("use", "operate", "look")}
    stored = site.proofs.keys["use"][0]
    pairs = {
        "basic-use-key": f"use:{keys['use']}",
        "basic-key": f"{keys['use']}:",
        "basic-use-empty": "use:",
        "basic-use-hash": f"use:{site.proofs.secrets().credentials('use').password}",
        "basic-nobody": "nobody:x",
    }
    return {
        **keys,
        "wrong": f"ipex_00000000_{43 * 'A'}",
        "use-in-capitals": keys["use"].upper(),
        "use-id": f"ipex_{stored.id}",
        "use-hash": stored.hash,
        "use-cut": keys["use"][:-1],
        "use-id-operate-secret": keys["use"][:14] + keys["operate"][14:],
        "tls-port": str(site.tls_port),
        **{name: base64.b64encode(pair.encode()).decode() for name, pair in pairs.items()},
    }


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@([a-z-]+)@", lambda found: words.get(found[1], found[0]), text)


@pytest.fixture
def site(gateway: Site) -> Iterator[Site]:
    """The shared gateway, before and after which everything is well."""
    gateway.forget()
    gateway.logged()
    yield gateway
    answer = ask(gateway, "GET", "/ollama/api/version", None, bearer(gateway, "use"))
    assert answer.status == 200, answer
    assert set(answer.json()) == {"version"}
    said = gateway.logged()
    # Each line is JSON, that of the user after the case as well, and holds no credential.
    assert [json.loads(line) for line in said.splitlines()]
    assert not any(key.plain in said or key.hash in said for keys in gateway.proofs.keys.values() for key in keys)


def test_there_are_at_least_200_of_them() -> None:
    """The cases are many, and no two of them send the same."""
    assert len({case.sends for case in CASES}) == len(CASES) >= 200
    assert len({case.name for case in CASES}) == len(CASES)
    assert len({(case.head, case.body) for case in hostile_http2.CASES}) == len(hostile_http2.CASES) >= 50


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nothing_gets_in(site: Site, case: Case) -> None:
    """Nothing arrives but what the case allows, and the next user is served."""
    statuses = _exchange(site, _filled(case.sends.decode("latin-1"), _words(site)).encode("latin-1"))

    _judge(site, case.arrives)
    if case.says is not None:
        assert tuple(statuses[: len(case.says)]) == case.says
    if not case.arrives:
        assert set(statuses) <= REFUSED, statuses


@pytest.mark.parametrize("case", PATHS, ids=lambda case: case.name)
def test_no_path_gets_in_by_http2(site: Site, case: Case) -> None:
    """The same paths as :path, where no parser has cut a line of them."""
    first, _, rest = case.sends.decode("latin-1").partition("\r\n")
    method, _, target = first.removesuffix(" HTTP/1.1").partition(" ")
    key = ("authorization", f"Bearer {site.proofs.key('use')}")
    head = [(":method", method), (":scheme", "https"), (":authority", NAME), (":path", target), key]
    status = _ask2(site, head, rest.rpartition("\r\n\r\n")[2].encode() or None)

    _judge(site, case.arrives)
    assert status is None or status in REFUSED


@pytest.mark.parametrize("case", hostile_http2.CASES, ids=lambda case: case.name)
def test_nothing_gets_in_by_http2(site: Site, case: Case2) -> None:
    """What only HTTP/2 can say."""
    words = _words(site)
    status = _ask2(site, [(name, _filled(value, words)) for name, value in case.head], case.body)

    _judge(site, case.arrives)
    if not case.arrives:
        assert status is None or status in REFUSED


def _judge(site: Site, allowed: tuple[tuple[str, str], ...]) -> None:
    arrived = site.arrived()
    assert {one.what for one in arrived} <= set(allowed), arrived
    for one in arrived:
        _sober(one)


def _sober(arrived: Arrival) -> None:
    """Nothing of the gateway's own business has come through."""
    assert arrived.all("host") == [NAME]
    for name in ("origin", "authorization", "x-api-key", "cookie", "transfer-encoding", "keep-alive", "te", "upgrade"):
        assert arrived.all(name) == [], arrived
    assert arrived.all("x-forwarded-for") == ["127.0.0.99"]
    assert arrived.all("x-forwarded-proto") == ["https"]
    assert arrived.all("connection") in ([], ["close"]), arrived


def _exchange(site: Site, sends: bytes) -> list[int]:
    """Send, read until nothing comes any more, and return the answers' statuses."""
    received = b""
    with contextlib.closing(connect(site, seconds=QUIET_SECONDS)) as line:
        with contextlib.suppress(OSError):
            line.sendall(sends)
        with contextlib.suppress(OSError):
            while part := line.recv(65536):
                received += part
    return [int(status) for status in re.findall(rb"(?:^|\n|\})HTTP/1\.[01] (\d{3}) ", received)]


def _ask2(site: Site, head: list[tuple[str, str]], body: bytes | None) -> int | None:
    """Ask by HTTP/2; None where the gateway has ended stream or connection."""
    with contextlib.closing(Http2(site)) as connection, contextlib.suppress(ConnectionError):
        return connection.answer(connection.send(head, body)).status
    return None
