"""The front page's data, and what of it lands on a gateway."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from fleet import checks, desired
from fleet.model import Fleet
from fleet.tls import Tls

ROOT = Path(__file__).parents[2]


def _with_page(fleet: Fleet, **changes: Any) -> Fleet:
    node = fleet["gateway-01"]
    assert node.gateway
    page = dataclasses.replace(node.gateway.front_page, **changes)
    changed = dataclasses.replace(node, gateway=dataclasses.replace(node.gateway, front_page=page))
    return dataclasses.replace(fleet, nodes=tuple(changed if one == node else one for one in fleet.nodes))


def _content(fleet: Fleet, end: str) -> str:
    files = desired.generation(fleet["gateway-01"], fleet).files
    return next(file.content.decode() for file in files if file.path.endswith(end))


@pytest.mark.parametrize(
    ("changes", "address"),
    [
        ({"write_seconds": 0}, "front_page.write_seconds"),
        ({"poll_seconds": 0}, "front_page.poll_seconds"),
        ({"stale_seconds": 7}, "front_page.stale_seconds"),
        ({"links": {"Chat": "javascript:alert(1)"}}, "front_page.links.Chat"),
    ],
)
def test_what_cannot_be_meant_is_refused(example: Fleet, changes: dict[str, Any], address: str) -> None:
    """Data that are always stale, and a link that would be a script."""
    found = [problem.what for problem in checks.run(_with_page(example, **changes))]

    assert len(found) == 1
    assert address in found[0]


def test_no_service_takes_the_pages_own_path(example: Fleet) -> None:
    """/assets/ is the page's: nginx would refuse two locations of one name."""
    node = example["gpu-01"]
    route = dataclasses.replace(node.services[0].route, path="/assets/")
    nodes = tuple(
        dataclasses.replace(one, services=(dataclasses.replace(one.services[0], route=route), *one.services[1:]))
        if one.is_gpu
        else one
        for one in example.nodes
    )
    found = [problem.what for problem in checks.run(dataclasses.replace(example, nodes=nodes))]

    assert any("/assets/ belongs to the front page" in what for what in found)


def test_further_links_stand_at_the_end(example: Fleet) -> None:
    """What is data is escaped, whoever wrote it."""
    page = _content(_with_page(example, links={"Q&A <b>": 'https://docs.example.com/?a="b"&c'}), "index.html")

    assert '<a href="https://docs.example.com/?a=&#34;b&#34;&amp;c">Q&amp;A &lt;b&gt;</a>' in page


def test_all_data_in_the_page_are_escaped() -> None:
    """Every value goes through `e`, but for the page's own places and numbers."""
    template = (ROOT / "templates/www/index.html.j2").read_text()
    values = set(re.findall(r"{{ (.*?) }}", template))

    assert {value for value in values if not value.endswith("| e")} == {
        "assets",
        "live",
        "page.poll_seconds",
        "page.stale_seconds",
    }


def test_the_script_makes_no_markup_of_text() -> None:
    """None of the ways in which a string becomes elements or code is used at all."""
    script = (ROOT / "templates/www/front-page.js").read_text()

    assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval|Function\(", script)


def test_the_page_asks_nobody_but_the_gateway(example: Fleet) -> None:
    """No address of another server in style and script, and a policy that would forbid it."""
    server = _content(example, "/server.conf")

    for name in ("front-page.css", "front-page.js"):
        content = _content(example, name).replace("http://www.w3.org/2000/svg", "")
        assert not re.findall(r"https?:|url\(|@import|import\(", content)
    assert server.count("Content-Security-Policy \"default-src 'self'; base-uri 'none';") == 2


def test_a_gateway_on_another_port_says_so(example: Fleet) -> None:
    """What users copy from the page is an address that works."""
    node = example["gateway-01"]
    assert node.gateway
    moved = dataclasses.replace(node, gateway=dataclasses.replace(node.gateway, tls=Tls(8443, 0)))
    fleet = dataclasses.replace(example, nodes=tuple(moved if one == node else one for one in example.nodes))

    assert "https://ai-services.local:8443/ollama/v1" in _content(fleet, "index.html")
    assert "https://ai-services.local/ollama/v1" in _content(example, "index.html")
