"""ComfyUI's own web interface, in a real browser, through the real gateway.

The engines behind it are the lab's; its files are those of the published package, put on the nodes for these tests.
"""

import importlib.util
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from lab import gateways
from lab.secrets import KEYS
from tests.front_page import browser
from tests.front_page.browser import Browser, Page
from tests.lab_fleet import Lab

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("interface"), pytest.mark.timeout(180)]

ADDRESS = "198.18.0.21"
GATEWAY = f"https://{gateways.name()}"
PATH = "/comfyui/"
FILES = "/lab/front-end"
# Files that a user has not made yet, templates that are a package of their own: the interface asks and takes a no.
ABSENT = re.compile(r"user\.css|api/userdata(/user\.css|/comfy\.templates\.json|\?dir=\w+&.*)|templates/index\w*\.json")
READY = "!!(window.app && app.vueAppReady && app.canvas && app.api.clientId)"
WORKFLOW = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "interface"}},
}
PICTURES = "app.rootGraph.nodes.flatMap((node) => node.imgs ?? []).filter((one) => one.naturalWidth)"


class Elsewhere:
    """Another site, of this machine's, with one empty page; for the time of a `with` block."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Empty)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Empty(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        pass


@pytest.fixture(scope="module")
def interface(lab: Lab) -> Iterator[None]:
    """The interface's files on every GPU node."""
    package = importlib.util.find_spec("comfyui_frontend_package")
    assert package
    assert package.origin
    for name in lab.gpus:
        lab.push(name, Path(package.origin).parent / "static", FILES, "--exclude=*.map")
    yield
    for name in lab.gpus:
        lab.output(name, f"rm -rf {FILES}")


@pytest.fixture
def visitor(running: Browser) -> Iterator[Browser]:  # noqa: ARG001 - there is one
    """A browser that was never there before."""
    # That the certificate is good is for other tests: here is no list of trusted ones to put the lab's CA into.
    flags = [f"--host-resolver-rules=MAP {gateways.name()} {ADDRESS}", "--ignore-certificate-errors"]
    with Browser(str(browser.program()), *flags) as found:
        yield found


@pytest.fixture
def page(visitor: Browser) -> Iterator[Page]:
    """The interface, ready for a person who has typed name and password."""
    login = (gateways.VIEWER, (KEYS / f"{gateways.VIEWER}.password").read_text().strip())
    with visitor.page(f"{GATEWAY}{PATH}", login=login) as found:
        found.until(READY, 60)
        yield found


def _nodes(page: Page) -> set[str]:
    """Which nodes have answered what the page asked of the gateway."""
    return {answer["headers"].get("x-ipex-node", "") for answer in page.answers if _is_gateways(answer.get("url", ""))}


def _is_gateways(url: str) -> bool:
    return urlsplit(url).hostname == urlsplit(GATEWAY).hostname


def _run(page: Page) -> None:
    """Load a workflow and press Run, as a person does, until its picture is shown."""
    page.value(f"app.loadApiJson({json.dumps(WORKFLOW)}, 'interface.json')")
    page.until("app.rootGraph.nodes.some((node) => node.type === 'SaveImage')")
    page.until("!!document.querySelector('[data-testid=queue-button]')")
    page.value("document.querySelector('[data-testid=queue-button]').click()")
    page.until(f"{PICTURES}.length > 0", 30)


def test_it_stays_below_its_path_and_asks_nobody_else(page: Page) -> None:
    """Page, scripts, API and websocket are all below the prefix; nothing fails but what is not there yet."""
    asked = [one["url"] for one in page.requests if urlsplit(one["url"]).scheme not in {"data", "blob"}]
    sockets = [url for url in asked if urlsplit(url).scheme in {"ws", "wss"}]
    refused = [answer["url"] for answer in page.answers if answer["status"] >= 400]
    errors = [line for line in page.complaints if '"level": "error"' in line or "exceptionThrown" in line]

    assert len(asked) > 200
    assert [url for url in asked if not (_is_gateways(url) and urlsplit(url).path.startswith(PATH))] == []
    assert [urlsplit(url).path for url in sockets] == [f"{PATH}ws"]
    assert 101 in {answer["status"] for answer in page.answers}
    assert [url for url in refused if not ABSENT.fullmatch(url.partition(PATH)[2])] == []
    assert [line for line in errors if not ABSENT.search(line)] == []


def test_run_shows_a_picture_and_a_reload_keeps_the_session(page: Page) -> None:
    """Run is pressed, and the picture appears in its node; after a reload the same node still has it.

    The cookie is given once, before anything else is asked.
    """
    _run(page)
    width, before = page.value(f"{PICTURES}[0].naturalWidth"), _nodes(page)
    page.reload()
    page.until(READY, 60)
    listed = page.value("app.api.getHistory().then((jobs) => jobs.length)")
    given = [answer for answer in page.answers if "set-cookie" in answer["headers"]]

    assert width == 64
    assert len(before) == 1
    assert _nodes(page) == before
    assert listed > 0
    assert len(given) <= 1


def test_a_picture_and_a_workflow_are_kept_on_the_node(page: Page) -> None:
    """An upload is shown again; a workflow in a folder, whose encoded slash must stay encoded, is read again."""
    uploaded: dict[str, Any] = page.value(
        """(async () => {
            const canvas = Object.assign(document.createElement('canvas'), {width: 8, height: 8});
            const blob = await new Promise((done) => canvas.toBlob(done));
            const form = new FormData();
            form.append('image', blob, 'a picture é.png');
            const sent = await app.api.fetchApi('/upload/image', {method: 'POST', body: form});
            const {name} = await sent.json();
            const shown = await app.api.fetchApi(`/view?type=input&filename=${encodeURIComponent(name)}`);
            return {sent: sent.status, shown: shown.status, same: (await shown.blob()).size === blob.size};
        })()"""
    )
    stored: dict[str, Any] = page.value(
        """(async () => {
            const name = 'workflows/a folder/é.json';
            const sent = await app.api.storeUserData(name, {kept: true}, {overwrite: true, stringify: true});
            const found = await (await app.api.getUserData(name)).json();
            const listed = await app.api.listUserDataFullInfo('workflows');
            const gone = await app.api.deleteUserData(name);
            return {sent: sent.status, kept: found.kept, listed: listed.length, gone: gone.status};
        })()"""
    )

    assert uploaded == {"sent": 200, "shown": 200, "same": True}
    assert stored == {"sent": 200, "kept": True, "listed": 1, "gone": 204}
    assert len(_nodes(page)) == 1


def test_the_page_of_another_site_gets_in_nowhere(visitor: Browser, page: Page) -> None:
    """A page of another origin can neither queue a prompt nor open the websocket, whoever looks at it."""
    with Elsewhere() as elsewhere, visitor.page(elsewhere.url) as other:
        socket = other.value(
            f"""new Promise((done) => {{
                const socket = new WebSocket({json.dumps(GATEWAY.replace("http", "ws") + PATH + "ws")});
                socket.onopen = () => done('open');
                socket.onerror = () => done('refused');
            }})"""
        )
        options = {"method": "POST", "mode": "no-cors", "credentials": "include", "body": json.dumps(WORKFLOW)}
        other.value(f"fetch('{GATEWAY}{PATH}api/prompt', {json.dumps(options)}).then(() => true)")
        answers = [answer["status"] for answer in other.answers if _is_gateways(answer.get("url", ""))]

    assert page.value(READY)
    assert socket == "refused"
    assert answers == [403]
