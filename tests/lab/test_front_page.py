"""The front page of a real gateway: served by its nginx, written by its program, about real nodes."""

import http.client
import json
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from lab import gateways
from tests.front_page import browser
from tests.front_page.browser import Browser
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

GATEWAY = "198.18.0.21"


def _get(path: str) -> tuple[http.client.HTTPResponse, bytes]:
    response = gateways.Connection(GATEWAY, gateways.VIEWER, timeout=10).ask("GET", path)
    return response, response.read()


def _fleet_until(condition: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
    deadline = time.monotonic() + seconds
    while True:
        found: dict[str, Any] = json.loads(_get("/fleet.json")[1])
        if condition(found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def _states(data: dict[str, Any], node: str) -> dict[str, str]:
    there = next(one for one in data["nodes"] if one["name"] == node)
    return {service["name"]: service["state"] for service in there["services"]}


def test_the_page_and_its_files_are_served_with_their_policy() -> None:
    """Each with the type a browser asks for, and with a policy under which nothing else runs."""
    for path, kind in (
        ("/", "text/html"),
        ("/assets/front-page.css", "text/css"),
        ("/assets/front-page.js", "application/javascript"),
    ):
        response, body = _get(path)

        assert (response.status, response.headers["Content-Type"]) == (200, kind)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self';")
        assert body


def test_live_data_are_fresh_and_hold_every_node_and_its_gpus() -> None:
    """Written by the gateway's clock, within its few seconds, without an address."""
    data = _fleet_until(lambda found: all(node["gpus"] for node in found["nodes"]))
    response, body = _get("/fleet.json")
    age = parsedate_to_datetime(response.headers["Date"]).timestamp() - json.loads(body)["time"]

    assert [node["name"] for node in data["nodes"]] == ["gpu-01", "gpu-02", "gpu-03"]
    assert data["environment"] == "lab"
    assert -1 <= age < 5
    assert b"198.18." not in body


def test_a_drain_is_shown_with_its_reason(lab: Lab) -> None:
    """Within seconds, and its end as well."""
    _fleet_until(lambda found: set(_states(found, "gpu-02").values()) == {"serving"})
    lab.output("gpu-02", "ipex-node drain --reason 'new fans' --wait no")
    try:
        data = _fleet_until(lambda found: set(_states(found, "gpu-02").values()) == {"draining"})
    finally:
        lab.output("gpu-02", "ipex-node undrain")
    reason = next(node["reason"] for node in data["nodes"] if node["name"] == "gpu-02")

    assert "new fans" in reason
    _fleet_until(lambda found: set(_states(found, "gpu-02").values()) == {"serving"})


@pytest.mark.usefixtures("running")
def test_a_browser_shows_the_fleet() -> None:
    """The real page from the real nginx breaks none of its own rules."""
    # That its certificate is good is for other tests: here is no list of trusted ones to put the lab's CA into.
    flags = [f"--host-resolver-rules=MAP {gateways.name()} {GATEWAY}", "--ignore-certificate-errors"]
    headers = {"Authorization": f"Bearer {gateways.key(gateways.VIEWER)}"}
    with (
        Browser(str(browser.program()), *flags) as found,
        found.page(f"https://{gateways.name()}/", width=390, headers=headers) as page,
    ):
        page.until("document.querySelectorAll('#node-rows tr').length === 3")

        assert page.complaints == []
        assert "gpu-03" in page.text()
