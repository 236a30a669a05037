"""What a service is doing for others right now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ipex_node import border, loopback
from ipex_node.engines import PROOF_SESSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ipex_node.settings import Service

_ESTABLISHED = "01"
"""TCP_ESTABLISHED in Linux' include/net/tcp_states.h, as /proc/net/tcp shows it."""


def count(service: Service, connections: Path) -> int | None:
    """Return how many pieces of work a service has accepted and not finished; none where it does not say."""
    found = work(service, connections)
    return None if found is None else len(found)


def work(service: Service, connections: Path) -> frozenset[str] | None:
    """Name the pieces of work a service has accepted and not finished; none where it does not say.

    ComfyUI's work is its queue: its users' websockets stay open for days. Everybody else's work is a
    connection that comes from outside this node.

    Args:
        service: Whom to ask.
        connections: The directory of the kernel's tables tcp and tcp6.
    """
    return _queued(service.port) if service.engine == "comfyui" else _established(service.port, connections)


def _queued(port: int) -> frozenset[str] | None:
    """Ask ComfyUI for its queue (server.py, GET /queue): lists of number, prompt's id, and more."""
    try:
        queue = border.parse(loopback.get(port, "/queue")[1])
        listed = (*queue["queue_running"], *queue["queue_pending"])
        return frozenset(str(one[:2]) for one in listed if not _is_proof(one))
    except ConnectionRefusedError:
        return frozenset()  # nobody is there, so nobody works
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _is_proof(entry: list[Any]) -> bool:
    """Whether a prompt is a proof's: number, id, graph, extra data (ComfyUI's server.py, POST /prompt)."""
    extra = entry[3] if len(entry) > 3 else {}
    return isinstance(extra, dict) and str(extra.get("client_id")).startswith(PROOF_SESSION)


def _established(port: int, connections: Path) -> frozenset[str]:
    there = ((remote, address) for local, remote, address in _sockets(connections) if local == port)
    return frozenset(remote for remote, address in there if not _is_loopback(address))


def _sockets(connections: Path) -> Iterator[tuple[int, str, str]]:
    """Yield local port, remote end and remote address of each established connection (Linux' proc_net_tcp.txt)."""
    for family in ("tcp", "tcp6"):
        try:
            lines = (connections / family).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:
            continue  # a machine without IPv6 has no second table
        for line in lines:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED:
                yield int(local.rpartition(":")[2], 16), remote, remote.rpartition(":")[0]


def _is_loopback(address: str) -> bool:
    """Whether an address is 127.0.0.0/8, as such or mapped into IPv6, or ::1.

    The kernel prints each 32-bit word in the machine's own order, which on Intel is the last byte first.
    """
    mapped = address.removeprefix("0000000000000000FFFF0000")
    return (len(mapped) == 8 and mapped.endswith("7F")) or address == f"{'0' * 24}01000000"
