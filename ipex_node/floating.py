"""The gateways' floating address: who holds it, who could, and how one gateway gives it to another."""

from __future__ import annotations

import http.client
import ipaddress
import itertools
import time
from typing import TYPE_CHECKING, Any

from ipex_node import border, loopback
from ipex_node.failure import failed
from ipex_node.world import progress

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.paths import Paths
    from ipex_node.settings import Floating

PAUSE_SECONDS = 0.1
"""Between two looks at the address."""
_ANSWER_LIMIT = 64 * 1024


def holds(tables: Path, address: str) -> bool:
    """Whether this machine has an address; nobody has one whose tables cannot be read.

    Args:
        tables: The directory of the kernel's tables of addresses, fib_trie and if_inet6.
        address: The address.
    """
    wanted = ipaddress.ip_address(address)
    try:
        if wanted.version == 6:
            # Each line begins with the 32 digits of an address of an interface (Linux' net/ipv6/addrconf.c).
            lines = (tables / "if_inet6").read_text(encoding="ascii").splitlines()
            return wanted.packed.hex() in {line[:32] for line in lines}
        lines = (tables / "fib_trie").read_text(encoding="ascii").splitlines()
    except OSError:
        return False
    # An address of this machine is a leaf with `/32 host LOCAL` below it (Linux' net/ipv4/fib_trie.c).
    words = [line.split() for line in lines]
    return (["|--", address], ["/32", "host", "LOCAL"]) in itertools.pairwise(words)


def said(paths: Paths, floating: Floating) -> dict[str, Any]:
    """Return what the agent tells of it: `holds` it, and is `able` to hold it.

    Able is a gateway whose units run, and that no operator has drained.
    """
    runs = all((paths.running_units / f"invocation:{unit}").is_symlink() for unit in floating.units)
    able = runs and not paths.kept_drain.exists()
    return {"address": floating.address, "holds": holds(paths.connections, floating.address), "able": able}


def able_peers(floating: Floating) -> list[str]:
    """Ask the other gateways' agents whether they could hold the address, and return those that say so."""
    return [name for name, (address, port) in floating.peers.items() if _peer(address, port).get("able") is True]


def _peer(address: str, port: int) -> dict[str, Any]:
    connection = loopback.Connection(address, port, time.monotonic() + loopback.SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = border.parse(connection.getresponse().read(_ANSWER_LIMIT))
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    word = answer.get("floating") if isinstance(answer, dict) else None
    return word if isinstance(word, dict) else {}


def require_other(floating: Floating) -> None:
    """Refuse to leave the address to nobody.

    Raises:
        FailedError: No other gateway could hold it.
    """
    if not able_peers(floating):
        others = ", ".join(floating.peers)
        why = f"none of the other gateways ({others}) could take {floating.address}: nobody would be served"
        raise failed("drain", why, "bring one of them up and undrain it first, or use --force")


def await_gone(paths: Paths, floating: Floating) -> bool:
    """Wait until this gateway does not hold the address, and say whether that happened in time.

    keepalived's own question to the drained gateway must fail first; three times the promise is a fault.
    """
    deadline = time.monotonic() + 3 * floating.takeover_seconds
    told = False
    while holds(paths.connections, floating.address):
        if time.monotonic() >= deadline:
            return False
        if not told:
            progress(f"wait until another gateway has {floating.address}")
            told = True
        time.sleep(PAUSE_SECONDS)
    return True
