"""Measure the agent and the sampler over 2 GPUs and 200 processes that hold them: `python -m tools.bench_agent`.

Both run as on a node, the same program over a tree of plain files. node_exporter is measured beside them where it
is installed; `make bench` measures it beside the agent on a node of the lab, too.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleet import desired, load
from lab import hardware, hardware_clients, nodes
from lab.hardware import KINDS

ROOT = Path(__file__).parents[1]
PROCESSES, DESCRIPTORS, SCRAPES, SAMPLES = 200, 20, 200, 40
IDLE_SECONDS = 10.0
GOALS = {"scrape_p95_ms": 20.0, "resident_mb": 30.0, "idle_percent": 0.2}
_START = "import sys; sys.path.insert(0, {root!r}); from pathlib import Path; "
_AGENT = _START + (
    "from ipex_node.__main__ import main; from ipex_node.paths import Paths; from ipex_node.world import World; "
    "main(['agent'], World(Paths(Path({node!r}))))"
)
_SAMPLER = _START + (
    "import json, time; from ipex_node import samples; from ipex_node.gpu.sampler import Sampler\n"
    "node = Path({node!r})\n"
    "sampler = Sampler(node / 'sysfs', node / 'proc', node / 'dri')\n"
    "spent = []\n"
    "for _ in range({rounds}):\n"
    "    begun = time.process_time()\n"
    "    samples.write(node / 'run/ipex-gpu/samples.json', sampler.sample())\n"
    "    spent.append((time.process_time() - begun) * 1000)\n"
    "print(json.dumps(spent), flush=True)\n"
    "sys.stdin.read()\n"
)


@dataclass(frozen=True)
class Row:
    """One program's measures; none where it has no such thing.

    Attributes:
        name: Whose.
        scrape_p50_ms: The median scrape.
        scrape_p95_ms: Of a hundred scrapes, five take longer.
        resident_mb: VmRSS.
        idle_percent: Share of one core it takes with nobody asking, at the declared interval.
        page_lines: Lines of its page.
    """

    name: str
    scrape_p50_ms: float | None = None
    scrape_p95_ms: float | None = None
    resident_mb: float | None = None
    idle_percent: float | None = None
    page_lines: int | None = None


def measure(node_exporter: str | None = None) -> list[Row]:
    """Measure all three.

    Args:
        node_exporter: The program; looked for on the machine's path without it.
    """
    exporter = node_exporter or shutil.which("prometheus-node-exporter") or shutil.which("node_exporter")
    with tempfile.TemporaryDirectory() as directory:
        node = Path(directory)
        port, interval = _write_node(node)
        rows = [_sampler(node, interval), _agent(node, port)]
    return [*rows, _exporter(exporter)] if exporter else rows


def _write_node(node: Path) -> tuple[int, float]:
    """Write a node with two GPUs, each used by half of the processes; return its agent's port and the interval."""
    hardware.write(node, "two-gpus")
    (node / "dri").mkdir()
    cards = KINDS["two-gpus"]
    for number in range(PROCESSES):
        use = replace(hardware_clients.LLAMA, pid=2000 + number, client=100 + number)
        fdinfo = node / "proc" / str(use.pid) / "fdinfo"
        fdinfo.mkdir(parents=True)
        for descriptor in range(DESCRIPTORS - 1):
            (fdinfo / str(descriptor)).write_text(hardware_clients.OTHER_FILE + "\n")
        (fdinfo / str(DESCRIPTORS)).write_text(hardware.fdinfo(use, cards[number % 2], 0) + "\n")
    fleet = load.from_file("inventory/example.py")
    declared = next(
        file for file in desired.generation(fleet["gpu-01"], fleet).files if file.path.endswith("node.json")
    )
    settings: dict[str, Any] = json.loads(declared.content)
    settings["agent"]["port"] = _free_port()
    settings["services"] = []
    (node / "etc/ipex").mkdir(parents=True)
    (node / "etc/ipex/node.json").write_text(json.dumps(settings))
    return settings["agent"]["port"], float(settings["sampling"]["gpu_seconds"])


def _sampler(node: Path, interval: float) -> Row:
    """Let it measure many times without a pause; the first times, in which it learns, do not count."""
    program = _SAMPLER.format(root=str(ROOT), node=str(node), rounds=SAMPLES)
    with _running([sys.executable, "-I", "-c", program], stdout=subprocess.PIPE) as process:
        spent = json.loads(process.stdout.readline() if process.stdout else b"[]")[4:]
        milliseconds = statistics.mean(spent)
        name = f"ipex-node gpu ({milliseconds:.1f} ms CPU a look)"
        return Row(name, resident_mb=_resident(process.pid), idle_percent=milliseconds / interval / 10)


