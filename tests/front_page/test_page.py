"""The front page in a real browser, with live data as the gateway's program writes them."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.front_page.browser import Browser, Page
from tests.front_page.site import Site
from tests.front_page.stories import MARKUP, STORIES

pytestmark = pytest.mark.timeout(120)

Story = Callable[[str], dict[str, Any]]
LIVE = "document.documentElement.classList.contains('is-live')"
STALE = "document.documentElement.classList.contains('is-stale')"


def _headline(page: Page) -> str:
    return str(page.value("document.getElementById('headline').textContent")).replace("\u2011", "-")


def _row(page: Page, node: str) -> str:
    """Return what a person reads of a node, on one line."""
    rows = page.value("[...document.querySelectorAll('#node-rows tr')].map((row) => row.innerText)")
    return " ".join(next(row for row in rows if row.startswith(node)).split())


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", STORIES)
def test_every_fleet_fits_the_screen_and_breaks_no_rule(
    running: Browser, site: Site, story: Story, name: str, width: int
) -> None:
    """On a phone and on a desk: nothing to scroll sideways, nothing the page's policy forbids, no error, no markup."""
    site.data = story(name)
    with running.page(site.url, width=width) as page:
        page.until(LIVE)

        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.complaints == []
        assert page.value("document.title") == "ai-services.local"
        assert page.value("document.querySelectorAll('main script, main img').length") == 0
        assert set(site.asked) <= {"/", "/fleet.json", "/assets/front-page.css", "/assets/front-page.js"}


@pytest.mark.parametrize(
    ("name", "headline"),
    [
        ("healthy", "All 3 nodes serve."),
        ("condemned", "2 of 3 nodes serve in full, gpu-02 does not."),
        ("draining", "2 of 3 nodes serve in full, gpu-02 does not."),
        ("silent", "No node answers."),
        ("empty", "This fleet has no GPU nodes."),
        ("hundred", "97 of 100 nodes serve in full, gpu-017, gpu-042 and gpu-063 do not."),
    ],
)
def test_the_first_line_says_how_the_fleet_is(
    running: Browser, site: Site, story: Story, name: str, headline: str
) -> None:
    """One sentence, told to those who listen as well, whenever it changes."""
    site.data = story(name)
    with running.page(site.url) as page:
        page.until(LIVE)

        assert _headline(page) == headline
        assert page.value("document.getElementById('headline').getAttribute('role')") == "status"


@pytest.mark.parametrize(
    ("name", "node", "words"),
    [
        ("healthy", "gpu-01", ["ollama serving, 2 in flight", "Arc A770 i915", "85 %", "6.9 of 15.9 GiB", "52 °C"]),
        ("healthy", "gpu-03", ["Arc A770", "Arc B580", "generation 4f1c09aa83d2b7e6"]),
        ("condemned", "gpu-02", ["ollama condemned ollama:generates: no token within 180 s", "comfyui serving, 1 in"]),
        ("draining", "gpu-02", ["draining: new fans", "ollama draining, 2 in flight", "comfyui draining"]),
        ("silent", "gpu-02", ["does not answer", "last heard 67 min ago", "ollama silent", "measured 67 min ago"]),
        ("silent", "gpu-03", ["never heard", "ollama in doubt looks down", "not measured yet"]),
        ("hundred", "gpu-017", ["activating", "ollama changing"]),
        ("hundred", "gpu-042", ["ollama serving", "comfyui down"]),
    ],
)
def test_a_node_is_told_in_words(  # noqa: PLR0913,PLR0917 - two of them are fixtures of the browser
    running: Browser, site: Site, story: Story, name: str, node: str, words: list[str]
) -> None:
    """Whoever sees no colours reads the same: state, reason, load, GPUs, generation, and when it was last heard."""
    site.data = story(name)
    with running.page(site.url) as page:
        page.until(LIVE)
        row = _row(page, node)

        for word in words:
            assert word in row


def test_no_two_tones_share_a_shape(running: Browser, site: Site, story: Story) -> None:
    """What is well, on its way, ill and unknown differ by more than colour."""
    site.data = story("condemned")
    site.data["nodes"][0]["services"] = [
        {"name": state, "state": state, "reason": "", "in_flight": None}
        for state in ("serving", "doubted", "returning", "draining", "changing", "condemned", "down", "silent", "new")
    ]
    with running.page(site.url) as page:
        page.until(LIVE)
        marks = page.value(
            "[...document.querySelectorAll('.mark')].map((mark) => [mark.getAttribute('class'),"
            " mark.firstChild.getAttribute('href')])"
        )

        tones: dict[str, set[str]] = {}
        for tone, shape in marks:
            tones.setdefault(shape, set()).add(tone)
        assert len(tones) == 6
        assert all(len(found) == 1 for found in tones.values()), tones
        assert all(page.value(f"document.querySelector('symbol{shape}') !== null") for shape in tones)


def test_who_needs_a_look_comes_first(running: Browser, site: Site, story: Story) -> None:
    """Of a hundred nodes nobody reads all."""
    site.data = story("hundred")
    with running.page(site.url) as page:
        page.until(LIVE)
        names = page.value("[...document.querySelectorAll('#node-rows th')].map((name) => name.firstChild.data)")

        assert names[:4] == ["gpu-017", "gpu-042", "gpu-063", "gpu-001"]
        assert len(names) == 100


