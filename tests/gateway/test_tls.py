"""What the gateway's TLS admits and shows, asked as testssl.sh asks: by offers that no client would make any more."""

import contextlib
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from fleet import tls
from lab import tree
from tests.gateway import client_hello
from tests.gateway.client_hello import SSL3, TLS10, TLS11, TLS12, TLS13, Hello
from tests.gateway.clients import ask, ask2, bearer, connect
from tests.gateway.credentials import Authority
from tests.gateway.site import ADDRESS, NAME, OUTSIDE, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

MODERN = {
    0xC02B: "ECDHE-ECDSA-AES128-GCM-SHA256",
    0xC02F: "ECDHE-RSA-AES128-GCM-SHA256",
    0xC02C: "ECDHE-ECDSA-AES256-GCM-SHA384",
    0xC030: "ECDHE-RSA-AES256-GCM-SHA384",
    0xCCA9: "ECDHE-ECDSA-CHACHA20-POLY1305",
    0xCCA8: "ECDHE-RSA-CHACHA20-POLY1305",
}
"""IANA's numbers of the suites that Mozilla calls intermediate and that need elliptic curves."""
MODERN_13 = {0x1301, 0x1302, 0x1303}
# Every range in which IANA has given numbers to suites of TLS 1.2 and before.
ALL = (
    *range(0x0001, 0x0100),
    *range(0xC001, 0xC100),
    *range(0xCC13, 0xCC20),
    *range(0xCCA0, 0xCCB0),
    *range(0xFE00, 0xFF00),
)
HANDSHAKE_FAILURE, PROTOCOL_VERSION, INAPPROPRIATE_FALLBACK, UNRECOGNIZED_NAME = 40, 70, 86, 112


def _say(site: Site, name: str | None = NAME, **offer: object) -> Hello:
    return client_hello.say((ADDRESS, site.tls_port), name, **{"ciphers": ALL, **offer})  # type: ignore[arg-type]


def _all(line: socket.socket) -> bytes:
    received = b""
    while part := line.recv(65536):
        received += part
    return received


def test_the_list_of_ciphers_is_the_modern_one() -> None:
    """The project's own words and IANA's numbers are of the same suites."""
    assert set(tls.CIPHERS) == set(MODERN.values())


@pytest.mark.parametrize("version", [SSL3, TLS10, TLS11], ids=["SSL 3", "TLS 1.0", "TLS 1.1"])
def test_an_old_protocol_is_refused(gateway: Site, version: int) -> None:
    """Whatever suites are offered with it."""
    assert _say(gateway, version=version).alert in {PROTOCOL_VERSION, HANDSHAKE_FAILURE, -1}


def test_sslv2_is_refused(gateway: Site) -> None:
    """Its ClientHello has a form of its own: no answer to it is a handshake."""
    with socket.create_connection((ADDRESS, gateway.tls_port), 5) as line:
        line.sendall(
            b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" + b"\x01\x00\x80\x02\x00\x80\x03\x00\x80" * 2 + b"\0" * 19
        )
        answer = b""
        with contextlib.suppress(OSError):
            answer = line.recv(4096)

    assert answer[2:3] != b"\x04"
    assert answer[:1] != bytes([22])


def test_of_all_suites_of_tls_1_2_the_modern_ones_are_taken(gateway: Site) -> None:
    """Offered all, the server chooses; what it chose is left out of the next offer, until nothing is to its taste."""
    taken, offered = [], list(ALL)
    while (answer := _say(gateway, ciphers=offered)).alert is None:
        assert answer.version == TLS12
        taken.append(answer.cipher)
        offered.remove(answer.cipher)

    assert answer.alert == HANDSHAKE_FAILURE
    # The certificate's key is of one kind: suites of the other kind cannot be chosen.
    assert {MODERN[one] for one in taken} == {name for name in MODERN.values() if "ECDSA" in name}


def test_nothing_but_modern_suites_of_tls_1_3(gateway: Site) -> None:
    """The same with the numbers of TLS 1.3, those with a short tag among them."""
    taken, offered = set(), [*range(0x1301, 0x1310), *ALL]
    while (answer := _say(gateway, version=TLS13, ciphers=offered)).version == TLS13:
        taken.add(answer.cipher)
        offered.remove(answer.cipher)

    assert taken == MODERN_13


def test_nothing_is_compressed(gateway: Site) -> None:
    """Offered DEFLATE and LZS before none, the server takes none (CRIME)."""
    answer = _say(gateway, compressions=b"\x01\x40\x00")

    assert answer.alert is None
    assert answer.compression == 0


def test_renegotiation_is_secure_and_not_the_clients_to_begin(gateway: Site) -> None:
    """The server knows RFC 5746, and closes the connection on which a client begins another handshake."""
    assert 0xFF01 in _say(gateway).extensions
    command = [
        "chroot",
        str(tree.build()),
        "openssl",
        "s_client",
        "-connect",
        f"{ADDRESS}:{gateway.tls_port}",
        "-tls1_2",
    ]
    asked = subprocess.run([*command, "-servername", NAME], input=b"R\n", capture_output=True, timeout=20, check=False)

    assert b"RENEGOTIATING" in asked.stdout + asked.stderr
    assert b"no renegotiation" in asked.stderr or b"unexpected eof" in asked.stderr or b"reset" in asked.stderr


