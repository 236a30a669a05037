"""Which ports of other machines can be reached from here: a program of its own, run in a node's network namespace.

`python scanner.py SECONDS ADDRESS... < PORTS` reads port numbers as JSON, and prints {ADDRESS: [open ports]}. A port is
open when a connection is made; one that is refused, unreachable, or silent for so many seconds is not.
"""

import errno
import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator

WINDOW = 2000
"""Connections under way at once: below the usual limit of open files once that is raised."""


def scan(targets: Iterator[tuple[str, int]], seconds: float) -> Iterator[tuple[str, int]]:
    """Yield what can be reached, trying WINDOW ports at a time."""
    selector, pending = selectors.DefaultSelector(), dict[socket.socket, tuple[float, tuple[str, int]]]()
    more = True
    while more or pending:
        while more and len(pending) < WINDOW:
            target = next(targets, None)
            more = target is not None
            if target and (found := _begin(target)):
                pending[found] = (time.monotonic() + seconds, target)
                selector.register(found, selectors.EVENT_WRITE)
        for key, _ in selector.select(timeout=0.05):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                yield pending[connection][1]
            _end(selector, pending, connection)
        now = time.monotonic()
        # Oldest first: dictionaries keep their order.
        for connection in [one for one, (deadline, _) in pending.items() if deadline <= now]:
            _end(selector, pending, connection)


def _begin(target: tuple[str, int]) -> socket.socket | None:
    address, _, scope = target[0].partition("%")
    connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(0)
    where = (address, target[1], 0, socket.if_nametoindex(scope)) if ":" in address else (address, target[1])
    if connection.connect_ex(where) in {0, errno.EINPROGRESS}:
        return connection
    connection.close()
    return None


def _end(
    selector: selectors.BaseSelector,
    pending: dict[socket.socket, tuple[float, tuple[str, int]]],
    connection: socket.socket,
) -> None:
    selector.unregister(connection)
    del pending[connection]
    connection.close()


def echoes(address: str, ports: list[int], seconds: float) -> list[int]:
    """Return the UDP ports that send back what they are sent."""
    answered = []
    for port in ports:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(seconds)
            one.connect((address, port))
            try:
                one.send(b"scan")
                if one.recv(16) == b"scan":
                    answered.append(port)
            except OSError:
                continue
    return answered


def main() -> int:
    """Scan as the command line says."""
    seconds, addresses = float(sys.argv[1]), sys.argv[2:]
    asked = json.load(sys.stdin)
    targets = ((address, port) for port in asked["tcp"] for address in addresses)
    found: dict[str, dict[str, list[int]]] = {address: {"tcp": [], "udp": []} for address in addresses}
    for address, port in scan(targets, seconds):
        found[address]["tcp"].append(port)
    for address in addresses:
        found[address]["udp"] = echoes(address, asked["udp"], 0.3)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
