"""How long GPU nodes take to have a new release's closure: each from its source, or all from the depot.

`python -m tools.bench_builds`, as root.

The lab must be up and deployed. `make bench` measures four nodes, this all that the inventory has.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from fleet import depot, load
from lab import mirror, nodes, pin

ROUNDS = 3
BALLAST = 64_000_000
"""Bytes of a closure beside the lab's small engines; nothing packs them smaller."""
_OUT = "/run/ipex-bench-closure"
_PROGRAM = "/usr/local/bin/ipex-node"
_LIBRARY = f"import json, sys; sys.path.insert(0, {_PROGRAM!r}); from pathlib import Path\n"
_TAKE = (
    _LIBRARY
    + """
from ipex_node.depot import settings
from ipex_node.depot.take import take
from ipex_node.world import World
take(World(), settings.load(Path(settings.PATH)), sys.argv[1], Path(sys.argv[2]), Path('/'))
"""
)
_ITSELF = (
    "nix --extra-experimental-features 'nix-command flakes' build --option max-jobs 1 --option substituters '' "
    f"--out-link {_OUT} "
)


@dataclasses.dataclass(frozen=True)
class Builds:
    """Seconds until all nodes have a new closure, medians of rounds in turn.

    Attributes:
        nodes: how many.
        without: each fetches the flake's source, evaluates and builds.
        with_cache: the depot's node builds, signs and packs; then all take it.
        taking: the second part of that alone.
        built_without: closures built in the fleet for one release.
        built_with: the same, with the depot.
    """

    nodes: int
    without: float
    with_cache: float
    taking: float
    built_without: int
    built_with: int


def measure(inventory: str, names: Sequence[str], monitor: str) -> Builds:
    """Bring new closures to some GPU nodes in both ways, in turn, so that a slow minute slows both.

    Args:
        inventory: the fleet's, whose secrets hold the depot's keys.
        names: the nodes.
        monitor: keeps the depot.
    """
    rows = [(*_without(names), *_with(inventory, names, monitor)) for _ in range(ROUNDS)]
    without, built_without, with_cache, taking, built_with = zip(*rows, strict=True)
    one, two, three = map(statistics.median, (without, with_cache, taking))
    return Builds(len(names), one, two, three, max(built_without), max(built_with))


def _without(names: Sequence[str]) -> tuple[float, int]:
    reference = _release()
    seconds = _all(names, _ITSELF + f"'{reference}'")
    return seconds, sum(_built(name) for name in names)


def _with(inventory: str, names: Sequence[str], monitor: str) -> tuple[float, float, int]:
    reference = _release()
    fleet = load.from_file(inventory)
    request = {
        "references": [reference],
        "cache_key": fleet.secrets.get(depot.CACHE_KEY).reveal(),
        "closure_key": fleet.secrets.get(depot.CLOSURE_KEY).reveal(),
        "nix_conf": _do(monitor, "cat /etc/nix/nix.conf"),
        "cache_gb": 1,
        "free_gb": 0,
        "nodes": [node.name for node in fleet.nodes],
        "needed": {},
    }
    order = "/run/ipex-bench-request.json"
    _do(monitor, f"umask 077; cat > {order} <<'END'\n{json.dumps(request)}\nEND")
    begun = time.monotonic()
    _do(monitor, f"ipex-node build {order}; status=$?; rm -f {order}; exit $status")
    built = time.monotonic()
    _all(names, f"""python3 -I -c "{_TAKE}" '{reference}' {_OUT}""")
    ended = time.monotonic()
    path = _do(names[0], f"readlink {_OUT}").strip()
    return ended - begun, ended - built, _built(monitor, path) + sum(_built(name) for name in names)


def _release() -> str:
    found = pin.publish(mirror.WWW, version=f"3.{time.time_ns() // 1_000_000}", ballast=os.urandom(BALLAST))
    return f"{found.reference()}#ollama-ipex"


def _all(names: Sequence[str], command: str) -> float:
    """Run a command on all nodes at once, and return after how many seconds the last has ended."""
    for name in names:
        _do(name, f"rm -f {_OUT}")
    begun = time.monotonic()
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: _do(name, command), names))
    return time.monotonic() - begun


def _built(name: str, path: str = _OUT) -> int:
    """Whether a node has built its closure itself: Nix says that of each path, and no signature is needed then."""
    told = _do(name, f"nix --extra-experimental-features nix-command path-info --json {path}")
    _do(name, f"rm -f {_OUT}")
    return sum(bool(one["ultimate"]) for one in json.loads(told).values())


def _do(node: str, command: str) -> str:
    result = nodes.run(nodes.find(node), command, 600)
    if result.returncode:
        raise RuntimeError(f"{node}: {command}\n{result.stdout}{result.stderr}")
    return result.stdout


def write(builds: Builds, line: Callable[[str], None] = print) -> None:
    """Print it."""
    line(f"\n{builds.nodes} nodes to a new closure of {BALLAST / 1e6:.0f} MB (medians of {ROUNDS} alternating runs)")
    line(f"each for itself {builds.without:.1f} s, {builds.built_without} builds")
    line(f"from the depot {builds.with_cache:.1f} s, {builds.built_with} build; of it the nodes {builds.taking:.1f} s")


def main() -> int:
    """Measure a lab that stands, and print it."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_builds", description=__doc__)
    parser.add_argument("--inventory", default="inventory/lab.py", help="the lab's; default: %(default)s")
    inventory = parser.parse_args().inventory
    fleet = load.from_file(inventory)
    server = fleet.depot_node
    if server is None:
        sys.exit(f"{inventory}: this fleet has no depot")
    write(measure(inventory, [node.name for node in fleet.nodes if node.is_gpu], server.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
