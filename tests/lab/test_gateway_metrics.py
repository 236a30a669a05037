"""What the gateway's log, its exporters and the monitor's probes say of real requests."""

import base64
import http.client
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import faults, gateways
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

GATEWAY = "198.18.0.21"
LOGS = Path(__file__).parents[1] / "gateway_logs"
WORDS = "a-word-of-mine"
OLLAMA = 'ipex_gateway_requests_total{code="200",service="ollama"}'
CUT = 'ipex_gateway_truncated_total{service="ollama"}'
SECONDS = 10
"""Until what nginx has written is counted; mtail looks four times a second."""


def _ask(
    path: str, body: bytes | None = None, headers: dict[str, str] | None = None, client: str = gateways.USER
) -> http.client.HTTPResponse:
    return gateways.Connection(GATEWAY, client).ask("POST" if body else "GET", path, body, headers)


def _counted(lab: Lab) -> Counter[str]:
    """What mtail shows to the monitor."""
    page = lab.output("monitor-01", f"curl -sf -m 5 http://{GATEWAY}:3903/metrics")
    return Counter(
        {name: int(value) for name, value in re.findall(r"^(ipex_\S+_total\{.*\}) (\d+)$", page, re.MULTILINE)}
    )


def _await(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.25)


def _logged(lab: Lab, response: http.client.HTTPResponse) -> dict[str, object]:
    """The line of the access log that an answer names; nginx writes it when the request has ended."""
    question = f"grep -h {response.headers['X-Request-Id']} /var/log/nginx/access.log"
    _await(lambda: lab.run("gateway-01", question).returncode == 0)
    line: dict[str, object] = json.loads(lab.output("gateway-01", question))
    return line


@pytest.fixture
def engines_that_cut(lab: Lab) -> Iterator[None]:
    """Every Ollama breaks its answers off in their middle."""
    for name in lab.gpus:
        lab.output(name, faults.inflict("ollama", generate="cut"))
    yield
    for name in lab.gpus:
        lab.output(name, faults.clear("ollama"))


def test_every_request_of_a_user_is_counted_once(lab: Lab) -> None:
    """Twenty requests are twenty; what the gateway asks itself is none, nor is a stranger's."""
    before = _counted(lab)
    lab.output("gateway-01", "ipex-node verify")
    assert _ask("/ollama/api/tags", client="").status == 401
    for _ in range(20):
        assert _ask("/ollama/api/tags").read()
    _await(lambda: _counted(lab)[OLLAMA] >= before[OLLAMA] + 20)

    assert _counted(lab)[OLLAMA] == before[OLLAMA] + 20


@pytest.mark.usefixtures("engines_that_cut")
def test_a_stream_that_is_cut_counts_as_truncated_although_nginx_logs_200(lab: Lab) -> None:
    """An error to the user, a success in the access log, and an error in what is counted."""
    _ask("/ollama/api/tags").read()
    before = _counted(lab)
    response = _ask("/ollama/api/generate", json.dumps({"model": "tinyllama", "prompt": "hello"}).encode())
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        response.read()
    _await(lambda: _counted(lab)[CUT] > before[CUT])

    assert _counted(lab)[CUT] == before[CUT] + 1
    assert _logged(lab, response)["status"] == 200


def test_no_word_of_a_user_is_in_the_log(lab: Lab) -> None:
    """Not of the path, the query, the body, nor of any header; a name that somebody claims is none of ours."""
    headers = dict.fromkeys(("Cookie", "Referer", "User-Agent", "X-Api-Key", "X-Request-Id"), WORDS)
    responses = [
        _ask(path, json.dumps({"model": "tinyllama", "prompt": WORDS}).encode(), headers)
        for path in (f"/ollama/api/generate?prompt={WORDS}", f"/ollama/{WORDS}", f"/comfyui/view?filename={WORDS}")
    ]
    claimed = base64.b64encode(f"{WORDS}:{WORDS}".encode()).decode()
    responses.append(_ask("/ollama/api/tags", headers={**headers, "Authorization": f"Basic {claimed}"}))
    for response in responses:
        response.read()
    callers = [(_logged(lab, response)["by"], _logged(lab, response)["key"]) for response in responses]
    calls = [_logged(lab, response)["call"] for response in responses]

    assert calls == ["api/generate", "other", "view", "api/tags"]
    assert callers == [("user", gateways.USER)] * 3 + [("nobody", "")]
    assert lab.run("gateway-01", f"grep {WORDS} /var/log/nginx/access.log").returncode == 1


