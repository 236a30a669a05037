"""Measure what rules cost a monitor of 100 GPU nodes, and a node its disk: `python -m tools.bench_rules` (root).

The pages of the lab's own nodes, or of files (`--page JOB=FILE`), are repeated for 100 nodes and written into a
database by promtool, as far back as the rules look; a Prometheus over that database evaluates the rules. Both
programs are this machine's, or those of the lab's monitor, which run here as well.
"""

import argparse
import contextlib
import dataclasses
import json
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import load
from fleet.desired import rules
from fleet.model import Fleet
from fleet.thresholds import seconds
from lab import disk, nodes

NODES = 100
SCRAPE_SECONDS = 15
GOAL_SHARE = 0.1
_AHEAD_SECONDS = 600
"""Of the series that is yet to come when they are written: they must outlive the measure."""
_BLOCK_SECONDS = 7200
_SERIES = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
_RANGE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{[^}]*\})?\[(\d+[smhdw])\]")

Pages = Mapping[str, str]
"""Job to the page of its exporter."""


@dataclass(frozen=True)
class Rules:
    """What was measured.

    Attributes:
        nodes: GPU nodes whose series were there.
        rules: rules that were evaluated.
        evaluation_ms: of all groups together, one after the other.
        interval_share: of the declared interval.
        series_per_node: series of one node's own pages.
        bytes_per_sample: of one node's pages in a block of two hours, its index included.
    """

    nodes: int
    rules: int
    evaluation_ms: float
    interval_share: float
    series_per_node: int
    bytes_per_sample: float


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_rules", description=__doc__)
    parser.add_argument("--page", action="append", default=[], help="JOB=FILE, instead of the lab's own pages")
    given = dict(page.split("=", 1) for page in parser.parse_args().page)
    write(measure({job: Path(file).read_text() for job, file in given.items()} or lab_pages()))
    return 0


def lab_pages(inventory: str = "inventory/lab.py") -> Pages:
    """Ask the running lab's first GPU node and gateway."""
    fleet = load.from_file(inventory)
    gpu, gateway = fleet.with_role("gpu_nodes")[0], fleet.with_role("gateways")[0]
    ports = {"ipex": (gpu, gpu.agent.port), "node": (gpu, gpu.node_exporter.port)}
    if gateway.gateway:
        ports["nginx"] = (gateway, gateway.gateway.connections_port)
        ports["gateway"] = (gateway, gateway.gateway.log.port)
    return {
        job: nodes.run(nodes.find(node.name), f"curl -s http://localhost:{port}/metrics", 20).stdout
        for job, (node, port) in ports.items()
    }


def measure(pages: Pages) -> Rules:
    """Write the databases, and let Prometheus evaluate."""
    fleet = _large(load.from_file("inventory/example.py"))
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        files = rules.files(fleet.with_role("monitors")[0], fleet)
        for file in files:
            (place / Path(file.path).name).write_bytes(file.content)
        text = "\n".join(file.content.decode() for file in files)
        spent, interval = _evaluation(place, pages, text, fleet)
        count = len(re.findall(r"^ {6}- (?:alert|record):", text, re.MULTILINE))
        series, size = _size(place, {job: pages[job] for job in ("ipex", "node") if job in pages})
    return Rules(NODES, count, spent * 1000, spent / interval, series, size)


def write(found: Rules) -> None:
    """Print it."""
    met = "met" if found.interval_share < GOAL_SHARE else "MISSED"
    print(f"\nRules of a monitor with {found.nodes} GPU nodes")
    print(
        f"{found.rules} rules take {found.evaluation_ms:.0f} ms, {found.interval_share:.1%} of their interval ({met})"
    )
    print(f"{found.series_per_node} series a GPU node, {found.bytes_per_sample:.2f} bytes a sample")


def _large(fleet: Fleet) -> Fleet:
    """Return the fleet with so many copies of its first GPU node."""
    first = fleet.with_role("gpu_nodes")[0]
    copies = tuple(dataclasses.replace(first, name=f"gpu-{number:03}") for number in range(NODES))
    return dataclasses.replace(fleet, nodes=(*copies, *(node for node in fleet.nodes if not node.is_gpu)))


def _evaluation(place: Path, pages: Pages, text: str, fleet: Fleet) -> tuple[float, int]:
    """Return the seconds of one round of all groups, and the declared interval."""
    monitor = fleet.with_role("monitors")[0]
    if monitor.prometheus is None:
        raise ValueError(monitor.name)
    interval = seconds(monitor.prometheus.evaluation_interval)
    with (place / "fleet.om").open("w") as out:
        for line in _history(_fleet_series(pages, text), text, time.time() + _AHEAD_SECONDS):
            out.write(line)
        out.write("# EOF\n")
    _backfill(place / "fleet.om", place / "data")
    (place / "prometheus.yml").write_text(
        # The written series end later than now, and what is recorded now must still be taken.
        "storage: {tsdb: {out_of_order_time_window: 1h}}\n"
        f"global: {{evaluation_interval: {interval}s}}\nrule_files: [objectives.yml, recording.yml, alerts.yml]\n"
    )
    with _prometheus(place) as port:
        return _rounds(port, interval), interval


