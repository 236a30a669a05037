"""What nginx does on a gateway: the page's files with their headers, and the live data."""

import json
import re
import threading
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from fleet import desired
from fleet.model import Fleet
from tests.front_page.stories import NOW

_KINDS = {"html": "text/html", "css": "text/css", "js": "application/javascript"}


class Site:
    """One gateway's front page, for the time of a `with` block.

    Attributes:
        data: The live data; None answers 404, as nginx does where there are none yet.
        age: How old they are, in seconds.
        asked: Every path that was asked for.
    """

    def __init__(self, fleet: Fleet) -> None:
        files = desired.generation(fleet["gateway-01"], fleet).files
        self.files = {file.path.rpartition("/")[2]: file.content for file in files if "/ipex/www/" in file.path}
        nginx = next(file.content.decode() for file in files if file.path.endswith("/server.conf"))
        self.headers = dict(
            re.findall(r'add_header (\S+) "(.*)" always;', nginx.partition("location = /fleet.json")[0])
        )
        self.data: dict[str, Any] | None = None
        self.age = 1.0
        self.asked: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        """Begin to answer."""
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body."""
        self.asked.append(path)
        if path == "/fleet.json" and self.data is not None:
            return 200, {"Content-Type": "application/json"}, json.dumps(self.data).encode()
        name = "index.html" if path == "/" else path.removeprefix("/assets/")
        if name in self.files:
            return 200, {**self.headers, "Content-Type": _KINDS[name.rpartition(".")[2]]}, self.files[name]
        return (204 if path == "/favicon.ico" else 404), {}, b""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = site.answer(self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:  # noqa: ARG002 - the stories' clock
            return formatdate(NOW + site.age, usegmt=True)

        def log_message(self, *_words: object) -> None:
            pass

    return Handler
