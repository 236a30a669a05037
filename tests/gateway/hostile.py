"""What a hostile case is. The cases stand in hostile_*.py, as tables."""

from dataclasses import dataclass

REFUSED = frozenset({400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 431, 501, 505})
"""What a refusal may be answered; a closed connection without an answer refuses as well."""


@dataclass(frozen=True)
class Case:
    """Bytes that somebody sends on a TLS connection, and what must come of it.

    Attributes:
        name: what is tried.
        sends: the bytes; `@use@`, `@operate@` and `@look@` stand for the keys of clients with that one right.
        arrives: the only requests that may reach an engine because of it, as it gets them.
        says: the statuses that the answers may have, in their order, where they matter: everything else is refused.
    """

    name: str
    sends: bytes
    arrives: tuple[tuple[str, str], ...] = ()
    says: tuple[int, ...] | None = None


def request(  # noqa: PLR0913 - what a request holds
    method: str | bytes,
    target: str | bytes,
    *fields: str | bytes,
    key: str = "use",
    body: bytes = b"",
    host: str = "ai-services.local",
    keep: bool = False,
) -> bytes:
    """A request that is well-formed but for what is asked for.

    Args:
        method: its method.
        target: what stands where a path stands.
        *fields: more header fields, each as it is sent.
        key: whose key is sent; nobody's where it is empty.
        body: its body, whose length is said unless a field does.
        host: the Host field; left out where it is empty.
        keep: whether the connection stays open for another one.
    """
    lines = [_bytes(method) + b" " + _bytes(target) + b" HTTP/1.1"]
    lines += [b"Host: " + host.encode()] if host else []
    lines += [f"Authorization: Bearer @{key}@".encode()] if key else []
    lines += [] if keep else [b"Connection: close"]
    said = [_bytes(one) for one in fields]
    framed = any(one.lower().lstrip().startswith((b"content-length", b"transfer-encoding")) for one in said)
    lines += [*said, *([] if framed or not body else [b"Content-Length: %d" % len(body)])]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
