"""The server's side of a websocket (RFC 6455): text frames out, ping, pong and close answered."""

import asyncio
import base64
import hashlib
import json

from .http import HttpError, Request, Response, compact

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MESSAGE_LIMIT = 1024 * 1024


def handshake(request: Request) -> Response:
    """Return the answer that turns a request into a websocket; a 400 or 426 where it is none."""
    if request.headers.get("upgrade", "").lower() != "websocket":
        raise HttpError(400, {"error": "No WebSocket UPGRADE hdr: the proxy in front must pass Upgrade and Connection"})
    if request.headers.get("sec-websocket-version") != "13":
        raise HttpError(426, {"error": "Unsupported websocket version"})
    key = request.headers.get("sec-websocket-key", "")
    accept = base64.b64encode(hashlib.sha1(f"{key}{GUID}".encode()).digest())  # noqa: S324 - RFC 6455 says SHA-1
    headers = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": accept.decode()}
    return Response(status=101, headers=headers)


class WebSocket:
    """One open socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, event: str, data: object) -> None:
        """Send one event as ComfyUI does: {"type", "data"}; a peer that has gone is no error."""
        self._frame(TEXT, compact({"type": event, "data": data}))

    def abort(self) -> None:
        """Drop the connection without a closing handshake."""
        self._writer.transport.abort()

    async def receive(self) -> dict[str, object] | None:
        """Return the next text message as JSON; None when the peer has closed."""
        message = bytearray()
        while True:
            final, opcode, payload = await self._read()
            if opcode == CLOSE:
                self._frame(CLOSE, payload[:2])
                await self._writer.drain()
                return None
            if opcode == PING:
                self._frame(PONG, payload)
            if opcode not in {CONTINUATION, TEXT, BINARY}:
                continue
            message += payload
            if final:
                return _document(bytes(message))

    def _frame(self, opcode: int, payload: bytes) -> None:
        if self._writer.is_closing():
            return
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 1 << 16:
            length = b"\x7e" + size.to_bytes(2, "big")
        else:
            length = b"\x7f" + size.to_bytes(8, "big")
        self._writer.write(bytes([0x80 | opcode]) + length + payload)

    async def _read(self) -> tuple[bool, int, bytes]:
        first, second = await self._reader.readexactly(2)
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(await self._reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await self._reader.readexactly(8), "big")
        if size > MESSAGE_LIMIT or not second & 0x80:
            self._frame(CLOSE, (1009 if size > MESSAGE_LIMIT else 1002).to_bytes(2, "big"))
            return True, CLOSE, b""
        mask = await self._reader.readexactly(4)
        masked = await self._reader.readexactly(size)
        return bool(first & 0x80), first & 0x0F, bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))


def _document(message: bytes) -> dict[str, object]:
    try:
        document = json.loads(message)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
