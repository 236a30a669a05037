"""One HTTP question of a gateway, to a node's agent or to its own nginx; hundreds may be open at once."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any, TypeGuard

from ipex_node import border
from ipex_node.gateway.rotation import WISHES, Heard
from ipex_node.health import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.gateway.settings import Backend

ANSWER_SECONDS = 0.7
"""Longest a node may take to answer: a second until it is asked, two such and a reload are over in 3 s."""
_LONGEST = 65536
_MOST = 1_000_000
"""Requests in flight that are believed of one service."""


async def get(address: str, port: int, path: str, seconds: float, longest: int = _LONGEST) -> tuple[int, bytes]:
    """Return status and body of an answer, `longest` bytes of it at most.

    Raises:
        OSError: There is nobody (also TimeoutError, after `seconds`).
        ValueError: What answers does not speak HTTP.
    """
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_connection(address, port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            body = await _body(reader, head, longest)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            raise ValueError(f"broken answer: {error}") from error
        finally:
            writer.close()
    return int(head.split(None, 2)[1]), body


async def _body(reader: asyncio.StreamReader, head: bytes, longest: int) -> bytes:
    fields = dict(line.partition(b":")[::2] for line in head.lower().split(b"\r\n"))
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        return await _chunks(reader, longest)
    if b"content-length" in fields:
        return await reader.readexactly(min(int(fields[b"content-length"]), longest))
    return await reader.read(longest)


async def _chunks(reader: asyncio.StreamReader, longest: int) -> bytes:
    """Read a body that comes in pieces (RFC 9112, 7.1), as Prometheus' longer ones do."""
    body = b""
    while size := int((await reader.readline()).partition(b";")[0], 16):
        if not 0 < size <= longest - len(body):
            raise ValueError(f"an answer longer than {longest} bytes")
        body += (await reader.readexactly(size + 2))[:size]
    return body


async def ask(
    backend: Backend, gateway: str, *, out: bool, without: Iterable[str] = (), circuit: Iterable[str] = ()
) -> tuple[Heard, bool]:
    """Ask a node whether it wants requests, and tell it how it is treated.

    Args:
        backend: The node.
        gateway: Who asks.
        out: Whether no service of the node gets new work.
        without: The services that get none.
        circuit: Checks that fail on too many nodes at once.

    Returns:
        What was heard, and whether the whole time has gone by without an answer.
    """
    path = f"/ready?gateway={gateway}&rotation={'out' if out else 'in'}"
    more = {"without": ",".join(without), "circuit": ",".join(circuit)}
    path += "".join(f"&{key}={value}" for key, value in more.items() if value)
    try:
        _, body = await get(backend.address, backend.port, path, ANSWER_SECONDS)
        return _heard(border.parse(body)), False
    except TimeoutError:
        return Heard(silence=f"no answer within {ANSWER_SECONDS} s"), True
    except OSError as error:
        # asyncio's own words leave the reason out.
        why = os.strerror(error.errno) if error.errno else str(error)
        return Heard(silence=f"no answer: {why}"), False
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        return Heard(silence=border.words(f"no answer that can be understood: {error}")), False


def _heard(answer: Any) -> Heard:  # noqa: ANN401 - JSON is anything
    services = answer["services"]
    if not isinstance(services, dict):
        raise TypeError("services is no object")
    reason = "" if answer["ready"] else border.words(str(answer.get("reason") or "not ready"))
    if not any(services.values()) and not reason.startswith(WISHES):
        # Nobody answers on that node: it looks down, and does not ask to be left out.
        reason = ""
    up = {str(name): up is True for name, up in services.items()}
    return Heard(
        reason=reason,
        services=up,
        failing=verdict.checks(answer.get("failing")),
        generation=str(answer.get("generation") or ""),
        in_flight={str(name): count for name, count in _mapping(answer, "in_flight") if _is_count(count)},
        out={border.words(str(name)): border.words(str(why)) for name, why in _mapping(answer, "out")},
        warm=_names(answer, "warm"),
        models=_names(answer, "models"),
    )


def _is_count(number: object) -> TypeGuard[int]:
    return type(number) is int and 0 <= number <= _MOST


def _names(answer: dict[str, object], key: str) -> dict[str, tuple[str, ...]]:
    return {str(name): tuple(map(str, said)) for name, said in _mapping(answer, key) if isinstance(said, list)}


def _mapping(answer: dict[str, object], key: str) -> list[tuple[object, object]]:
    """Return what a node of another version may not say at all."""
    found = answer.get(key)
    return list(found.items()) if isinstance(found, dict) else []
