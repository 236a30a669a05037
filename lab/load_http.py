"""HTTP as the load's clients speak it: one connection a request, and no fault of the answer overlooked."""

import asyncio
import base64
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

NODE_HEADER = "x-ipex-node"
"""Response header in which the gateway names the node that answered."""

_HEAD_LIMIT = 1 << 20


class BrokenError(OSError):
    """An answer that is none, or that ended before it was whole."""


@dataclass
class Answer:
    """The head of an answer, and its connection.

    Attributes:
        status: HTTP's.
        headers: by lower-case name.
    """

    status: int
    headers: Mapping[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def node(self) -> str:
        """The node that answered, where the gateway names it; the last one where it tried two."""
        return self.headers.get(NODE_HEADER, "").rpartition(",")[2].strip()

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes.

        Raises:
            BrokenError: It ends before its declared end.
        """
        try:
            if "chunked" in self.headers.get("transfer-encoding", ""):
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    yield await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                await self.reader.readuntil(b"\r\n")
            elif length := int(self.headers.get("content-length", "0")):
                yield await self.reader.readexactly(length)
        except (asyncio.IncompleteReadError, ValueError) as error:
            raise BrokenError("the answer ended before its end") from error

    async def lines(self) -> AsyncIterator[bytes]:
        """Yield the body line by line."""
        rest = b""
        async for piece in self.pieces():
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line
        if rest:
            yield rest

    async def body(self) -> bytes:
        """Return the whole body."""
        return b"".join([piece async for piece in self.pieces()])


@dataclass(frozen=True)
class Target:
    """Where a load goes, and as whom.

    Attributes:
        address: IP address.
        port: its port.
        tls: what is trusted; without TLS none.
        name: the gateway's.
        key: API key; empty is none.
    """

    address: str
    port: int
    tls: ssl.SSLContext | None = None
    name: str = ""
    key: str = field(default="", repr=False)


@contextlib.asynccontextmanager
async def ask(
    target: Target,
    method: str,
    path: str,
    question: object = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Answer]:
    """Send one request on a connection of its own and read the head of its answer.

    Raises:
        OSError: There is no connection, or the answer is broken.
    """
    named = target.name if target.tls else None
    reader, writer = await asyncio.open_connection(
        target.address, target.port, limit=_HEAD_LIMIT, ssl=target.tls, server_hostname=named
    )
    try:
        body = b"" if question is None else json.dumps(question).encode()
        proved = {"Authorization": f"Bearer {target.key}"} if target.key else {}
        sent = {
            "Host": target.name or target.address,
            "Connection": "close",
            "Content-Length": str(len(body)),
            **proved,
        }
        sent |= headers or {}
        head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
        status, answered = await _head(reader)
        yield Answer(status, answered, reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _head(reader: asyncio.StreamReader) -> tuple[int, Mapping[str, str]]:
    try:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        return int(first.split(" ")[1]), {name.lower(): value.strip() for name, _, value in pairs}
    except asyncio.IncompleteReadError as error:
        raise BrokenError("closed without an answer") from error
    except (ValueError, IndexError) as error:
        raise BrokenError("the answer is no HTTP") from error


UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}


def upgrade() -> dict[str, str]:
    """Return the headers that open a websocket (RFC 6455, 4.1)."""
    return {**UPGRADE, "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode()}


async def events(answer: Answer) -> AsyncIterator[dict[str, object]]:
    """Yield the JSON events of an open websocket until it closes.

    Raises:
        BrokenError: It ends without a closing frame.
    """
    try:
        while True:
            first, second = await answer.reader.readexactly(2)
            size = second & 0x7F
            if size >= 126:
                size = int.from_bytes(await answer.reader.readexactly(2 if size == 126 else 8), "big")
            payload = await answer.reader.readexactly(size)
            if first & 0x0F == 0x8:
                return
            # Text alone: pictures come as binary frames, pings need no answer in so short a time.
            if first & 0x0F == 0x1:
                yield json.loads(payload)
    except asyncio.IncompleteReadError as error:
        raise BrokenError("the websocket ended without a word") from error
