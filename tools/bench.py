"""Measure on the lab's nodes, print a table, write build/bench.json: `python -m tools.bench` (root)."""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tools import bench_agent, bench_backup, bench_builds, bench_gateway, bench_models, bench_rollout, bench_rules

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
PYINFRA = Path(sys.executable).with_name("pyinfra")
SIZES = (1, 4, 16)

_INVENTORY = '''"""The bench's fleet: {size} GPU nodes, a gateway and a monitor."""

gpu_nodes = [
{gpu_nodes}]
gateways = [("gateway-01", {{"ssh_hostname": "198.18.0.21", "floating": None}})]
monitors = [("monitor-01", {{"ssh_hostname": "198.18.0.31"}})]
'''


def main() -> int:
    """Boot and deploy the bench's fleet; time runs that change nothing, a rolling change, and nodes that leave."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each kind, in turn; default: %(default)s")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of nodes; default: 1 4 16")
    arguments = parser.parse_args()
    inventory = _write_inventory(max(arguments.sizes))
    before = _running()
    _run([sys.executable, "-m", "lab", "up", "--inventory", str(inventory)], show=True)
    _run([str(PYINFRA), "-y", str(inventory), "deploy.py"])
    try:
        rows = [_measure(inventory, size, arguments.rounds) for size in arguments.sizes]
        _print(rows)
        changes = [_roll(inventory, size) for size in arguments.sizes if size > 1]
        left = bench_rollout.leaving("gateway-01", "gpu-01")
        bench_rollout.write(changes, left)
        metrics = [*bench_agent.measure(), *bench_agent.deployed("gpu-01")]
        bench_agent.write(metrics)
        rules = bench_rules.measure(bench_rules.lab_pages(str(inventory)))
        bench_rules.write(rules)
        users, throughput = bench_gateway.measure("gateway-01")
        bench_gateway.write(users, throughput)
        copying = bench_models.measure("gpu-01", "gpu-02")
        bench_models.write(copying)
        keeping = bench_backup.measure("gpu-01")
        bench_backup.write(keeping)
        builds = bench_builds.measure(str(inventory), _names(inventory)[:4], "monitor-01")
        bench_builds.write(builds)
    finally:
        _leave(before)
    measures: dict[str, Any] = {"no_op_deploy": rows, "rolling_change": changes, "leaving": left}
    measures["metrics"] = [dataclasses.asdict(row) for row in metrics]
    measures["rules"] = dataclasses.asdict(rules)
    measures["models"] = {**dataclasses.asdict(copying), "share": copying.share, "reached": copying.is_reached}
    measures["backup"] = {**dataclasses.asdict(keeping), "median": keeping.median, "reached": keeping.is_reached}
    measures["builds"] = dataclasses.asdict(builds)
    measures["gateway"] = [*map(dataclasses.asdict, users), *map(dataclasses.asdict, throughput)]
    (ROOT / "build" / "bench.json").write_text(json.dumps(measures, indent=2) + "\n")
    return int(not (copying.is_reached and keeping.is_reached))


def _running() -> set[str]:
    listing = json.loads(_run([sys.executable, "-m", "lab", "nodes", "--json"]))
    return {node["name"] for node in listing if node["running"]}


def _leave(before: set[str]) -> None:
    """Take down what was booted for the bench, and bring what ran before back to its own inventory."""
    down = [sys.executable, "-m", "lab", "down"]
    if not before:
        _run(down)
        return
    if guests := _running() - before:
        _run([*down, *sorted(guests)])
    _run([str(PYINFRA), "-y", "inventory/lab.py", "deploy.py"])


def _write_inventory(size: int) -> Path:
    """Name the file lab.py, so that group_data/lab.py applies to it."""
    nodes = [f'    ("gpu-{number:02}", {{"ssh_hostname": "198.18.0.{100 + number}"}}),\n' for number in _spare(size)]
    lab = [f'    ("gpu-{number:02}", {{"ssh_hostname": "198.18.0.{10 + number}"}}),\n' for number in (1, 2)]
    path = BUILD / "lab.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_INVENTORY.format(size=size, gpu_nodes="".join([*lab, *nodes][:size])))
    return path


def _spare(size: int) -> Iterator[int]:
    """Numbers beside the demo's own three nodes, of which the third is deployed as another user."""
    return iter(range(4, size + 2))


def _measure(inventory: Path, size: int, rounds: int) -> dict[str, float]:
    """Time the two in turn, so that a slow minute of the machine slows both."""
    limits = [argument for name in _names(inventory)[:size] for argument in ("--limit", name)]
    floor = [str(PYINFRA), "-y", *limits, str(inventory), "exec", "--", "true"]
    no_op = [str(PYINFRA), "-y", *limits, str(inventory), "deploy.py"]
    for command in (floor, no_op):
        _run(command)
    pairs = [(_seconds(floor), _seconds(no_op)) for _ in range(rounds)]
    return {
        "nodes": size,
        "floor_seconds": statistics.median(pair[0] for pair in pairs),
        "no_op_seconds": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[1] / pair[0] for pair in pairs),
    }


def _roll(inventory: Path, size: int) -> dict[str, Any]:
    """Roll a new revision through the first nodes, and the declared one back."""
    command = [str(PYINFRA), str(inventory), "deploy.py"]
    row = bench_rollout.rolling(command, _names(inventory)[:size], "monitor-01", _run)
    _run([command[0], "-y", *command[1:]])
    return row


def _names(inventory: Path) -> list[str]:
    return [line.split('"')[1] for line in inventory.read_text().splitlines() if line.startswith('    ("gpu-')]


def _seconds(command: list[str]) -> float:
    begun = time.monotonic()
    output = _run(command)
    if "deploy.py" in command and "Nothing to change" not in output:
        sys.exit(f"The fleet is not as declared, so this is no run that changes nothing:\n{output}")
    return time.monotonic() - begun


def _run(command: list[str], *, show: bool = False) -> str:
    result = subprocess.run(
        command, cwd=ROOT, stdout=None if show else subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if result.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{result.stdout or ''}")
    return result.stdout or ""


def _print(rows: list[dict[str, float]], write: Callable[[str], None] = print) -> None:
    write("\nA run that changes nothing, against connecting and running `true` (medians of alternating runs)")
    write(f"{'nodes':>5} {'floor s':>9} {'no-op s':>9} {'ratio':>6}")
    for row in rows:
        write(f"{row['nodes']:>5} {row['floor_seconds']:>9.2f} {row['no_op_seconds']:>9.2f} {row['ratio']:>6.2f}")
    first, last = rows[0], rows[-1]
    if first is not last:
        span = last["nodes"] - first["nodes"]
        floor = (last["floor_seconds"] - first["floor_seconds"]) / span * 1000
        no_op = (last["no_op_seconds"] - first["no_op_seconds"]) / span * 1000
        write(f"growth per node: floor {floor:.0f} ms, no-op {no_op:.0f} ms")


if __name__ == "__main__":
    sys.exit(main())
