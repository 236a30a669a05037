"""Who gets in, and who does not, at a real gateway; every spelling of a path is tried in tests/fleet/test_access.py."""

import base64
import http.client
import json
import re
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab import authority, gateways
from lab.secrets import KEYS
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.security, pytest.mark.usefixtures("lab")]

GATEWAY = "198.18.0.21"
PLAIN = ("GET", "/ollama/api/tags")


def _status(method: str, path: str, client: str = "", body: str | None = None, **headers: str) -> int:
    """Ask as a client; nobody when empty."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = gateways.Connection(GATEWAY, client).ask(method, path, body, named)
    answer.read()
    return answer.status


def _basic(name: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


def test_nothing_is_open_to_strangers() -> None:
    """What there is and what there is not look the same, and the answer says how to get in."""
    paths = ("/", "/fleet.json", "/ollama/api/tags", "/comfyui/", "/prometheus/", "/nothing", "/ollama/api/../api/tags")
    answers = [gateways.Connection(GATEWAY, "").ask("GET", path) for path in paths]

    assert {answer.status for answer in answers} == {401}
    assert {answer.read() for answer in answers} == {b'{"error": "a key or a password is missing or wrong"}'}
    assert answers[0].headers.get_all("WWW-Authenticate") == ['Basic realm="ai-services.local"', "Bearer"]


def test_a_key_comes_in_either_header_and_whole() -> None:
    """One letter more, less or other is no key."""
    key = gateways.key(gateways.USER)
    other = key[:-1] + ("A" if key[-1] != "A" else "B")

    assert _status(*PLAIN, Authorization=f"Bearer {key}") == 200
    assert _status(*PLAIN, Authorization=f"bearer {key}") == 200
    assert _status(*PLAIN, X_Api_Key=key) == 200
    for wrong in (f"{key}A", key[:-1], other, key.upper(), key.partition("_")[2], ""):
        assert _status(*PLAIN, Authorization=f"Bearer {wrong}") == 401, wrong
        assert _status(*PLAIN, X_Api_Key=wrong) == 401, wrong


def test_a_person_has_a_password() -> None:
    """With it what she may, and with another nothing, not even to be told what there is."""
    password = (KEYS / f"{gateways.VIEWER}.password").read_text().strip()

    assert _status("GET", "/", Authorization=_basic(gateways.VIEWER, password)) == 200
    assert _status("GET", "/nothing", Authorization=_basic(gateways.VIEWER, password)) == 403
    for name, said in ((gateways.VIEWER, f"{password}x"), (gateways.VIEWER, ""), ("nobody", password)):
        assert _status("GET", "/", Authorization=_basic(name, said)) == 401
        assert _status("GET", "/nothing", Authorization=_basic(name, said)) == 401


def test_a_certificate_is_a_credential(tmp_path: Path) -> None:
    """Of a declared client, signed by the declared authority."""
    found = {}
    for name in (gateways.VIEWER, "nobody"):
        authority.client(name, tmp_path / "c.pem", tmp_path / "c.key")
        connection = gateways.Connection(GATEWAY, "")
        connection.trusted.load_cert_chain(tmp_path / "c.pem", tmp_path / "c.key")
        found[name] = connection.ask("GET", "/fleet.json").status

    assert found == {gateways.VIEWER: 200, "nobody": 401}


@pytest.mark.parametrize(
    ("method", "path", "body", "user", "operator"),
    [
        ("GET", "/ollama/v1/models", None, 200, 200),
        ("GET", "/", None, 403, 200),
        ("DELETE", "/ollama/api/delete", '{"model": "none"}', 403, 404),
        ("POST", "/comfyui/free", "{}", 403, 200),
        ("POST", "/comfyui/api/interrupt", None, 403, 200),
        ("POST", "/comfyui/interrupt", "{}", 403, 200),
        ("POST", "/comfyui/interrupt", '{"prompt_id": "none"}', 200, 200),
        ("POST", "/comfyui/queue", '{"delete": ["none"]}', 200, 200),
        ("POST", "/comfyui/queue", '{"clear": true}', 403, 200),
        ("POST", "/comfyui/api/history", '{"clear": true}', 403, 200),
        ("GET", "/ollama/debug/pprof/", None, 403, 403),
    ],
)
def test_rights_open_what_they_name(method: str, path: str, body: str | None, user: int, operator: int) -> None:
    """An operator's request reaches the engine; what is on no row reaches it for nobody."""
    assert _status(method, path, gateways.USER, body) == user
    assert _status(method, path, gateways.OPERATOR, body) == operator


