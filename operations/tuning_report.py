"""What a tuning has found: a table and a change of data for people, one object for programs."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pyinfra import logger

from fleet import tuned
from fleet.channels import ROOT
from fleet.tuned import Tuned
from operations import command_line, tuning_apply
from operations.node_command import Answer
from operations.survey import Survey

_DATA = Path("group_data/gpu_nodes.py")
_DIGEST = 33
"""What stands before the name in a store path's last part: 32 characters and a dash."""


def tell(run: Survey, answers: Mapping[str, Sequence[Answer]], *, declared: bool) -> None:
    """Print what was found; where the environment says so, and all of it was measured, take it over.

    Args:
        run: what the run was about.
        answers: what the nodes have answered in it.
        declared: whether the declared setting alone was measured: then there is nothing to propose.
    """
    measured = {name: some[0] for name in run.works if (some := [one for one in answers.get(name, ()) if _is(one)])}
    if not measured:
        return
    found = proposals(measured)
    if command_line.current().json or run.answers.request.json:
        sys.stdout.write(json.dumps(as_json(run, measured, found), indent=2) + "\n")
    else:
        logger.info("--> Settings of %s:\n%s", run.fleet.environment, "\n".join(table(measured)))
        if not declared:
            logger.info("--> %s", "\n".join(change(run, measured, found)))
    complete = all(name in measured and measured[name]["ok"] for name, work in run.works.items() if work.activate)
    applies = any(work.node.optimizer and work.node.optimizer.tuning.apply for work in run.works.values())
    if found and complete and applies and not declared:
        tuning_apply.take_over(run, measured, found)


def _is(answer: Answer) -> bool:
    return "measured" in answer


def proposals(measured: Mapping[str, Answer]) -> Tuned:
    """Node to service to what is proposed for it: the variables that differ from the declared setting."""
    found: Tuned = {}
    for name, answer in measured.items():
        declared = {row["service"]: row["setting"] for row in answer["measured"] if row["declared"]}
        for one in answer["proposals"]:
            before = declared.get(one["service"], {})
            setting = {key: value for key, value in one["environment"].items() if before.get(key) != value}
            found.setdefault(name, {})[one["service"]] = setting
    return found


def rows(measured: Mapping[str, Answer]) -> Iterator[dict[str, Any]]:
    """Every setting that was measured, with the node; the release without its digests."""
    for name, answer in measured.items():
        best = {one["service"]: one["environment"] for one in answer["proposals"]}
        for row in answer["measured"]:
            proposed = not row["declared"] and best.get(row["service"]) == row["setting"]
            yield {"node": name, **row, "proposed": proposed}


def as_json(run: Survey, measured: Mapping[str, Answer], found: Tuned) -> dict[str, Any]:
    """All of it, for programs."""
    return {
        "environment": run.fleet.environment,
        "measured": list(rows(measured)),
        "proposals": [{"node": name, **one} for name, answer in measured.items() for one in answer["proposals"]],
        "compared": [{"node": name, **one} for name, answer in measured.items() for one in answer["compared"]],
        "change": "\n".join(change(run, measured, found)),
    }


def table(measured: Mapping[str, Answer]) -> Iterator[str]:
    """A line for each setting of each node."""
    lines = [("node", "service", "model", "GPU", "release", "setting", "tokens/s", "")]
    for row in rows(measured):
        setting = " ".join(f"{name}={value}" for name, value in sorted(row["setting"].items()))
        speed = f"{median(row['tokens_per_second']):.1f}" if row["tokens_per_second"] else "-"
        word = "declared" if row["declared"] else "proposed" if row["proposed"] else ""
        release = " ".join(path[_DIGEST:] or path for path in row["release"].split())
        said = row["failed"].splitlines()[0] if row["failed"] else word
        lines.append((row["node"], row["service"], row["model"], row["gpu"] or "-", release, setting, speed, said))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def change(run: Survey, measured: Mapping[str, Answer], found: Tuned) -> Iterator[str]:
    """The change of data that takes the proposals over: for all nodes at once where they agree, else node by node."""
    if not found:
        yield "No setting is clearly faster than the declared one: there is nothing to change."
        return
    asked = [(name, row["service"]) for name, answer in measured.items() for row in answer["measured"]]
    every = set(measured) >= {node.name for node in run.fleet.with_role("gpu_nodes")}
    alike = tuned.for_all(found, dict.fromkeys(asked)) if every else {}
    for service, setting in alike.items():
        try:
            text = tuned.diff((ROOT / _DATA).read_text(), str(_DATA), service, setting)
        except (OSError, ValueError) as error:
            text = f"services.{service}.environment gets {setting} ({error})"
        yield f"Every GPU node proposes the same. To take it over (git apply), then deploy:\n{text}"
    for name, services in found.items():
        for service, setting in services.items():
            if service not in alike:
                yield from _of_node(run, name, service, setting)


def _of_node(run: Survey, name: str, service: str, setting: Mapping[str, str]) -> Iterator[str]:
    declared = next(one.environment for one in run.fleet[name].services if one.name == service)
    overrides = {service: {"environment": {**declared, **setting}}}
    yield f"To take it over for {name}, into its entry of the inventory, then deploy:"
    yield f'  "node_overrides": {json.dumps(overrides)},'