def test_markup_from_a_node_is_text(running: Browser, site: Site, story: Story) -> None:
    """A name, a reason, a generation and a driver that are scripts are shown, and do nothing."""
    site.data = story("hostile")
    with running.page(site.url) as page:
        page.until(LIVE)

        assert MARKUP in page.text()
        assert page.value("document.title") == "ai-services.local"
        assert page.value("document.querySelectorAll('tbody script, tbody img').length") == 0


def test_objectives_are_met_missed_or_unknown(running: Browser, site: Site, story: Story) -> None:
    """A monitor that has not answered is no objective met."""
    site.data = story("condemned")
    with running.page(site.url) as page:
        page.until(LIVE)
        told = page.value("document.getElementById('objective-rows').innerText")
    site.data = {**site.data, "objectives": None}
    with running.page(site.url) as page:
        page.until(LIVE)
        unknown = page.value("document.getElementById('objective-rows').innerText")

    assert re.search(r"availability, ollama met\s+93 % of the error budget left", told)
    assert re.search(r"latency, ollama missed\s+the error budget is overspent", told)
    assert unknown == "unknown: no monitor has told"


def test_old_data_are_shown_as_old(running: Browser, site: Site, story: Story) -> None:
    """The gateway's program has ended: nginx goes on serving what it left, and the page says how old that is."""
    site.data, site.age = story("healthy"), 190
    with running.page(site.url) as page:
        page.until(STALE)

        assert _headline(page) == "No fresh word from the fleet."
        assert "What is shown is 3 min old." in page.text()


def test_a_gateway_without_data_says_so_and_is_asked_again(running: Browser, site: Site, story: Story) -> None:
    """Just deployed: the services are listed, the rest comes by itself."""
    with running.page(site.url) as page:
        page.until(STALE)
        without = page.text()
        site.data = story("healthy")
        page.until(LIVE)
        page.until(f"!{STALE}")

        assert "The gateway has no live data." in without
        assert "/ollama/" in without
        assert "Nodes" not in without
        assert _headline(page) == "All 3 nodes serve."


def test_a_change_shows_by_itself(running: Browser, site: Site, story: Story) -> None:
    """An open page follows the fleet, and leaves rows alone in which nothing has changed."""
    site.data = story("healthy")
    with running.page(site.url) as page:
        page.until(LIVE)
        page.value("window.before = [...document.querySelectorAll('#node-rows tr')]; 0")
        changed = {**site.data["nodes"][1], "reason": "draining: new fans"}
        site.data = {**site.data, "nodes": [site.data["nodes"][0], changed]}
        page.until("document.querySelectorAll('#node-rows tr').length === 2")

        assert _headline(page) == "All 2 nodes serve."
        assert page.value("before.map((row) => row.isConnected)") == [True, False, False]
        assert "draining: new fans" in _row(page, "gpu-02")


def test_without_a_script_the_services_are_there(running: Browser, site: Site) -> None:
    """The page's own text leads to every service, and promises no live numbers."""
    with running.page(site.url, script=False) as page:
        told = page.text()

        assert "shown with JavaScript only" in told
        assert page.value("[...document.querySelectorAll('tbody a')].map((link) => link.getAttribute('href'))") == [
            "/comfyui/",
            "/ollama/",
        ]
        assert "In flight" not in told
        assert page.complaints == []


def test_a_listener_finds_landmarks_and_tables(running: Browser, site: Site, story: Story) -> None:
    """Header, main and footer; on a phone, where rows are blocks, a table is still one to a screen reader."""
    site.data = story("healthy")
    with running.page(site.url, width=390) as page:
        page.until(LIVE)
        tree = page.command("Accessibility.getFullAXTree")["nodes"]
        roles = [node["role"]["value"] for node in tree if not node["ignored"]]
        bare = page.value(
            "[...document.querySelectorAll('table, thead, tbody, tr, th, td')]"
            ".filter((one) => !one.hasAttribute('role')).map((one) => one.outerHTML)"
        )

    # Not every browser keeps a table's meaning where its parts are shown as blocks.
    assert bare == []
    assert {"banner", "main", "contentinfo", "heading", "region", "status"} <= set(roles)
    assert roles.count("table") == 2
    assert roles.count("columnheader") == 4 + 3
    assert roles.count("rowheader") == 2 + 3


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["condemned", "silent"])
def test_every_word_can_be_read(running: Browser, site: Site, story: Story, name: str, dark: bool) -> None:
    """Contrast of at least 4.5 (WCAG 2.2, 1.4.3), light and dark, fresh and old."""
    site.data = story(name)
    for age in (1, 600):
        site.age = age
        with running.page(site.url, dark=dark) as page:
            page.until(LIVE)
            page.until(f"{STALE} === {'true' if age > 1 else 'false'}")

            assert page.value(_LOW_CONTRAST) == []


_LOW_CONTRAST = """
(() => {
  const light = (colour) => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map((part) => part / 255);
    const linear = parts.map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const speaks = (element) => [...element.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  const words = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && speaks(one));
  return words.filter((element) => {
    const ink = light(getComputedStyle(element).color);
    return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05) < 4.5;
  }).map((element) => element.outerHTML);
})()
"""
