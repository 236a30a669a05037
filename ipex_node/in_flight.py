"""What a service is doing for others right now."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.settings import Service

_SECONDS = 2.0
_LIMIT = 16 * 1024 * 1024
"""A queue of long graphs is listed whole; more than this is no queue."""
_ESTABLISHED = "01"
"""TCP_ESTABLISHED in Linux' include/net/tcp_states.h, as /proc/net/tcp shows it."""


def count(service: Service, connections: Path) -> int | None:
    """Return how many pieces of work a service has accepted and not finished; none where it does not say.

    ComfyUI's work is its queue: its users' websockets stay open for days. Everybody else's work is a
    connection that comes from outside this node.

    Args:
        service: Whom to ask.
        connections: The directory of the kernel's tables tcp and tcp6.
    """
    return _queued(service.port) if service.engine == "comfyui" else _established(service.port, connections)


def _queued(port: int) -> int | None:
    """Ask ComfyUI for its queue (server.py, GET /queue)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/queue")
        queue = json.loads(connection.getresponse().read(_LIMIT))
        return len(queue["queue_running"]) + len(queue["queue_pending"])
    except ConnectionRefusedError:
        return 0  # nobody is there, so nobody works
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def _established(port: int, connections: Path) -> int:
    return sum(1 for local, remote in _sockets(connections) if local == port and not _is_loopback(remote))


def _sockets(connections: Path) -> Iterator[tuple[int, str]]:
    """Yield local port and remote address of every established connection (proc_net_tcp.txt of Linux)."""
    for family in ("tcp", "tcp6"):
        try:
            lines = (connections / family).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a machine without IPv6 has no second table
        for line in lines:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED:
                yield int(local.rpartition(":")[2], 16), remote.rpartition(":")[0]


def _is_loopback(address: str) -> bool:
    """Whether an address is 127.0.0.0/8, as such or mapped into IPv6, or ::1.

    The kernel prints each 32-bit word in the machine's own order, which on Intel is the last byte first.
    """
    mapped = address.removeprefix("0000000000000000FFFF0000")
    return (len(mapped) == 8 and mapped.endswith("7F")) or address == f"{'0' * 24}01000000"
