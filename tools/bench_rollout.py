"""How long a change takes to roll through the lab, and how long the gateway takes to notice a node that leaves."""

import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import mirror, nodes, pin

Run = Callable[[list[str]], str]
"""Runs a command to its end and returns what it printed."""

SHARES = {"draining": "leave rotation", "restarting": "start units", "probing": "probe"}
"""Word of the table to step of the node's transaction."""
ROUNDS = 3
"""Times each node leaves; the worst counts."""

# Watches on the gateway until its program has told nginx that a node is to have no new work, and prints when.
_WATCH = """
import json, sys, time
deadline = time.time() + 30
while time.time() < deadline:
    known = json.load(open("/run/ipex-gateway/state.json"))["rotation"]
    treated = {nodes[sys.argv[1]] for nodes in known.values()}
    if (treated == {"in"}) == (sys.argv[2] == "in"):
        print(time.time())
        sys.exit()
    time.sleep(0.01)
sys.exit("it never happened")
"""
_DRAIN = (
    """mkdir -p /run/ipex && echo '{"reason": "bench", "by": "operator", "since": ""}' > /run/ipex/drain.new """
    "&& date +%s.%N && mv /run/ipex/drain.new /run/ipex/drain"
)


def rolling(command: Sequence[str], names: Sequence[str], monitor: str, run: Run) -> dict[str, Any]:
    """Roll a new revision through some GPU nodes.

    Args:
        command: What deploys, without its options: pyinfra, inventory, deploy.py.
        names: The nodes.
        monitor: Keeps the record of the run.
        run: Runs a command.
    """
    found = pin.publish(mirror.WWW, version=f"2.{time.time_ns() // 1_000_000}")
    flake = json.dumps({"url": f"{pin.SERVER}/{found.path}", "nar_hash": found.nar_hash})
    # The monitor keeps the depot, which must build the new release first.
    limits = [word for name in (*names, monitor) for word in ("--limit", name)]
    begun = time.monotonic()
    # -vvv prints each command that a node is given, behind the node's name.
    output = run([command[0], "-y", "-vvv", *limits, "--data", f"flake={flake}", *command[1:]])
    seconds = time.monotonic() - begun
    record = json.loads(nodes.run(nodes.find(monitor), "tail -n 1 /var/lib/ipex/rollouts.jsonl").stdout)
    return {
        "nodes": len(names),
        "seconds": seconds,
        "waves": len(record["plan"]),
        **_shares([step for node in record["nodes"].values() for step in node["steps"]]),
        "commands_per_node": sum(_commands(output, name) for name in names) / len(names),
    }


def _commands(output: str, name: str) -> int:
    return len(re.findall(rf"\[{re.escape(name)}\]\s+>>>", output))


def _shares(steps: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return which share of the nodes' own time went where."""
    spent = [(step["name"], step["seconds"]) for step in steps]
    whole = sum(seconds for _, seconds in spent) or 1.0
    return {word: sum(seconds for name, seconds in spent if name == wanted) / whole for word, wanted in SHARES.items()}


def leaving(gateway: str, node: str) -> dict[str, float]:
    """Time from a node's leaving to an nginx without it, in seconds: the worst of some rounds."""
    return {
        "draining_seconds": max(_draining(gateway, node) for _ in range(ROUNDS)),
        "dead_seconds": max(_dead(gateway, node) for _ in range(ROUNDS)),
    }


def _draining(gateway: str, node: str) -> float:
    with ThreadPoolExecutor(1) as pool:
        out = pool.submit(_when, gateway, node, "out")
        time.sleep(0.5)  # until it watches
        since = float(nodes.run(nodes.find(node), _DRAIN).stdout)
        took = out.result() - since
    nodes.run(nodes.find(node), "rm -f /run/ipex/drain")
    _when(gateway, node, "in")
    return took


def _dead(gateway: str, node: str) -> float:
    with ThreadPoolExecutor(1) as pool:
        out = pool.submit(_when, gateway, node, "out")
        time.sleep(0.5)
        since = time.time()  # the nodes share this machine's clock
        nodes.power_off(nodes.find(node))
        took = out.result() - since
    nodes.boot(nodes.find(node))
    _when(gateway, node, "in")
    return took


def _when(gateway: str, node: str, wanted: str) -> float:
    source = _WATCH.replace('"', '\\"')
    return float(nodes.run(nodes.find(gateway), f'python3 -c "{source}" {node} {wanted}').stdout)


def write(rows: list[dict[str, Any]], left: dict[str, float], line: Callable[[str], None] = print) -> None:
    """Print both as tables for people."""
    line("\nA change of the flake's revision, rolled through a fleet without load")
    line(f"{'nodes':>5} {'waves':>5} {'s':>7} {'draining':>9} {'restarting':>10} {'probing':>8} {'commands/node':>14}")
    for row in rows:
        shares = f"{row['draining']:>9.0%} {row['restarting']:>10.0%} {row['probing']:>8.0%}"
        line(f"{row['nodes']:>5} {row['waves']:>5} {row['seconds']:>7.1f} {shares} {row['commands_per_node']:>14.1f}")
    line(f"in rotation after its wish to drain: {left['draining_seconds']:.2f} s (goal: at most 2)")
    line(f"in rotation after its power was cut: {left['dead_seconds']:.2f} s (goal: at most 3)")