def test_a_rotation_of_the_logs_loses_no_request(lab: Lab) -> None:
    """What is asked before, while and after it is counted; nginx writes into the new file, which stays adm's."""
    before = _counted(lab)
    for turn in range(15):
        if turn == 7:
            lab.output("gateway-01", "logrotate --force /etc/logrotate.d/nginx")
        assert _ask("/ollama/api/tags").read()
    _await(lambda: _counted(lab)[OLLAMA] >= before[OLLAMA] + 15)

    assert _counted(lab)[OLLAMA] == before[OLLAMA] + 15
    assert lab.output("gateway-01", "stat -c %U:%G:%a /var/log/nginx/access.log") == "www-data:adm:640"
    assert _logged(lab, _ask("/ollama/api/tags"))["service"] == "ollama"


def test_recorded_logs_are_counted_as_they_were(lab: Lab) -> None:
    """Debian's mtail, with the program that runs there, on logs with requests of every kind."""
    lab.push("gateway-01", LOGS, "/tmp/ipex-logs")  # noqa: S108 - on a node of the lab
    program = (
        "mtail --port 0 --one_shot --one_shot_format=prometheus --emit_prog_label=false"
        " --progs /etc/mtail/ipex-gateway.mtail"
    )
    page = lab.output("gateway-01", f"{program} --logs /tmp/ipex-logs/access.txt,/tmp/ipex-logs/error.txt 2>/dev/null")
    found = {name: float(value) for name, value in re.findall(r"^(ipex_\S+) (\S+)$", page, re.MULTILINE)}

    assert {name: value for name, value in found.items() if value and "_total" in name} == {
        'ipex_gateway_requests_total{code="101",service="comfyui"}': 1,
        'ipex_gateway_requests_total{code="200",service="comfyui"}': 2,
        'ipex_gateway_requests_total{code="200",service="ollama"}': 10,
        'ipex_gateway_requests_total{code="499",service="ollama"}': 1,
        'ipex_gateway_requests_total{code="500",service="ollama"}': 1,
        'ipex_gateway_requests_total{code="502",service="ollama"}': 1,
        'ipex_gateway_truncated_total{service="comfyui"}': 1,
        'ipex_gateway_truncated_total{service="ollama"}': 4,
    }
    # A bound belongs to its bucket, and a websocket and a failure are no answer that was waited for.
    assert found['ipex_gateway_first_byte_seconds_bucket{service="ollama",le="0.25"}'] == 9
    assert found['ipex_gateway_first_byte_seconds_count{service="ollama"}'] == 10
    assert found['ipex_gateway_request_duration_seconds_bucket{service="ollama",le="2"}'] == 9
    assert found['ipex_gateway_request_duration_seconds_count{service="comfyui"}'] == 2


def test_only_monitors_are_answered(lab: Lab) -> None:
    """A GPU node is turned away by the firewall, and without that by the units themselves; the monitor is answered."""
    for port, family in ((3903, "mtail_lines_total"), (9113, "nginx_up 1")):
        question = f"curl -sf -m 3 http://{GATEWAY}:{port}/metrics"
        assert family in lab.output("monitor-01", question)
        refused = lab.run("gpu-01", question).returncode
        lab.output("gateway-01", "systemctl stop ipex-firewall")
        try:
            silent = lab.run("gpu-01", question).returncode
        finally:
            lab.output("gateway-01", "systemctl start ipex-firewall")
        # curl's: 7, no connection; 28, no answer.
        assert (refused, silent) == (7, 28)


def test_mtail_sees_nginx_logs_and_no_others(lab: Lab) -> None:
    """The group adm reads much in /var/log; none of it is there for mtail."""
    pid = lab.output("gateway-01", "systemctl show -p MainPID --value mtail")

    assert lab.output("gateway-01", f"nsenter --target {pid} --mount ls /var/log") == "nginx"


def test_public_addresses_are_asked_by_the_monitor(lab: Lab) -> None:
    """Front page and both routes answer the prober, and Prometheus knows it."""
    question = "curl -sfG http://localhost:9091/api/v1/query --data-urlencode 'query=probe_success{job=\"blackbox\"}'"
    deadline = time.monotonic() + 45
    found: dict[str, str] = {}
    while found != dict.fromkeys(("/", "/comfyui/", "/ollama/"), "1"):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
        answer = json.loads(lab.output("monitor-01", question))["data"]["result"]
        found = {series["metric"]["route"]: series["value"][1] for series in answer}
