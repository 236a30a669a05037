"""A TLS ClientHello made by hand, and the server's first answer: what no library would offer any more can be offered.

Sources: RFC 5246 7.4.1 and 7.2, RFC 8446 4.1.2 and 4.2, RFC 6066 3, RFC 5746 3.4. Only what is read is written.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

SSL3, TLS10, TLS11, TLS12, TLS13 = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304
_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO = 2
_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019, 0x0100)
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201)


@dataclass(frozen=True)
class Hello:
    """What the server has said first.

    Attributes:
        alert: the description of its alert; None where it has chosen.
        version: what it has chosen.
        cipher: what it has chosen.
        compression: what it has chosen; 0 is none.
        extensions: the types of its extensions.
    """

    alert: int | None
    version: int = 0
    cipher: int = 0
    compression: int = 0
    extensions: tuple[int, ...] = ()


def say(  # noqa: PLR0913 - what a ClientHello holds
    address: tuple[str, int],
    name: str | None,
    *,
    version: int = TLS12,
    ciphers: Iterable[int],
    compressions: bytes = b"\0",
    more: bytes = b"",
) -> Hello:
    """Offer, and return what the server makes of it.

    Args:
        address: whom.
        name: the server's name (SNI); none is sent without one.
        version: the highest that is offered.
        ciphers: what is offered, in this order.
        compressions: what is offered.
        more: further extensions, as they are sent.
    """
    offered = b"".join(struct.pack(">H", one) for one in ciphers)
    body = struct.pack(">H", min(version, TLS12)) + os.urandom(32) + b"\0"
    body += _sized(offered, 2) + _sized(compressions, 1)
    if version > SSL3:
        body += _sized(_extensions(name, version) + more, 2)
    hello = b"\x01" + _sized(body, 3)
    with socket.create_connection(address, 5) as line:
        for place in range(0, len(hello), 16000):
            line.sendall(struct.pack(">BH", _HANDSHAKE, min(version, TLS10)) + _sized(hello[place : place + 16000], 2))
        return _first(line)


def _extensions(name: str | None, version: int) -> bytes:
    found = _extension(0, _sized(b"\0" + _sized(name.encode(), 2), 2)) if name else b""
    found += _extension(10, _sized(b"".join(struct.pack(">H", one) for one in _GROUPS), 2))
    found += _extension(11, b"\1\0") + _extension(
        13, _sized(b"".join(struct.pack(">H", one) for one in _SIGNATURES), 2)
    )
    found += _extension(0xFF01, b"\0")
    if version >= TLS13:
        found += _extension(43, _sized(struct.pack(">H", version), 1))
        # A share of X25519 that any 32 bytes may be.
        found += _extension(51, _sized(struct.pack(">H", _GROUPS[0]) + _sized(os.urandom(32), 2), 2))
    return found


def _extension(kind: int, content: bytes) -> bytes:
    return struct.pack(">H", kind) + _sized(content, 2)


def _sized(content: bytes, width: int) -> bytes:
    return len(content).to_bytes(width, "big") + content


def _first(line: socket.socket) -> Hello:
    received = b""
    with contextlib.suppress(OSError):
        while len(received) < 5 or len(received) < 5 + int.from_bytes(received[3:5], "big"):
            part = line.recv(65536)
            if not part:
                break
            received += part
    if received[:1] == bytes([_HANDSHAKE]) and received[5] == _SERVER_HELLO:
        return _chosen(received[9:])
    # A connection that is closed without a word refuses as well.
    return Hello(alert=received[6] if received[:1] == bytes([_ALERT]) else -1)


def _chosen(body: bytes) -> Hello:
    version = int.from_bytes(body[:2], "big")
    place = 35 + body[34]
    cipher, compression = int.from_bytes(body[place : place + 2], "big"), body[place + 2]
    rest, kinds = body[place + 5 : place + 5 + int.from_bytes(body[place + 3 : place + 5], "big")], []
    while rest:
        kind, size = struct.unpack(">HH", rest[:4])
        kinds.append(kind)
        if kind == 43:
            version = int.from_bytes(rest[4:6], "big")
        rest = rest[4 + size :]
    return Hello(None, version, cipher, compression, tuple(kinds))
