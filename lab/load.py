"""A crowd of users for a gateway: streams, plain calls and prompts, and a count of all that went wrong.

`python -m lab load 198.18.0.21` prints one JSON object. SIGTERM ends it: what was begun is finished first.
"""

import argparse
import asyncio
import ipaddress
import itertools
import json
import random
import signal
import statistics
import time
from collections.abc import Iterable, Sequence

from lab import gateways, load_clients
from lab.load_http import Target
from lab.load_tally import Load, Tally
from lab.state import LabError

ALLOWED = tuple(ipaddress.ip_network(network) for network in ("198.18.0.0/15", "127.0.0.0/8"))
"""RFC 2544's range for testing, and loopback: a crowd is never sent to a machine of somebody else's."""

MIX = (
    ("stream", load_clients.stream, 0.6),
    ("plain", load_clients.plain, 0.25),
    ("prompt", load_clients.prompt, 0.15),
)
"""Each kind of users and its share of the crowd."""

ARRIVAL_SHARE = 0.1
"""Share of the time after which all users have come: not all in the same millisecond."""


def options(parser: argparse.ArgumentParser) -> None:
    """Give a parser this command's arguments."""
    parser.add_argument("gateway", help="the gateway's address, of the lab's network or loopback")
    parser.add_argument("--port", type=int, default=443, help="default: %(default)s")
    parser.add_argument("--client", default=gateways.USER, help="whose key is sent; default: %(default)s")
    parser.add_argument("--plain", action="store_true", help="without TLS and key: for a gateway of few lines")
    parser.add_argument("--clients", type=int, default=100, help="concurrent users; default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60, help="when nobody begins anew; default: %(default)s")
    parser.add_argument("--pause", type=float, default=0.5, help="between requests that do not stream, in seconds")
    parser.add_argument("--stream-seconds", type=float, default=20, help="the longest stream; default: %(default)s")
    parser.add_argument("--token-seconds", type=float, default=0.02, help="the engines' pace; default: %(default)s")
    parser.set_defaults(command=command)


def command(chosen: argparse.Namespace) -> int:
    """Run the load, print its report, and return 0 when no request went wrong, else 1."""
    aim = target(chosen.gateway, chosen.port, "" if chosen.plain else chosen.client)
    load = Load(aim, chosen.token_seconds, chosen.stream_seconds, chosen.pause)
    found = asyncio.run(run(load, chosen.clients, chosen.seconds))
    print(json.dumps(found), flush=True)
    return 0 if found["ok"] else 1


def target(address: str, port: int, client: str) -> Target:
    """Return where the load goes.

    Args:
        address: The gateway's.
        port: Its port.
        client: Whose key is sent; empty is without TLS and key.

    Raises:
        LabError: That is no address of the lab, or the client has no key.
    """
    try:
        allowed = any(ipaddress.ip_address(address) in network for network in ALLOWED)
    except ValueError:
        allowed = False
    if not allowed:
        networks = " and ".join(map(str, ALLOWED))
        raise LabError(f"{address} is no target for a load: only addresses in {networks} are")
    if not client:
        return Target(address, port)
    return Target(address, port, gateways.trusted(), gateways.name(), gateways.key(client))


async def run(load: Load, clients: int, seconds: float) -> dict[str, object]:
    """Let the crowd work for that many seconds, or until SIGTERM, and report."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, load.stop.set)
    loop.call_later(seconds, load.stop.set)
    begun = time.monotonic()
    async with asyncio.TaskGroup() as crowd:
        for kind in kinds(clients):
            crowd.create_task(_user(load, kind, min(2.0, seconds * ARRIVAL_SHARE)))
        await load.stop.wait()
        stopped = time.monotonic()
    return report(load, begun, stopped)


def kinds(clients: int) -> list[str]:
    """Share a crowd out to the kinds of users; whoever is left over streams."""
    counted = {kind: int(clients * share) for kind, _, share in MIX}
    counted["stream"] += clients - sum(counted.values())
    return [kind for kind, count in counted.items() for _ in range(count)]


async def _user(load: Load, kind: str, arrival: float) -> None:
    await asyncio.sleep(random.uniform(0, arrival))  # noqa: S311 - no secret
    works = {name: work for name, work, _ in MIX}
    await works[kind](load)


def report(load: Load, begun: float, stopped: float) -> dict[str, object]:
    """Sum up.

    Args:
        load: What was counted.
        begun: When the first user came, of `time.monotonic()`.
        stopped: When nobody began anew; only the last streams came to their end after that.
    """
    tallies = load.tallies.values()
    bad = {name: sum(getattr(tally, name) for tally in tallies) for name in ("errors", "truncated", "lost")}
    return {
        "ok": not any(bad.values()),
        "seconds": round(stopped - begun, 3),
        "requests": sum(tally.requests for tally in tallies),
        **bad,
        "longest_gap_seconds": longest_gap([one for tally in tallies for one in tally.completed], begun, stopped),
        "kinds": {kind: _row(tally, begun, stopped) for kind, tally in load.tallies.items()},
        "noted": [
            {"kind": kind, "why": why, "first": round(first, 3), "count": count}
            for (kind, why), (first, count) in load.noted.items()
        ],
    }


def longest_gap(completed: Iterable[float], begun: float, stopped: float) -> float:
    """Return the longest time, in seconds, in which no answer was completed."""
    moments = [begun, *sorted(moment for moment in completed if moment <= stopped), stopped]
    return round(max(late - early for early, late in itertools.pairwise(moments)), 3)


def _row(tally: Tally, begun: float, stopped: float) -> dict[str, object]:
    return {
        "requests": tally.requests,
        "errors": tally.errors,
        "truncated": tally.truncated,
        "lost": tally.lost,
        "moved": tally.moved,
        "longest_gap_seconds": longest_gap(tally.completed, begun, stopped),
        "nodes": dict(sorted(tally.nodes.items())),
        "p50_seconds": percentile(tally.seconds, 50),
        "p95_seconds": percentile(tally.seconds, 95),
    }


def percentile(seconds: Sequence[float], share: int) -> float | None:
    """Return the value below which `share` percent of them lie; none for fewer than two."""
    if len(seconds) < 2:
        return None
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[share - 1], 3)
