"""A mail server and a webhook that keep what they are sent: what people would have read."""

import email
import email.policy
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any, Self


@dataclass(frozen=True)
class Message:
    """What one channel was sent.

    Attributes:
        channel: `mail`, or the path of the webhook, such as `/slack`.
        title: the subject, or Slack's title.
        text: the body.
        at: when, by `time.monotonic()`.
    """

    channel: str
    title: str
    text: str
    at: float = field(default_factory=time.monotonic)


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class _Web(ThreadingHTTPServer):
    daemon_threads = True


class Inbox:
    """Both doubles, as long as the block lasts.

    Args:
        host: where they listen.
        smtp_port: 0 takes a free one.
        web_port: as smtp_port.

    Attributes:
        messages: what has come, in order.
    """

    def __init__(self, host: str = "127.0.0.1", smtp_port: int = 0, web_port: int = 0) -> None:
        self.messages: list[Message] = []
        self._arrived = threading.Condition()
        self._servers = (
            _Server((host, smtp_port), _handler(_Smtp, self._keep)),
            _Web((host, web_port), _handler(_Hook, self._keep)),
        )

    def __enter__(self) -> Self:
        """Begin to listen."""
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def smtp_port(self) -> int:
        """Where mail is taken."""
        return int(self._servers[0].server_address[1])

    @property
    def web_port(self) -> int:
        """Where webhooks are answered."""
        return int(self._servers[1].server_address[1])

    def wait(self, fits: Callable[[Message], bool], seconds: float, after: int = 0) -> Message:
        """Return the first message that fits, as soon as it is there.

        Args:
            fits: What is looked for.
            seconds: For how long at most.
            after: So many messages, the oldest, are passed over.

        Raises:
            AssertionError: none has come in time; the titles of those that did are told.
        """
        with self._arrived:
            self._arrived.wait_for(lambda: any(map(fits, self.messages[after:])), seconds)
            found = next(filter(fits, self.messages[after:]), None)
        assert found, f"not among {[(message.channel, message.title) for message in self.messages[after:]]}"
        return found

    def _keep(self, message: Message) -> None:
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()


def _handler(kind: type[Any], keep: Callable[[Message], None]) -> type[Any]:
    return type(kind.__name__, (kind,), {"keep": staticmethod(keep)})


class _Smtp(StreamRequestHandler):
    """Just enough of RFC 5321 for one who sends mail."""

    keep: Callable[[Message], None]
    timeout = 30

    def handle(self) -> None:
        """Take mail until the other side leaves."""
        self._say("220 inbox")
        while line := self.rfile.readline().decode(errors="replace").strip():
            verb = line.split()[0].upper()
            if verb == "DATA":
                self._say("354 go on")
                self._take()
            self._say("221 bye" if verb == "QUIT" else "250 inbox")
            if verb == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def _take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        self.keep(Message("mail", str(mail["Subject"]), _plain(mail)))


def _plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


class _Hook(BaseHTTPRequestHandler):
    """Answers every POST as Slack does."""

    keep: Callable[[Message], None]

    def do_POST(self) -> None:
        """Keep it."""
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        first = (said.get("attachments") or [{}])[0]
        self.keep(Message(self.path, first.get("title", ""), first.get("text", "")))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""
