"""The gateway and the monitor, asked as their users would."""

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import gateways
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

GATEWAY = "198.18.0.21"
PROMETHEUS = "198.18.0.31"


def _request(
    method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> http.client.HTTPResponse:
    return gateways.Connection(GATEWAY).ask(method, path, body, headers)


def _arrivals(response: http.client.HTTPResponse) -> Iterator[tuple[float, bytes]]:
    while line := response.readline():
        yield time.monotonic(), line


def test_models_are_listed_with_the_prefix_stripped() -> None:
    """/ollama/api/tags reaches an engine as /api/tags, and the answer names the node."""
    response = _request("GET", "/ollama/api/tags")

    assert response.status == 200
    assert json.load(response)["models"]
    assert response.headers["X-Ipex-Node"] in {"gpu-01", "gpu-02", "gpu-03"}


def test_a_generation_streams_token_by_token() -> None:
    """Ten tokens at 50 ms each arrive spread over time, not at the end in one piece."""
    body = json.dumps({"model": "tinyllama", "prompt": "hello", "options": {"num_predict": 10}}).encode()
    response = _request("POST", "/ollama/api/generate", body)
    arrivals = list(_arrivals(response))
    last = json.loads(arrivals[-1][1])

    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert len(arrivals) > 5
    assert last["done"] is True
    assert last["eval_count"] == 10
    spread = arrivals[-1][0] - arrivals[0][0]
    assert spread > last["eval_duration"] / 1e9 / 2


def test_requests_reach_every_node() -> None:
    """Thirty requests, held open together, are answered by all three nodes."""
    body = json.dumps({"model": "tinyllama", "prompt": "hello", "options": {"num_predict": 5}}).encode()
    with ThreadPoolExecutor(30) as pool:
        responses = list(pool.map(lambda _: _request("POST", "/ollama/api/generate", body), range(30)))

    assert {response.headers["X-Ipex-Node"] for response in responses} == {"gpu-01", "gpu-02", "gpu-03"}
    assert all(b'"done":true' in response.read().replace(b" ", b"") for response in responses)


def test_a_comfyui_session_stays_on_its_node() -> None:
    """The cookie of the first answer brings every later request to the same node, and is set once."""
    first = _request("GET", "/comfyui/system_stats")
    first.read()
    node = first.headers["X-Ipex-Node"]
    cookie = first.headers["Set-Cookie"].split(";")[0]
    later = [_request("GET", "/comfyui/queue", headers={"Cookie": cookie}) for _ in range(12)]

    assert cookie == f"ipex_comfyui={node}"
    assert {response.headers["X-Ipex-Node"] for response in later} == {node}
    assert [response.headers["Set-Cookie"] for response in later] == [None] * 12


def test_an_upload_of_100_mib_passes_and_a_larger_one_is_refused() -> None:
    """A file of 100 MiB in multipart is taken, 102 MiB are answered 413."""
    statuses = []
    for mebibytes in (100, 102):
        boundary = "ipex"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="large.png"\r\n\r\n'
        body = head.encode() + bytes(mebibytes * 2**20) + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        try:
            statuses.append(_request("POST", "/comfyui/upload/image", body, headers).status)
        except (BrokenPipeError, ConnectionResetError):
            statuses.append(413)  # nginx may close before the body is through

    assert statuses == [200, 413]


def test_the_prefix_without_its_slash_redirects() -> None:
    """/comfyui leads to /comfyui/, so that a typed address works."""
    response = _request("GET", "/comfyui")

    assert response.status == 308
    assert response.headers["Location"].endswith("/comfyui/")


def test_prometheus_scrapes_every_node(lab: Lab) -> None:
    """All targets of all nodes are up within two scrape intervals."""
    question = f"curl -sf http://{PROMETHEUS}:9091/api/v1/targets?state=active"
    deadline = time.monotonic() + 45
    health: dict[tuple[str, str], str] = {}
    while time.monotonic() < deadline:
        targets = json.loads(lab.output("monitor-01", question))["data"]["activeTargets"]
        health = {(target["labels"]["job"], target["labels"]["node"]): target["health"] for target in targets}
        if set(health.values()) == {"up"}:
            break
        time.sleep(0.5)

    names = {"gpu-01", "gpu-02", "gpu-03", "gateway-01", "gateway-02", "monitor-01"}
    assert {node for job, node in health if job == "ipex"} == names
    assert {node for job, node in health if job == "node"} == names
    assert set(health.values()) == {"up"}, health


def test_a_failed_verification_fails_the_deploy_and_says_where(lab: Lab) -> None:
    """Engines that answer but cut every stream: the deploy exits non-zero and names gateway, route and cause."""
    gpus = ("gpu-01", "gpu-02", "gpu-03")
    lab.output("gateway-01", "rm -f /var/lib/ipex/verified")
    for name in gpus:
        lab.output(
            name, 'mkdir -p /run/ipex-lab/faults && echo \'{"generate": "cut"}\' > /run/ipex-lab/faults/ollama.json'
        )
    try:
        run = lab.deploy("-y")
    finally:
        for name in gpus:
            lab.output(name, "rm -f /run/ipex-lab/faults/ollama.json")
    again = lab.deploy("-y")

    assert run.returncode == 1
    assert "gateway-01" in run.stdout
    assert "/ollama/" in run.stdout
    assert again.returncode == 0, again.stdout
    assert "Nothing to change" not in again.stdout


@pytest.mark.parametrize("name", ["gateway-01", "gateway-02"])
def test_a_gateways_ports_are_used_again(lab: Lab, name: str) -> None:
    """The kernel has been told so, and what somebody has changed by hand is put right by the unit."""
    setting = "/proc/sys/net/ipv4/tcp_tw_reuse"

    assert lab.output(name, f"cat {setting}").strip() == "1"

    lab.output(name, f"echo 2 > {setting} && systemctl restart ipex-gateway-kernel")

    assert lab.output(name, f"cat {setting}").strip() == "1"
