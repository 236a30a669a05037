"""What every node of a run is and does now: a table for people, JSON for programs."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pyinfra import logger
from pyinfra.api.state import State

from fleet import updates
from fleet.load import RefusedError
from fleet.model import Node
from fleet.observed import Observed
from operations import command_line, question
from operations.once import once

_HEADINGS = (
    "node",
    "GPU",
    "driver",
    "generation",
    "flake",
    "services",
    "rotation",
    "firewall",
    "reboot",
    "backup",
    "update",
    "drift",
)
_NONE = "-"


class AnsweredError(RefusedError):
    """The run ends here, with an answer and no fault: there is nothing to change and nothing to ask."""

    def __init__(self, exit_status: int) -> None:
        super().__init__("answered")
        # A ClickException's own attribute: what the process ends with.
        vars(self)["exit_code"] = exit_status

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's
        """Print nothing: the answer has been given."""


def show(state: State) -> None:
    """Print the table and end the run; with status 1 where a node cannot be reached.

    Raises:
        AnsweredError: always.
    """
    once(state, _print)
    raise AnsweredError(int(bool(state.failed_hosts)))


def _print(state: State) -> None:
    found = question.answers(state)
    nodes = [node for node in found.fleet.nodes if node.name not in found.left_out]
    rows = [_row(node, found.answers.get(node.name)) for node in nodes]
    if command_line.current().json or found.request.json:
        answer = {"environment": found.fleet.environment, "nodes": rows}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    else:
        logger.info("--> Status of %s:\n%s", found.fleet.environment, "\n".join(_table(rows)))


def _row(node: Node, said: Observed | None) -> dict[str, Any]:
    if said is None:
        return {"node": node.name, "reached": False}
    known = [(card.model.name, card.driver or "none") for card in said.machine.cards] if node.is_gpu else []
    return {
        "node": node.name,
        "reached": True,
        "gpus": [name for name, _ in known],
        "drivers": sorted({driver for _, driver in known}),
        "generation": said.generation,
        "flakes": list(said.flakes),
        "services": {service.name: said.runs(service.unit) for service in node.services},
        "rotation": said.status.get("rotation", {}) if node.is_gpu or (node.gateway and node.floating) else {},
        "holds_floating": said.holds_floating,
        "condemned": dict(said.condemned),
        "firewall": {"declared": node.firewall is not None, **said.status.get("firewall", {})},
        "reboot_reasons": list(said.reboot_reasons),
        "last_backup": said.status.get("last_backup"),
        "update": said.status.get("update"),
        "drift": list(said.status.get("drift", ())),
        "quarantined": dict(said.quarantined),
    }


def _table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    table = [_HEADINGS, *(tuple(_cells(row)) for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
    for line in table:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _cells(row: dict[str, Any]) -> Iterator[str]:
    yield row["node"]
    if not row["reached"]:
        yield "cannot be reached"
        yield from [_NONE] * (len(_HEADINGS) - 2)
        return
    yield ", ".join(row["gpus"]) or _NONE
    yield ", ".join(row["drivers"]) or _NONE
    yield row["generation"] or "none"
    yield ", ".join(short(flake) for flake in row["flakes"]) or _NONE
    yield ", ".join(f"{name} {'up' if up else 'DOWN'}" for name, up in row["services"].items()) or _NONE
    yield "; ".join(
        [
            _rotation(row["rotation"]),
            *(["holds the floating address"] if row["holds_floating"] else []),
            *(f"{name} out: {why}" for name, why in row["condemned"].items()),
        ]
    )
    yield _firewall(row["firewall"])
    yield "; ".join(row["reboot_reasons"]) or _NONE
    yield row["last_backup"] or _NONE
    yield _update(row["update"])
    yield ", ".join(f"{item['name']} {item['why']}" for item in row["drift"]) or "none"


def _firewall(firewall: dict[str, Any]) -> str:
    """New rules on trial, or taken back because nobody has confirmed them; where the rules differ drift says so."""
    state = firewall.get("state") or ("yes" if firewall["declared"] else "none")
    return f"{state}: rules of {firewall['generation']}" if "generation" in firewall else str(state)


def _update(last: dict[str, Any] | None) -> str:
    """What became of the node's last attempt to take what is published; the reason where something is to be done."""
    if not last or "outcome" not in last:
        return _NONE
    word = str(last["outcome"])
    return word if word in updates.QUIET else f"{word}: {last.get('why', '')}"


def _rotation(rotation: dict[str, str]) -> str:
    reason = rotation.get("reason")
    return f"{rotation.get('state', _NONE)} ({reason})" if reason else rotation.get("state", _NONE)


def short(flake: str) -> str:
    """A pinned flake in one word: its revision where the URL names one, else the beginning of its hash."""
    url, _, digest = flake.partition("narHash=")
    revision = url.rstrip("?&").rpartition("/")[2].partition("?")[0]
    is_revision = len(revision) == 40 and not set(revision) - set("0123456789abcdef")
    return revision[:12] if is_revision else digest.removeprefix("sha256-")[:12]
