"""A gateway that answers as it is told to: well, or broken in one of the ways a load must notice."""

import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

PROMPT = "p-1"


class Handler(BaseHTTPRequestHandler):
    """One request, answered as `harm` says."""

    protocol_version = "HTTP/1.1"
    harm = ""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Plain calls, the websocket, the history and the queue."""
        if "/ws" in self.path:
            self._websocket()
        elif self.harm == "error502":
            self._answer(502, "bad gateway")
        elif "/history/" in self.path:
            status = {"status": {"completed": True, "status_str": "success"}}
            self._answer(200, {} if self.harm == "forgotten" else {PROMPT: status})
        elif "/queue" in self.path:
            self._answer(200, {"queue_running": [], "queue_pending": []})
        else:
            self._answer(200, {"models": []})

    def do_POST(self) -> None:
        """A generation or a prompt."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.harm == "error502":
            self._answer(502, "bad gateway")
        elif "/prompt" in self.path:
            self._answer(200, {"prompt_id": PROMPT})
        else:
            self._stream(asked["options"]["num_predict"])

    def _answer(self, status: int, said: object) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("X-Ipex-Node", "gpu-01")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, tokens: int) -> None:
        self.send_response(200)
        self.send_header("X-Ipex-Node", "gpu-01")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for _ in range(tokens):
            self._chunk({"done": False})
            time.sleep(0.02)
        if self.harm == "cut":
            self.close_connection = True
            return
        if self.harm != "undone":
            self._chunk({"done": True, "eval_count": tokens})
        self.wfile.write(b"0\r\n\r\n")

    def _chunk(self, said: object) -> None:
        line = json.dumps(said).encode() + b"\n"
        self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))

    def _websocket(self) -> None:
        self.send_response(101)
        self.send_header("X-Ipex-Node", "gpu-01")
        self.end_headers()
        self.close_connection = True
        if self.harm not in {"silent", "forgotten"}:
            time.sleep(0.1)
            said = json.dumps({"type": "execution_success", "data": {"prompt_id": PROMPT}}).encode()
            self.wfile.write(bytes([0x81, len(said)]) + said)


class FakeGateway:
    """The server, for the time of a `with` block.

    Args:
        harm: What is broken: cut, undone, error502, silent, forgotten; nothing when empty.
    """

    def __init__(self, harm: str = "") -> None:
        handler = type("Harmed", (Handler,), {"harm": harm})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port = self._server.server_address[1]

    def __enter__(self) -> Self:
        """Serve."""
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
