"""A small HTTP/1.1 server on asyncio: one thread holds hundreds of slow streams in little memory.

It does what an engine needs and a proxy in front of it can provoke: keep-alive, chunked bodies both
ways, HEAD, a limit on uploads, and an end to the work when the client has gone.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, unquote, urlsplit

HEAD_LIMIT = 64 * 1024
LINGER_SECONDS = 5.0


class HttpError(Exception):
    """Ends a request with a status and a body."""

    def __init__(self, status: int, body: object = None) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


class Gone(Exception):  # noqa: N818 - it is news, not an error
    """The peer has closed its end."""


class Protocol(asyncio.StreamReaderProtocol):
    """asyncio's stream protocol that also tells when the peer has gone, while nobody reads."""

    def __init__(self, connected: Callable[["Protocol", asyncio.StreamReader, asyncio.StreamWriter], None]) -> None:
        self.gone = asyncio.Event()
        super().__init__(
            asyncio.StreamReader(limit=HEAD_LIMIT),
            lambda reader, writer: connected(self, reader, writer),
        )

    def eof_received(self) -> bool | None:
        """Record the peer's end of file."""
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the loss."""
        self.gone.set()
        super().connection_lost(exc)


@dataclass
class Request:
    """One request; the body has been read.

    Attributes:
        begun: the status a log shows where the client goes before the end: the answer's, once that has begun.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    peer: str
    local: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    target: str
    parameters: tuple[str, ...] = ()
    begun: int = 499

    def json(self) -> dict[str, object]:
        """Return the body as a JSON object; a 400 otherwise."""
        try:
            document = json.loads(self.body)
        except ValueError as error:
            raise HttpError(400, {"error": str(error)}) from error
        if not isinstance(document, dict):
            raise HttpError(400, {"error": "the body is no JSON object"})
        return document


@dataclass
class Response:
    """An answer: bytes, a JSON value, or a stream of chunks."""

    body: object = b""
    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncGenerator[bytes, None] | None = None
    upgraded: Callable[[], Awaitable[None]] | None = None

    def payload(self) -> bytes:
        """Return the body as bytes."""
        return self.body if isinstance(self.body, bytes) else compact(self.body)


def compact(value: object) -> bytes:
    """Return JSON without blanks, as Go and aiohttp's users send it."""
    return json.dumps(value, separators=(",", ":")).encode()


def text(body: str, status: int = 200) -> Response:
    """Return a plain text answer."""
    return Response(body.encode(), status, "text/plain; charset=utf-8")


Handler = Callable[[Request], Awaitable[Response]]
AccessLog = Callable[[Request, int, float], None]


class Server:
    """Serves one handler on one or more addresses until SIGTERM, then drops every connection at once."""

    def __init__(self, handler: Handler, *, body_limit: int, access_log: AccessLog | None = None) -> None:
        self._handler = handler
        self._body_limit = body_limit
        self._access_log = access_log
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def run(self, hosts: list[str], port: int, started: Callable[[int], None]) -> None:
        """Listen, tell `started` the port, and serve until SIGTERM or SIGINT."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        server = await loop.create_server(lambda: Protocol(self._connected), hosts, port, backlog=1024)
        started(server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()
        # As Go's Server.Close, which Ollama calls: what is in flight is cut, not finished.
        for task, writer in list(self._connections.items()):
            writer.transport.abort()
            task.cancel()

    def _connected(self, protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._converse(protocol, reader, writer))
        self._connections[task] = writer
        task.add_done_callback(lambda done: self._connections.pop(done, None) and None)

    async def _converse(self, protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._exchange(protocol, reader, writer):
                pass
        except (Gone, OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.LimitOverrunError:
            await _send(writer, text("header too large", 431), head=False, close=True)
        finally:
            writer.close()

    async def _exchange(self, protocol: Protocol, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Serve one request; tell whether the connection may carry another."""
        request = await _head(reader, writer)
        begin = time.monotonic()
        refusal: HttpError | None = None
        try:
            request.body = await _body(reader, writer, request.headers, self._body_limit)
        except HttpError as error:
            refusal = error
        work = asyncio.ensure_future(self._answer(request, writer, refusal))
        status = await _unless_gone(work, protocol)
        if refusal:
            await _discard(reader)
        if self._access_log:
            self._access_log(request, status or request.begun, time.monotonic() - begin)
        close = request.headers.get("connection", "").lower() in {"close", "upgrade"}
        return refusal is None and not close and not writer.is_closing()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter, refusal: HttpError | None) -> int:
        try:
            response = _refusal(refusal) if refusal else await self._handler(request)
        except HttpError as error:
            response = _refusal(error)
        except Exception as error:  # noqa: BLE001 - whatever a client provokes ends its request, not the engine
            traceback.print_exc()
            response = Response({"error": str(error)}, 500)
        close = refusal is not None or request.headers.get("connection", "").lower() == "close"
        request.begun = response.status
        await _send(writer, response, head=request.method == "HEAD", close=close)
        if response.upgraded:
            await response.upgraded()
        return response.status