def _agent(node: Path, port: int) -> Row:
    program = _AGENT.format(root=str(ROOT), node=str(node))
    with _running(
        [sys.executable, "-I", "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        return _scraped("ipex-node agent", port, process.pid)


def _exporter(program: str) -> Row:
    port = _free_port()
    command = [program, f"--web.listen-address=127.0.0.1:{port}"]
    with _running(command, stderr=subprocess.DEVNULL) as process:
        return _scraped("node_exporter", port, process.pid)


def _scraped(name: str, port: int, pid: int) -> Row:
    """Scrape a running program as Prometheus does, over one connection."""
    _await(lambda: _scrape(http.client.HTTPConnection("127.0.0.1", port, timeout=5)))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    pages: list[tuple[float, int]] = [_scrape(connection) for _ in range(SCRAPES)]
    connection.close()
    times = statistics.quantiles((seconds * 1000 for seconds, _ in pages), n=20)
    return Row(name, times[9], times[18], _resident(pid), _idle(pid), pages[-1][1])


def deployed(name: str, inventory: str = "inventory/lab.py") -> list[Row]:
    """Measure a node of the running lab from within: its own units, as they were deployed."""
    node = load.from_file(inventory)[name]
    ports = {"ipex-agent": node.agent.port, "prometheus-node-exporter": node.node_exporter.port}
    return [_on_node(name, unit, port) for unit, port in ports.items()]


def _on_node(name: str, unit: str, port: int) -> Row:
    once = f"curl -s -o /dev/null -w '%{{time_total}}\\n' http://localhost:{port}/metrics"
    said = nodes.run(nodes.find(name), f"for i in $(seq {SCRAPES}); do {once}; done", 120).stdout
    times = statistics.quantiles((float(line) * 1000 for line in said.split()), n=20)
    status = nodes.run(nodes.find(name), f"cat /proc/$(systemctl show -p MainPID --value {unit})/status", 20).stdout
    return Row(f"{unit} on {name}", times[9], times[18], _resident_in(status))


def _scrape(connection: http.client.HTTPConnection) -> tuple[float, int]:
    """Return the seconds of one scrape and the lines of its page."""
    begun = time.monotonic()
    connection.request("GET", "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    page = connection.getresponse().read()
    return time.monotonic() - begun, page.count(b"\n")


def _await(action: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            action()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


@contextlib.contextmanager
def _running(command: list[str], **streams: int) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=ROOT, **streams) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.terminate()


def _idle(pid: int) -> float:
    """Return the share of one core, in percent, that a program takes while nobody asks it."""
    before = _on_processor(pid)
    time.sleep(IDLE_SECONDS)
    return (_on_processor(pid) - before) / 1e9 / IDLE_SECONDS * 100


def _on_processor(pid: int) -> int:
    """Return the nanoseconds its threads have run (Linux' Documentation/scheduler/sched-stats.rst)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def _resident(pid: int) -> float:
    return _resident_in(Path(f"/proc/{pid}/status").read_text())


def _resident_in(status: str) -> float:
    """Return a process' resident memory in MB of 10^6 bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def write(rows: list[Row], say: Callable[[str], None] = print) -> None:
    """Print a table, and the goals below it."""
    say(f"\nMetrics of 2 GPUs and {PROCESSES} processes with {DESCRIPTORS} descriptors each, {SCRAPES} scrapes")
    say(f"{'':<36} {'p50 ms':>7} {'p95 ms':>7} {'MB':>6} {'idle %':>7} {'lines':>6}")
    for row in rows:
        numbers = (row.scrape_p50_ms, row.scrape_p95_ms, row.resident_mb, row.idle_percent)
        words = (f"{number:.2f}" if number is not None else "-" for number in numbers)
        say("{:<36} {:>7} {:>7} {:>6} {:>7} {:>6}".format(row.name, *words, row.page_lines or "-"))
    goals = f"p95 {GOALS['scrape_p95_ms']:.0f} ms, {GOALS['resident_mb']:.0f} MB, {GOALS['idle_percent']} % of one core"
    missing = "" if any("exporter" in row.name for row in rows) else "; node_exporter is not installed here"
    say(f"goals: {goals}; {os.cpu_count()} cores{missing}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_agent", description=__doc__)
    parser.add_argument("--node-exporter", metavar="PROGRAM", help="where it is, if not on the path")
    write(measure(parser.parse_args().node_exporter))
    return 0


if __name__ == "__main__":
    sys.exit(main())