def test_a_fallback_that_somebody_forced_is_refused(gateway: Site) -> None:
    """A client that says it comes with less than it could (RFC 7507) is told that it need not."""
    assert _say(gateway, version=TLS12, ciphers=[*MODERN, 0x5600]).alert == INAPPROPRIATE_FALLBACK


def test_no_ticket_and_no_heartbeat_are_offered(gateway: Site) -> None:
    """A ticket's key would undo forward secrecy; heartbeats were Heartbleed's way."""
    answer = _say(gateway, more=b"\x00\x23\x00\x00" + b"\x00\x0f\x00\x01\x01")

    assert answer.alert is None
    assert not {35, 15} & set(answer.extensions)


@pytest.mark.parametrize(
    "name", ["other.example", f"x{NAME}", f"{NAME}.other.example", f"other.{NAME}", "localhost", None], ids=str
)
@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["TLS 1.2", "TLS 1.3"])
def test_an_unknown_name_gets_no_handshake(gateway: Site, name: str | None, version: int) -> None:
    """And so no certificate either, which would tell a scanner whose gateway this is."""
    assert _say(gateway, name, version=version, ciphers=[*MODERN_13, *ALL]).alert == UNRECOGNIZED_NAME


def test_the_certificate_is_the_gateways_with_its_chain(gateway: Site) -> None:
    """A client that trusts the authority is satisfied by what it is shown; one that does not is not."""
    with contextlib.closing(connect(gateway)) as line:
        shown = line.getpeercert()
    strangers = ssl.create_default_context(cadata=Authority("another").certificate.decode())
    with socket.create_connection((ADDRESS, gateway.tls_port), 5) as line, pytest.raises(ssl.SSLCertVerificationError):
        strangers.wrap_socket(line, server_hostname=NAME)

    assert shown
    assert ("DNS", NAME) in shown["subjectAltName"]


def test_both_protocols_are_agreed_on_by_alpn(gateway: Site) -> None:
    """h2 and http/1.1, and nothing that neither side speaks."""
    with contextlib.closing(connect(gateway, "h2")) as second, contextlib.closing(connect(gateway)) as first:
        assert (second.selected_alpn_protocol(), first.selected_alpn_protocol()) == ("h2", "http/1.1")


@pytest.mark.parametrize(("path", "client"), [("/ollama/api/tags", "use"), ("/", "look"), ("/", ""), ("/x", "use")])
def test_every_answer_tells_browsers_to_come_with_tls_alone(gateway: Site, path: str, client: str) -> None:
    """Good ones and refusals, once each, by both protocols."""
    for asks in (ask, ask2):
        value = asks(gateway, "GET", path, None, bearer(gateway, client)).fields["strict-transport-security"]
        assert value.startswith("max-age=")
        assert int(value.partition("=")[2].partition(";")[0]) >= 180 * 86400
        assert "," not in value


def test_without_tls_there_is_only_the_way_to_it(gateway: Site) -> None:
    """308 to the same address, method kept; nothing reaches an engine, and the machine's own places are not there."""
    gateway.forget()
    for method, path, statuses in (
        ("GET", "/ollama/api/tags?x=y", {308}),
        ("POST", "/ollama/api/generate", {308}),
        ("GET", "/fleet.json", {308}),
        ("GET", "/ipex-upstreams", {404}),
        ("GET", "/ipex-connections", {404, 308}),
    ):
        with socket.create_connection((ADDRESS, gateway.port), 5, (OUTSIDE, 0)) as line:
            line.sendall(f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            answer = _all(line).decode()
        assert int(answer.split(" ")[1]) in statuses, (path, answer)
        if "308" in answer.partition("\r\n")[0]:
            assert f"Location: {gateway.origin}{path}\r\n" in answer
    assert gateway.arrived() == []


def test_plain_http_on_the_port_of_tls_is_refused(gateway: Site) -> None:
    """With 400, and nothing arrives."""
    gateway.forget()
    key = gateway.proofs.key("use")
    with socket.create_connection((ADDRESS, gateway.tls_port), 5) as line:
        line.sendall(
            f"GET /ollama/api/tags HTTP/1.1\r\nHost: {NAME}\r\nX-Api-Key: {key}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = _all(line)

    assert answer.startswith(b"HTTP/1.1 400 ")
    assert gateway.arrived() == []


def test_a_certificate_of_a_strange_authority_proves_nobody(gateway: Site, tmp_path: Path) -> None:
    """Nor does one whose name only looks like a client's."""
    for authority, name, status in (
        (Authority("another"), "CN=use", 400),
        (gateway.proofs.authority, "CN=use2", 401),
        (gateway.proofs.authority, "CN=xuse", 401),
        (gateway.proofs.authority, "O=CN=use", 401),
        (gateway.proofs.authority, "CN=USE", 401),
        (gateway.proofs.authority, "CN=fleet", 401),
    ):
        paths = authority.issue(name).files(tmp_path, "strange")
        gateway.proofs.certificates[name + str(status)] = paths
        answer = ask(gateway, "GET", "/ollama/api/tags", certificate=name + str(status))
        assert answer.status == status, name
