"""What has arrived at an engine, read from the bytes it was sent by the strictest reading of RFC 9112."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEAD = re.compile(rb"([A-Z]+) ([\x21-\x7e]+) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\r\n\0]*\r\n)*)\r\n")
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


@dataclass(frozen=True)
class Arrival:
    """A request as an engine was sent it.

    Attributes:
        engine: whose record it is in.
        method: its method.
        target: path and query, as they came.
        fields: header fields in their order, names in small letters.
        body: its body, without chunks.
    """

    engine: str
    method: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def what(self) -> tuple[str, str]:
        """Method and target."""
        return self.method, self.target

    def all(self, name: str) -> list[str]:
        """Every value of a header field."""
        return [value for key, value in self.fields if key == name]


class UnclearError(Exception):
    """Bytes at an engine that two readers may read in two ways."""


def read(record: Path) -> list[Arrival]:
    """Every whole request in an engine's record, connection by connection.

    Raises:
        UnclearError: what was sent is no plain request.
    """
    connections: dict[int, bytes] = {}
    for line in record.read_text().splitlines() if record.exists() else []:
        said = json.loads(line)
        connections[said["connection"]] = connections.get(said["connection"], b"") + said["data"].encode("latin-1")
    return [arrival for sent in connections.values() for arrival in _requests(record.stem, sent)]


def _requests(engine: str, sent: bytes) -> Iterator[Arrival]:
    while sent:
        if b"\r\n\r\n" not in sent:
            return
        found = _HEAD.match(sent)
        if not found:
            raise UnclearError(f"{engine} was sent {sent[:300]!r}")
        lines = found[3].decode("latin-1").split("\r\n")[:-1]
        fields = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
        sent, body = _body(sent[found.end() :], fields)
        if body is None:
            return
        yield Arrival(engine, found[1].decode(), found[2].decode(), fields, body)
        if any(name == "upgrade" for name, _ in fields):
            return  # what follows are frames


def _body(rest: bytes, fields: tuple[tuple[str, str], ...]) -> tuple[bytes, bytes | None]:
    """What follows, and the body; None where it is not whole."""
    lengths = [value for name, value in fields if name == "content-length"]
    codings = [value for name, value in fields if name == "transfer-encoding"]
    if len(lengths) + len(codings) > 1 or not all(re.fullmatch("[0-9]+", value) for value in lengths):
        raise UnclearError(f"the body's length is unclear: {fields}")
    if codings:
        if codings != ["chunked"]:
            raise UnclearError(f"the body's coding is unclear: {fields}")
        return _chunks(rest)
    size = int(lengths[0]) if lengths else 0
    return (rest[size:], rest[:size]) if len(rest) >= size else (b"", None)


def _chunks(rest: bytes) -> tuple[bytes, bytes | None]:
    body = b""
    while found := _CHUNK.match(rest):
        size, rest = int(found[1], 16), rest[found.end() :]
        if len(rest) < size + 2:
            return b"", None
        if rest[size : size + 2] != b"\r\n":
            raise UnclearError(f"a chunk has no end: {rest[: size + 2][-80:]!r}")
        body, rest = body + rest[:size], rest[size + 2 :]
        if size == 0:
            return rest, body
    return b"", None
