"""A browser without a window, driven by the Chrome DevTools Protocol over the project's own websocket client."""

import base64
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ipex_node import websocket

PROGRAMS = ("chromium-headless-shell", "chromium", "google-chrome")
_SECONDS = 30
_LIFE_SECONDS = 300
"""How long a page may be open."""


def program() -> str | None:
    """Return the browser of this machine; None where it has none."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Browser:
    """One browser, for the time of a `with` block.

    Args:
        path: The program.
        more: Further flags of its command line.
    """

    def __init__(self, path: str, *more: str) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="ipex-browser-", ignore_cleanup_errors=True)
        # Chromium's sandbox does not start for root.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        flags = [
            "--headless",
            "--remote-debugging-port=0",
            f"--user-data-dir={self._home.name}",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-lcd-text",
            *more,
        ]
        # In a session of its own: Debian's command is a shell script that waits for the browser.
        self._process = subprocess.Popen(
            [path, *sandbox, *flags, "about:blank"], stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.port, self._path = self._address()

    def __enter__(self) -> Self:
        """Nothing to do: it runs."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End it, with all its processes."""
        try:
            with websocket.connect(("127.0.0.1", self.port), self._path, {}, time.monotonic() + _SECONDS) as line:
                _ask(line, 1, "Browser.close", {}, [])
            self._process.wait(_SECONDS)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._home.cleanup()

    def page(self, url: str, **look: Any) -> "Page":
        """Open a page in a context of its own; `look` is that of `Page.open`."""
        with websocket.connect(("127.0.0.1", self.port), self._path, {}, time.monotonic() + _SECONDS) as line:
            target = _ask(line, 1, "Target.createTarget", {"url": "about:blank"}, [])["targetId"]
        opened = Page(self.port, target)
        opened.open(url, **look)
        return opened

    def _address(self) -> tuple[int, str]:
        """Wait until it says where it listens (content/browser/devtools/devtools_http_handler.cc)."""
        said = Path(self._home.name) / "DevToolsActivePort"
        deadline = time.monotonic() + _SECONDS
        while time.monotonic() < deadline:
            if said.exists() and len(lines := said.read_text().split("\n")) == 2:
                return int(lines[0]), lines[1]
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the browser does not start: {self._process.args!r}")


class Page:
    """One open page.

    Attributes:
        complaints: What the browser has complained of: errors of the script, and what the page's policy forbids.
    """

    def __init__(self, port: int, target: str) -> None:
        address, path = ("127.0.0.1", port), f"/devtools/page/{target}"
        self._line = websocket.connect(address, path, {}, time.monotonic() + _LIFE_SECONDS)
        self._number = 0
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close it."""
        self.command("Page.close")
        self._line.close()

    @property
    def complaints(self) -> list[str]:
        """What the browser has complained of."""
        kinds = {"Runtime.exceptionThrown", "Log.entryAdded"}
        return [json.dumps(event["params"]) for event in self._events if event["method"] in kinds]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """What it has asked for, websockets too: method (GET for those) and url."""
        asked = [event["params"]["request"] for event in self._told("Network.requestWillBeSent")]
        sockets = [event["params"] for event in self._told("Network.webSocketCreated")]
        return [*asked, *({"method": "GET", "url": socket["url"]} for socket in sockets)]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What it has been answered, websockets too: status and headers by lower-case name, url where it was told."""
        told = [*self._told("Network.responseReceived"), *self._told("Network.webSocketHandshakeResponseReceived")]
        found = [event["params"]["response"] for event in told]
        return [{**one, "headers": {name.lower(): text for name, text in one["headers"].items()}} for one in found]

    def _told(self, method: str) -> list[dict[str, Any]]:
        return [event for event in self._events if event["method"] == method]

    def open(  # noqa: PLR0913 - each by name, and none is needed
        self,
        url: str,
        *,
        width: int = 1280,
        dark: bool = False,
        script: bool = True,
        headers: dict[str, str] | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        """Load an address, as wide as told and with these headers, and wait until it is whole.

        A login, name and password, is what a person types where the server asks for one; the browser keeps it.
        """
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=844, deviceScaleFactor=1, mobile=width < 600
        )
        if headers:
            self.command("Network.enable")
            self.command("Network.setExtraHTTPHeaders", headers=headers)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.command("Emulation.setEmulatedMedia", features=[scheme])
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self._navigate(url, login)
        self.until(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def _navigate(self, url: str, login: tuple[str, str] | None) -> None:
        if login is None:
            self.command("Page.navigate", url=url)
            return
        self.command("Fetch.enable", handleAuthRequests=True, patterns=[{"resourceType": "Document"}])
        navigation = self._send("Page.navigate", url=url)
        while (said := json.loads(self._line.receive())).get("id") != navigation:
            if said.get("method") == "Fetch.requestPaused":
                self._send("Fetch.continueRequest", requestId=said["params"]["requestId"])
            elif said.get("method") == "Fetch.authRequired":
                answer = {"response": "ProvideCredentials", "username": login[0], "password": login[1]}
                self._send(
                    "Fetch.continueWithAuth", requestId=said["params"]["requestId"], authChallengeResponse=answer
                )
            elif "method" in said:
                self._events.append(said)
        self.command("Fetch.disable")

    def _send(self, method: str, **parameters: Any) -> int:
        """Give a command without waiting for its result, and return its number."""
        self._number += 1
        self._line.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        return self._number

    def reload(self) -> None:
        """Load the page anew, and wait until it is whole."""
        self._send("Page.reload")
        while (said := json.loads(self._line.receive())).get("method") != "Page.loadEventFired":
            if "method" in said:
                self._events.append(said)

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command and return its result."""
        self._number += 1
        return _ask(self._line, self._number, method, parameters, self._events)

    def value(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, condition: str, seconds: float = 10) -> None:
        """Wait for a condition in the page."""
        deadline = time.monotonic() + seconds
        while not self.value(condition):
            assert time.monotonic() < deadline, f"{condition}\n{self.text()}\n{self.complaints}"
            time.sleep(0.02)

    def text(self) -> str:
        """Return what a person reads."""
        return str(self.value("document.body.innerText"))

    def picture(self) -> bytes:
        """Return the whole page as a PNG."""
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        found = self.command("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(found["data"])


def _ask(
    line: websocket.WebSocket, number: int, method: str, parameters: dict[str, Any], events: list[dict[str, Any]]
) -> dict[str, Any]:
    line.send(json.dumps({"id": number, "method": method, "params": parameters}))
    while True:
        said = json.loads(line.receive())
        if said.get("id") == number:
            assert "error" not in said, f"{method}: {said}"
            result: dict[str, Any] = said["result"]
            return result
        if "method" in said:
            events.append(said)
