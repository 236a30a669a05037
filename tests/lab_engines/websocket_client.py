"""The client's side of a websocket, as small as the tests need it."""

import json
import os
import socket
from types import TracebackType
from typing import Any, Self

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # the example of RFC 6455, 1.3


class Client:
    """One socket, open for the time of a `with` block."""

    def __init__(self, port: int, client_id: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(
            f"GET /ws?clientId={client_id} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n".encode()
        )
        self.head = b"".join(iter(self._file.readline, b"\r\n")).decode()

    def __enter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Leave without a closing handshake."""
        self._file.close()
        self._socket.close()

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one masked frame."""
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self._socket.sendall(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)

    def frame(self) -> tuple[int, bytes]:
        """Return the next frame's opcode and payload; EOFError at the end."""
        first = self._file.read(2)
        if len(first) < 2:
            raise EOFError
        size = first[1]
        if size == 126:
            size = int.from_bytes(self._file.read(2), "big")
        return first[0] & 0x0F, self._file.read(size)

    def event(self) -> dict[str, Any]:
        """Return the next event."""
        found: dict[str, Any] = json.loads(self.frame()[1])
        return found

    def events_until(self, kind: str) -> list[dict[str, Any]]:
        """Return the events up to and with the first of one kind."""
        seen = [self.event()]
        while seen[-1]["type"] != kind:
            seen.append(self.event())
        return seen
