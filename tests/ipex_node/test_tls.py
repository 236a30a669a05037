"""TLS to a gateway: who proves to be it is asked, and nobody else is."""

import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipex_node import tls, verification
from ipex_node.client import Client, Way
from ipex_node.failure import FailedError
from lab import authority
from tests.ipex_node.tiny_server import Server, running

NAME = "ai-services.local"


@pytest.fixture
def chain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway's certificate with its authority's behind it; the key is beside it."""
    for attribute, file in (("CA", "ca.pem"), ("_CA_KEY", "ca.key"), ("CERTIFICATE", "chain.pem"), ("KEY", "key.pem")):
        monkeypatch.setattr(authority, attribute, tmp_path / file)
    monkeypatch.setattr(authority, "DIRECTORY", tmp_path)
    authority.create(NAME, ("192.0.2.1",))
    return tmp_path / "chain.pem"


@pytest.fixture
def server(chain: Path) -> Iterator[Server]:
    """A gateway of few lines that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, chain.with_name("key.pem"))
    with running() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.answers = {"GET /api/tags": lambda it: it.say(200, {"models": []})}
        yield server


def _ask(server: Server, way: Way) -> object:
    return Client(f"https://127.0.0.1:{server.server_port}", time.monotonic() + 10, way=way).get_json("/api/tags")


def test_a_gateway_that_proves_its_name_is_asked(server: Server, chain: Path) -> None:
    """By address, under its name, with the key."""
    assert _ask(server, Way(NAME, "ipex_key", tls.trusting(chain, NAME))) == {"models": []}
    assert server.seen[-1][1]["Authorization"] == "Bearer ipex_key"


def test_the_certificate_itself_is_enough_to_trust(server: Server, chain: Path, tmp_path: Path) -> None:
    """A chain need not end at a root."""
    own = tmp_path / "own.pem"
    own.write_text(chain.read_text().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")

    assert _ask(server, Way(NAME, "", tls.trusting(own, NAME))) == {"models": []}


def test_another_name_is_not_asked(server: Server, chain: Path) -> None:
    """The key is sent to nobody who does not prove to be the gateway."""
    with pytest.raises(FailedError, match=r"no answer: .*(?:mismatch|not valid for)"):
        _ask(server, Way(NAME, "ipex_key", tls.trusting(chain, "elsewhere.example")))
    assert server.seen == []


def test_another_authoritys_certificate_is_not_trusted(server: Server, chain: Path, tmp_path: Path) -> None:
    """Whoever signs for this name elsewhere is nobody here."""
    chain.unlink()
    chain.with_name("ca.pem").unlink()
    authority.create(NAME, ("192.0.2.1",))

    with pytest.raises(FailedError, match="CERTIFICATE_VERIFY_FAILED"):
        _ask(server, Way(NAME, "ipex_key", tls.trusting(tmp_path / "chain.pem", NAME)))


def test_old_workers_of_a_reload_are_waited_for(server: Server, chain: Path) -> None:
    """Until they have gone, the certificate of before is shown now and then."""
    old, new = (
        (chain.with_name("chain.pem"), chain.with_name("key.pem")),
        (chain.with_name("new.pem"), chain.with_name("new.key")),
    )
    for path, fresh in zip(old, new, strict=True):
        path.rename(fresh)
    chain.with_name("ca.pem").unlink()
    authority.create(NAME, ("192.0.2.1",))
    assert isinstance(server.socket, ssl.SSLSocket)
    shown = server.socket.context
    shown.load_cert_chain(*old)
    trusted = tls.trusting(new[0], NAME)
    threading.Timer(0.5, shown.load_cert_chain, new).start()

    verification.await_certificate(f"https://127.0.0.1:{server.server_port}", trusted)

    assert _ask(server, Way(NAME, "", trusted)) == {"models": []}


def test_a_wrong_certificate_is_not_waited_for_for_ever(
    server: Server, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks then is told."""
    monkeypatch.setattr(verification, "RELOAD_SECONDS", 0.3)
    trusted = tls.trusting(chain, "elsewhere.example")

    verification.await_certificate(f"https://127.0.0.1:{server.server_port}", trusted)

    with pytest.raises(FailedError, match="no answer"):
        _ask(server, Way("elsewhere.example", "", trusted))


def test_a_missing_chain_says_what_to_do(tmp_path: Path) -> None:
    """The deploy writes it."""
    with pytest.raises(FailedError, match=r"chain\.pem.*deploy this gateway again"):
        tls.trusting(tmp_path / "chain.pem", NAME)


def test_without_tls_a_secured_address_is_refused() -> None:
    """Neither side is guessed."""
    with pytest.raises(FailedError, match="is no http:// address"):
        Client("https://127.0.0.1", time.monotonic() + 1)
