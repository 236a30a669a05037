"""The record of a run: one JSON object, on every monitor that can be reached and on the controller."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from pyinfra import logger

from fleet.desired.program import SOURCE
from fleet.load import node_name
from fleet.outcome import Outcome
from operations import command_line, lock, monitors
from operations.node_command import answers

if TYPE_CHECKING:
    from operations.rollout import Rollout


def place(environment: str) -> Path:
    """The controller's own history of an environment's rollouts."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "ipex-fleet" / environment / "rollouts.jsonl"


def keep(rollout: "Rollout", ends: list[Outcome], begun: tuple[float, float], result: str) -> None:
    """Append the record of this run; a place that cannot be written is named and hides no other."""
    text = json.dumps(_record(rollout, ends, begun, result))
    environment = rollout.survey.fleet.environment
    missed = [
        node_name(host)
        for host in monitors.of(rollout.state, rollout.survey.fleet)
        if not _appended(monitors.ask(rollout.state, host, "record", "append", stdin=text))
    ]
    if complaint := _on_controller(place(environment), text):
        missed.append(f"{place(environment)} ({complaint})")
    if missed:
        logger.warning("--> The record of this run could not be written to: %s", ", ".join(missed))


def _appended(answer: dict[str, Any] | None) -> bool:
    return answer is not None and bool(answer["ok"]) and "digest" in answer


def _on_controller(path: Path, text: str) -> str:
    """Let the program of the box write here, too: one chain, one way to make it. Returns what it complained of."""
    command = [sys.executable, "-m", SOURCE.name, "record", "append", "--file", str(path)]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False, cwd=SOURCE.parent)
    return (done.stderr or done.stdout).strip().rpartition("\n")[2] if done.returncode else ""


def _record(rollout: "Rollout", ends: list[Outcome], begun: tuple[float, float], result: str) -> dict[str, Any]:
    survey, said = rollout.survey, answers(rollout.state)
    return {
        "environment": survey.fleet.environment,
        "who": lock.owner(),
        "reason": survey.answers.request.reason,
        "command": command_line.current().again(),
        "began": round(begun[0], 3),
        "seconds": round(monotonic() - begun[1], 1),
        "result": result,
        "plan": [list(wave.nodes) for wave in (*survey.gpu_waves, *survey.edge_waves)],
        "nodes": {
            end.node: {
                "from": work.current if (work := survey.works.get(end.node)) else None,
                "to": work.target if work else None,
                "ending": end.ending.name.lower(),
                "why": list(end.why),
                "steps": [step for answer in said.get(end.node, []) for step in answer.get("steps", ())],
            }
            for end in ends
        },
    }