def test_host_and_origin_are_the_gateways_own() -> None:
    """Another name gets no handshake or 421, another page's script 403."""
    assert _status(*PLAIN, gateways.USER, Host="elsewhere.example") == 421
    assert _status(*PLAIN, gateways.USER, Origin="https://elsewhere.example") == 403
    assert _status(*PLAIN, gateways.USER, Origin="null") == 403
    assert _status(*PLAIN, gateways.USER, Origin=f"https://{gateways.name()}") == 200
    with socket.create_connection((GATEWAY, 443), 10) as plain, pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        gateways.trusted().wrap_socket(plain, server_hostname="elsewhere.example")


def test_without_tls_there_is_only_the_way_to_it() -> None:
    """What nginx tells this machine it tells nobody else."""
    found = {}
    for path in ("/ollama/api/tags?x=1", "/ipex-upstreams", "/ipex-connections"):
        connection = http.client.HTTPConnection(GATEWAY, 80, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        found[path] = (answer.status, answer.headers["Location"])

    assert found == {
        "/ollama/api/tags?x=1": (308, f"https://{gateways.name()}/ollama/api/tags?x=1"),
        "/ipex-upstreams": (404, None),
        "/ipex-connections": (404, None),
    }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_protocols_are_refused(version: ssl.TLSVersion) -> None:
    """Also by a client that would still speak them."""
    context = gateways.trusted()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with socket.create_connection((GATEWAY, 443), 10) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain, server_hostname=gateways.name())


def test_prometheus_is_behind_the_gateway() -> None:
    """Its page finds its own files, and its API answers."""
    first = gateways.Connection(GATEWAY, gateways.VIEWER).ask("GET", "/prometheus/")
    page = gateways.Connection(GATEWAY, gateways.VIEWER).ask("GET", first.headers["Location"])
    scripts = re.findall(r'<script src="([^"]+)"', page.read().decode())
    answer = gateways.Connection(GATEWAY, gateways.VIEWER).ask("GET", "/prometheus/api/v1/query?query=up")

    assert page.status == 200
    assert scripts
    assert {_status("GET", script, gateways.VIEWER) for script in scripts} == {200}
    assert json.load(answer)["status"] == "success"


def test_a_hundred_users_of_one_key_are_served_and_a_greedy_client_is_told_to_wait(lab: Lab) -> None:
    """A hundred streams at once; then one person asks ten times what one may, and others do not notice."""
    question = json.dumps({"model": "tinyllama", "prompt": "hello", "options": {"num_predict": 2}})

    def generate(_: int) -> int:
        return _status("POST", "/ollama/api/generate", gateways.USER, question)

    with ThreadPoolExecutor(100) as crowd:
        assert set(crowd.map(generate, range(100))) == {200}
    # From the gateway itself, so that the person has an address, and its account, to herself.
    one = r"url = https://ai-services.local/ollama/api/version\noutput = /dev/null\n"
    burst = lab.output(
        "gateway-01",
        f"for i in $(seq 2000); do printf '{one}'; done > /tmp/many; curl -sk --parallel --parallel-max 100"
        " --config /tmp/many -w '%{http_code} %header{retry-after}\\n' -H 'Authorization: Bearer"
        f" {gateways.key(gateways.VIEWER)}' --connect-to ai-services.local:443:127.0.0.1:443; rm /tmp/many",
    )
    counted = Counter(line.strip() for line in burst.splitlines())

    assert counted["429 2"] > 0
    assert set(counted) == {"200", "429 2"}
    assert _status(*PLAIN, gateways.USER) == 200


def test_slow_headers_are_let_go() -> None:
    """Ten seconds for a header, however it drips."""
    with socket.create_connection((GATEWAY, 443), 0.5) as plain:
        line = gateways.trusted().wrap_socket(plain, server_hostname=gateways.name())
        begun = time.monotonic()
        line.sendall(b"GET /ollama/api/tags HTTP/1.1\r\nHost: ai-services.local\r\n")
        while _is_open(line) and time.monotonic() < begun + 20:
            pass

        assert 8 < time.monotonic() - begun < 13


def _is_open(line: ssl.SSLSocket) -> bool:
    """Send a piece of a header and wait for a while whether the other side has had enough."""
    try:
        line.sendall(b"X: y\r\n")
        return bool(line.recv(100))
    except TimeoutError:
        return True
    except (ConnectionError, ssl.SSLError):
        return False