def _fleet_series(pages: Pages, text: str) -> Iterator[tuple[str, str, float]]:
    """Yield name, labels and value of each series that a rule reads."""
    used = set(re.findall(r"[a-zA-Z_:][\w:]*", text))
    gateways = {"nginx", "gateway"}
    for job, page in pages.items():
        owners = ["gateway-01"] if job in gateways else [f"gpu-{number:03}" for number in range(NODES)]
        role = "gateways" if job in gateways else "gpu_nodes"
        found = [one for one in _read(page) if one[0] in used]
        for node in owners:
            own = f'job="{job}",node="{node}",roles="{role}"'
            yield "up", own, 1
            for name, labels, value in found:
                # The page's own node is that of the machine it comes from.
                yield name, ",".join(filter(None, (own, re.sub(r'\bnode="[^"]*",?', "", labels)))), value
    for name, value in (("slo:requests:rate5m", 20), ("slo:errors:rate5m", 0.01)):
        for slo in ("availability", "latency"):
            for service in ("comfyui", "ollama"):
                yield name, f'service="{service}",slo="{slo}"', value


def _read(page: str) -> list[tuple[str, str, float]]:
    found = [_SERIES.fullmatch(line) for line in page.splitlines() if not line.startswith("#")]
    return [(one[1], (one[2] or "").rstrip(","), float(one[3])) for one in found if one]


def _history(series: Iterator[tuple[str, str, float]], text: str, until: float) -> Iterator[str]:
    """Yield each series as lines of OpenMetrics, as far back as a rule looks at it."""
    reach: dict[str, int] = {}
    for name, window in _RANGE.findall(text):
        reach[name] = max(reach.get(name, 0), seconds(window))
    for name, labels, value in sorted(series):
        back = reach.get(name, 300) + 300 + _AHEAD_SECONDS
        yield from _samples(name, labels, value, int(until) - back, int(until))


def _samples(name: str, labels: str, value: float, begin: int, end: int) -> Iterator[str]:
    """Yield samples that move as real ones do: what counts rises by uneven steps, what measures trembles."""
    rising, noise = name.endswith(("_total", "_bucket", "_count", "_sum")), random.Random(labels)  # noqa: S311 - no secret
    now = value
    for at in range(begin, end, SCRAPE_SECONDS):
        now = (
            now + noise.randrange(20)
            if rising
            else now
            if value in {0, 1}
            else value * (1 + noise.uniform(-0.01, 0.01))
        )
        yield f"{name}{{{labels}}} {now:.6g} {at}\n"


def _size(place: Path, pages: Pages) -> tuple[int, float]:
    """Return the series of one node and the bytes of a sample, from a block of two hours."""
    series = [
        (name, f'job="{job}",{labels}'.rstrip(","), value) for job in pages for name, labels, value in _read(pages[job])
    ]
    begin = int(time.time()) // _BLOCK_SECONDS * _BLOCK_SECONDS - _BLOCK_SECONDS
    with (place / "node.om").open("w") as out:
        for name, labels, value in sorted(series):
            out.writelines(_samples(name, labels, value, begin, begin + _BLOCK_SECONDS))
        out.write("# EOF\n")
    _backfill(place / "node.om", place / "one", "2h")
    samples = sum(json.loads(meta.read_text())["stats"]["numSamples"] for meta in place.glob("one/*/meta.json"))
    stored = sum(file.stat().st_size for file in place.glob("one/*/**/*") if file.is_file())
    return len(series), stored / samples


@contextlib.contextmanager
def _prometheus(place: Path) -> Iterator[int]:
    """Run a Prometheus on loopback until the block ends."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    options = [f"--config.file={place}/prometheus.yml", f"--storage.tsdb.path={place}/data"]
    options += [f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=60d"]
    with (place / "log").open("w") as log:
        process = subprocess.Popen([_program("prometheus"), *options], stdout=log, stderr=log)
        try:
            yield port
        finally:
            process.terminate()
            process.wait(30)


def _rounds(port: int, interval: int) -> float:
    """Wait for two rounds of every group, and return the seconds of the second."""
    deadline = time.monotonic() + 4 * interval + 60
    first: dict[str, str] = {}
    while time.monotonic() < deadline:
        groups = _groups(port)
        seen = {one["name"]: one["lastEvaluation"] for one in groups if not one["lastEvaluation"].startswith("0001")}
        first = first or (seen if groups and len(seen) == len(groups) else {})
        if first and all(seen[name] != at for name, at in first.items()):
            failed = [rule["lastError"] for one in groups for rule in one["rules"] if rule.get("lastError")]
            if failed:
                sys.exit(f"Rules cannot be evaluated: {failed[0]}")
            if not _asked(port, "query?query=count(ipex:temperature:celsius)")["result"]:
                sys.exit("The rules had nothing to read: the pages hold no series of the agent's.")
            return float(sum(one["evaluationTime"] for one in groups))
        time.sleep(1)
    sys.exit("Prometheus has not evaluated its rules twice.")


def _groups(port: int) -> list[dict[str, Any]]:
    try:
        groups: list[dict[str, Any]] = _asked(port, "rules")["groups"]
    except (urllib.error.URLError, OSError):
        return []  # it has not begun to listen
    return groups


def _asked(port: int, question: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/{question}", timeout=10) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data


def _program(name: str) -> str:
    there = shutil.which(name)
    if there:
        return there
    monitors = [one.name for one in nodes.running() if "monitors" in one.roles]
    for monitor in monitors:
        if (path := disk.changes(monitor) / "usr/bin" / name).exists():
            return str(path)
    return sys.exit(f"There is no {name}: install Debian's prometheus, or start the lab and deploy it.")


def _backfill(source: Path, target: Path, longest: str = "768h") -> None:
    """Make blocks of a file, which promtool reads once for each block: with blocks of two hours, hours for a month."""
    words = ["tsdb", "create-blocks-from", f"--max-block-duration={longest}", "openmetrics", "--quiet"]
    done = subprocess.run(
        [_program("promtool"), *words, str(source), str(target)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"promtool {' '.join(words)} failed:\n{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
