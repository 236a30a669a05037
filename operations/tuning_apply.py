"""Take over what a tuning has found: as data, by a deploy of its own; measured again, and taken back if slower."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pyinfra import logger

from fleet import tuned
from fleet.load import RefusedError
from fleet.tuned import Tuned
from operations import command_line
from operations.node_command import Answer
from operations.survey import Survey


def take_over(run: Survey, measured: Mapping[str, Answer], found: Tuned) -> None:
    """Write the environment's file of settings, deploy the nodes it is about, and measure them once more.

    Raises:
        RefusedError: it could not be deployed, or was slower than what had been declared: the file is as it was, and
            so are the nodes, where a second deploy could bring them back.
    """
    path, nodes = tuned.place(run.fleet.environment), list(found)
    before = path.read_text() if path.exists() else None
    path.write_text(tuned.dump(tuned.merged(tuned.read(path), found)))
    logger.info("--> Taking over what is faster on %s: %s", ", ".join(nodes), path)
    if _pyinfra(nodes, "deploy.py").returncode:
        _back(path, before, nodes, "it could not be deployed")
    if wrong := slower(_speeds(measured), _measured_again(nodes), nodes):
        _back(path, before, nodes, "; ".join(wrong))
    logger.info("--> Taken over on %s; commit %s", ", ".join(nodes), path)


def slower(
    before: Mapping[tuple[str, str], float], now: Mapping[tuple[str, str], float], nodes: list[str]
) -> list[str]:
    """What is not faster than before, each in words. Pure.

    Args:
        before: node and service to the tokens per second of the setting that was declared.
        now: the same for the one that is declared now; what has no figures is not known to be faster.
        nodes: whose.
    """
    return [
        f"{node} {service}: {now.get((node, service), 0.0):.1f} instead of {speed:.1f} tokens/s"
        for (node, service), speed in before.items()
        if node in nodes and now.get((node, service), 0.0) < speed
    ]


def _speeds(measured: Mapping[str, Answer]) -> dict[tuple[str, str], float]:
    rows = [(name, row) for name, answer in measured.items() for row in answer["measured"] if row["declared"]]
    return {(name, row["service"]): median(row["tokens_per_second"]) for name, row in rows if row["tokens_per_second"]}


def _measured_again(nodes: Sequence[str]) -> dict[tuple[str, str], float]:
    done = _pyinfra(nodes, "tasks/tune.py", "--data", "action=declared", "--data", "json=true", stdout=subprocess.PIPE)
    try:
        said: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{\n") :])
    except ValueError:
        return {}
    own = {name: {"measured": [row for row in said["measured"] if row["node"] == name]} for name in nodes}
    return _speeds(own)


def _back(path: Path, before: str | None, nodes: Sequence[str], why: str) -> None:
    if before is None:
        path.unlink()
    else:
        path.write_text(before)
    again = _pyinfra(nodes, "deploy.py")
    how = "the nodes have the setting from before" if not again.returncode else "deploy.py has failed: run it again"
    raise RefusedError(f"The proposed settings were not kept: {why}. {path} is as it was, and {how}.")


def _pyinfra(nodes: Sequence[str], *words: str, stdout: int | None = None) -> "subprocess.CompletedProcess[str]":
    """Run a command of this project on some nodes of the same inventory, as a person would."""
    limits = [word for name in nodes for word in ("--limit", name)]
    *options, script = [*words[1:], words[0]]
    command = [sys.executable, "-m", "pyinfra", "-y", *limits, *options, command_line.current().inventory, script]
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=stdout, text=True, check=False)
