"""A crowd of users in front of the lab's gateway, and a fleet that is fit to serve it."""

import json
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab import mirror, pin
from tests.lab_fleet import ROOT, Lab

TOKEN_SECONDS = 0.2
ARRIVED_SECONDS = 3.0
"""After this long the whole crowd is there, and its streams run."""


@dataclass
class Crowd:
    """The users while they are there, and what became of their requests."""

    process: subprocess.Popen[str]
    report: dict[str, Any] = field(default_factory=dict)

    def lost_nothing(self) -> bool:
        """Print the counts and the longest gaps, and what was lost; tell whether nobody lost anything."""
        report = self.report
        print(
            f"\n{report['requests']} requests in {report['seconds']:.0f} s, {report['errors']} errors, "
            f"{report['truncated']} truncated, {report['lost']} lost; longest gap {report['longest_gap_seconds']} s"
        )
        for kind, row in report["kinds"].items():
            print(
                f"  {kind}: {row['requests']}, longest gap {row['longest_gap_seconds']} s, {row['moved']} moved, "
                f"p95 {row['p95_seconds']} s, {row['nodes']}"
            )
        for note in report["noted"]:
            print(f"  {note}")
        return bool(report["ok"])


@contextmanager
def crowd(lab: Lab, clients: int = 40, stream_seconds: float = 8) -> Iterator[Crowd]:
    """Users of the lab's gateway for the time of the block; what they had begun then is finished first."""
    command = [
        *(sys.executable, "-m", "lab", "load", lab.node(lab.gateway).address, "--clients", str(clients)),
        *("--seconds", "900", "--stream-seconds", str(stream_seconds), "--token-seconds", str(TOKEN_SECONDS)),
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        found = Crowd(process)
        try:
            time.sleep(ARRIVED_SECONDS)
            yield found
        finally:
            process.send_signal(signal.SIGTERM)
            found.report = json.loads(process.communicate(timeout=150)[0])


def data(version: str | None = None, **more: object) -> list[str]:
    """Arguments of a deploy whose engines serve many streams at once, slowly, whatever revision they are.

    Args:
        version: Revision of the lab's flake, packed for it; None is the one the data pin.
        more: Further data, by key.
    """
    environment = runpy.run_path(str(ROOT / "group_data/gpu_nodes.py"))["services"]["ollama"]["environment"]
    patient = {"OLLAMA_NUM_PARALLEL": "64", "OLLAMA_LAB_TOKEN_SECONDS": str(TOKEN_SECONDS)}
    values: dict[str, object] = {"node_overrides": {"ollama": {"environment": {**environment, **patient}}}, **more}
    if version:
        found = pin.publish(mirror.WWW, version=version)
        values["flake"] = {"url": f"{pin.SERVER}/{found.path}", "nar_hash": found.nar_hash}
    return [word for key, value in values.items() for word in ("--data", f"{key}={_text(value)}")]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def fresh(fault: str = "") -> str:
    """Name a revision that no node has quarantined yet; a fault is what makes it a broken one."""
    return f"2.{time.time_ns() // 1_000_000}" + (f"-{fault}" if fault else "")


def revisions(lab: Lab) -> dict[str, str]:
    """The revision of each GPU node's Ollama that runs, as it says itself."""
    question = "curl -sf -m 5 http://127.0.0.1:11434/api/version"
    return {name: json.loads(lab.output(name, question))["version"].partition("-lab")[2] for name in lab.gpus}


def serves(lab: Lab) -> None:
    """Assert that every GPU node does its work, each with all files of one generation, and the gateway's routes do."""
    for name in lab.gpus:
        lab.output(name, "ipex-node probe")
        assert lab.status(name)["drift"] == [], name
        lab.output(name, "test ! -e /run/ipex/activating && test ! -e /run/ipex/drain")
    lab.output(lab.gateway, "ipex-node verify")
