"""A websocket client: RFC 6455, as much as reading an engine's events needs."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from ipex_node.tls import Tls

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Section 1.3: proves that the other side speaks websocket."""
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_LIMIT = 64 * 1024 * 1024
"""Longest message accepted, in bytes; previews are pictures."""


class WebSocketError(OSError):
    """The other side does not speak websocket, or has ended the conversation."""


@dataclass(frozen=True)
class _Frame:
    final: bool
    opcode: int
    payload: bytes


class WebSocket:
    """An open websocket.

    Args:
        connection: The socket, after the handshake.
        answer: Headers of the handshake's answer.
        received: What came behind them.
        deadline: Moment of `time.monotonic()` at which reading ends.
    """

    def __init__(
        self, connection: socket.socket, answer: list[tuple[str, str]], received: bytes, deadline: float
    ) -> None:
        self._connection = connection
        self._received = received
        self._deadline = deadline
        self.answer = answer

    def __enter__(self) -> Self:
        """Close it at the end."""
        return self

    def __exit__(self, *_reason: object) -> None:
        """Close it."""
        self.close()

    def receive(self) -> str | bytes:
        """Return the next message, text or binary; pings are answered on the way.

        Raises:
            TimeoutError: None came before the deadline.
            WebSocketError: The other side ended the conversation.
        """
        whole, kind = b"", _CONTINUATION
        while True:
            frame = self._frame()
            if frame.opcode == _PING:
                self._send(_PONG, frame.payload)
            elif frame.opcode == _CLOSE:
                raise WebSocketError(_closing(frame.payload))
            elif frame.opcode in {_TEXT, _BINARY, _CONTINUATION}:
                kind = frame.opcode or kind
                whole += frame.payload
                if len(whole) > _LIMIT:
                    raise WebSocketError(f"a message longer than {_LIMIT} bytes")
                if frame.final:
                    return whole.decode() if kind == _TEXT else whole

    def send(self, text: str) -> None:
        """Send one text message."""
        self._send(_TEXT, text.encode())

    def close(self) -> None:
        """Say good-bye, if there is still someone, and close."""
        try:
            self._send(_CLOSE, (1000).to_bytes(2, "big"))
        except OSError:
            pass  # it is being closed either way
        finally:
            self._connection.close()

    def _frame(self) -> _Frame:
        first, second = self._read(2)
        length = second & 0x7F
        if length >= 126:
            length = int.from_bytes(self._read(2 if length == 126 else 8), "big")
        if length > _LIMIT or second & 0x80:
            raise WebSocketError("a frame no server may send")
        return _Frame(bool(first & 0x80), first & 0x0F, self._read(length))

    def _read(self, size: int) -> bytes:
        while len(self._received) < size:
            self._received += _some(self._connection, self._deadline)
        part, self._received = self._received[:size], self._received[size:]
        return part

    def _send(self, opcode: int, payload: bytes) -> None:
        size = len(payload)
        if size < 126:
            head = bytes([0x80 | opcode, 0x80 | size])
        elif size < 1 << 16:
            head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
        # Section 5.3: a client masks every frame with a fresh key.
        key = os.urandom(4)
        masked = bytes(byte ^ key[place % 4] for place, byte in enumerate(payload))
        self._connection.sendall(head + key + masked)


def connect(
    address: tuple[str, int], path: str, headers: Mapping[str, str], deadline: float, tls: Tls | None = None
) -> WebSocket:
    """Open a websocket.

    Args:
        address: Host and port.
        path: With its query.
        headers: Host, Authorization and Cookie, if they are to be sent.
        deadline: Moment of `time.monotonic()` at which everything ends.
        tls: How the other side proves who it is; none without TLS.

    Raises:
        TimeoutError: No answer before the deadline.
        WebSocketError: The answer is no websocket.
    """
    connection = socket.create_connection(address, timeout=max(0.01, deadline - time.monotonic()))
    try:
        if tls:
            connection = tls.wrap(connection, deadline)
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(_question(address, path, headers, key))
        received = b""
        while b"\r\n\r\n" not in received:
            received += _some(connection, deadline)
        head, _, rest = received.partition(b"\r\n\r\n")
        return WebSocket(connection, _accepted(head.decode("latin-1"), key), rest, deadline)
    except BaseException:
        connection.close()
        raise


def _question(address: tuple[str, int], path: str, headers: Mapping[str, str], key: str) -> bytes:
    lines = {
        "Host": f"{address[0]}:{address[1]}",
        **headers,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
    }
    return "\r\n".join([f"GET {path} HTTP/1.1", *(f"{k}: {v}" for k, v in lines.items()), "", ""]).encode()


def _accepted(head: str, key: str) -> list[tuple[str, str]]:
    status, *lines = head.split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    if status.split(" ")[1:2] != ["101"]:
        raise WebSocketError(f"answers {status.partition(' ')[2]}, no websocket")
    proof = base64.b64encode(hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()).decode()
    if proof not in [value for name, value in headers if name.lower() == "sec-websocket-accept"]:
        raise WebSocketError("answers 101 without the proof that it speaks websocket")
    return headers


def _some(connection: socket.socket, deadline: float) -> bytes:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.settimeout(left)
    received = connection.recv(65536)
    if not received:
        raise WebSocketError("closed without a word")
    return received


def _closing(payload: bytes) -> str:
    code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
    return f"closed with code {code} {payload[2:].decode(errors='replace')}".strip()