def _refusal(error: HttpError) -> Response:
    return Response(b"" if error.body is None else error.body, error.status)


async def _unless_gone(work: asyncio.Task[int], protocol: Protocol) -> int | None:
    """Return the work's status, or cancel it (as Go's request context does) when the peer leaves first."""
    gone = asyncio.ensure_future(protocol.gone.wait())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        return None
    finally:
        gone.cancel()
        if not work.done():
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError, Gone):
                await work


async def _head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    words = first.split(" ")
    if len(words) != 3:
        await _send(writer, text("malformed request line", 400), head=False, close=True)
        raise Gone
    split = urlsplit(words[1])
    pairs = (line.partition(":") for line in lines)
    return Request(
        method=words[0],
        path=unquote(split.path),
        query={key: values[-1] for key, values in parse_qs(split.query, keep_blank_values=True).items()},
        headers={name.strip().lower(): value.strip() for name, _, value in pairs},
        body=b"",
        peer=writer.get_extra_info("peername")[0],
        local=writer.get_extra_info("sockname")[0],
        reader=reader,
        writer=writer,
        target=words[1],
    )


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str], limit: int
) -> bytes:
    length = int(headers.get("content-length", "0"))
    if length > limit:
        raise HttpError(413, {"error": f"Maximum request body size {limit} exceeded, actual body size {length}"})
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" not in headers.get("transfer-encoding", "").lower():
        return await reader.readexactly(length)
    body = bytearray()
    while size := int((await reader.readline()).split(b";")[0], 16):
        if len(body) + size > limit:
            raise HttpError(413, {"error": f"Maximum request body size {limit} exceeded"})
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return bytes(body)


async def _discard(reader: asyncio.StreamReader) -> None:
    """Read on for a while: closing on a client that still sends would reset it before it reads the answer."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while await reader.read(HEAD_LIMIT):
                pass


async def _send(writer: asyncio.StreamWriter, response: Response, *, head: bool, close: bool) -> None:
    fields = {"Content-Type": response.content_type, **response.headers}
    if response.stream:
        fields["Transfer-Encoding"] = "chunked"
    elif response.status >= 200:
        fields["Content-Length"] = str(len(response.payload()))
    else:
        del fields["Content-Type"]
    if close:
        fields["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n{lines}\r\n".encode("latin-1"))
    if response.stream and not head:
        await _send_chunks(writer, response.stream)
    elif not head and response.status >= 200:
        writer.write(response.payload())
    await writer.drain()


async def _send_chunks(writer: asyncio.StreamWriter, stream: AsyncGenerator[bytes, None]) -> None:
    async with contextlib.aclosing(stream):
        async for chunk in stream:
            if not chunk:
                # A stream that breaks off: without the last, empty chunk the client knows it is not whole.
                writer.transport.abort()
                return
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
    writer.write(b"0\r\n\r\n")


def complain(message: str) -> int:
    """Print why an engine does not start, and return its exit status."""
    print(message, file=sys.stderr, flush=True)
    return 1
