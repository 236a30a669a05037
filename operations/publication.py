"""Publish what each node is to take by itself: encrypted for it, signed, and put into the depot."""

import base64
import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from time import time
from typing import Any

from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.operation import operation
from pyinfra.api.state import State

from fleet import load, plan, publication
from fleet.depot import FLEET_KEY
from fleet.desired.program import PATH
from fleet.load import RefusedError
from fleet.model import Node
from fleet.observed import Observed
from fleet.problems import Problem, report
from fleet.publication import Bundle
from operations import command_line, question, signing, survey
from operations.node_command import NodeCommand
from operations.once import once
from operations.question import Answers
from operations.survey import Survey

_SECONDS = 600
_HEADINGS = ("node", "has", "is to take", "when")


@dataclass(frozen=True)
class Offer:
    """What is to be published.

    Attributes:
        depot: the node that keeps the depot.
        serial: the publication's number.
        content: what `ipex-node publish` reads: the sealed index and the bundles, as a tar archive.
        rows: what becomes of each node, for people and programs.
        run: each node's part, as a deploy's: what is not built yet must be before it is published.
    """

    depot: str
    serial: int
    content: bytes
    rows: tuple[dict[str, Any], ...]
    run: Survey


def of(state: State) -> Offer:
    """What this run publishes; told already, as a table or as JSON.

    Raises:
        RefusedError: with every reason why nothing is.
    """
    return once(state, _offer)


def publish(host: Host, offer: Offer) -> None:
    """Put it into the depot, on the node that keeps it."""
    if load.node_name(host) == offer.depot:
        _published(name=f"Publish {offer.serial}", content=offer.content, _timeout=_SECONDS)


def _offer(state: State) -> Offer:
    found = question.answers(state)
    survey.refuse_unfit(found)
    run = Survey(
        found,
        {name: plan.work(found.fleet[name], found.generations[name], said) for name, said in found.answers.items()},
    )
    reasons = [*_partial(found), *publication.problems(found.fleet, found.answers), *_quarantined(run)]
    depot = found.fleet.depot_node
    if depot and depot.name not in found.answers:
        reasons.append(Problem(depot.name, "keeps the depot and cannot be reached", "Bring it up."))
    if depot and run.opens_depot:
        reasons.append(Problem(depot.name, "does not serve the depot", "Deploy first; or see systemctl status there."))
    if reasons or not depot:
        raise RefusedError(f"Nothing was published:\n{report(found.fleet.environment, reasons)}")
    now = int(time())
    offer = Offer(depot.name, now, _content(found, now), tuple(_row(node, found) for node in found.fleet.nodes), run)
    _tell(found, offer)
    return offer


def _partial(found: Answers) -> list[Problem]:
    if not found.left_out:
        return []
    what = f"a publication is of the whole fleet, and this run leaves out {', '.join(sorted(found.left_out))}"
    return [Problem(found.fleet.environment, what, "Leave out --limit and --exclude.")]


def _quarantined(run: Survey) -> list[Problem]:
    return [one for name, work in run.works.items() for one in plan.quarantined(work, run.answers.answers[name])]


def _content(found: Answers, now: int) -> bytes:
    fleet = found.fleet
    taking = {name: said for name, said in found.answers.items() if publication.takes(fleet[name])}
    bundles = {name: _bundle(found, name, said, now) for name, said in taking.items()}
    changing = frozenset(name for name, said in taking.items() if said.generation != found.generations[name].id)
    text = publication.index(fleet, found.generations, bundles, changing, now)
    seal = signing.signed(text, fleet.secrets.get(FLEET_KEY), publication.NAMESPACE)
    return _archive(publication.files(text, seal, bundles))


def _bundle(found: Answers, name: str, said: Observed, now: int) -> Bundle:
    """Encrypt a generation for its node alone: it holds secrets."""
    try:
        content = publication.encrypted(found.generations[name].bundle(), said.host_key)
    except ValueError as error:
        raise RefusedError(f"Nothing was published: {name}'s host key cannot be used: {error}") from None
    return Bundle(f"{now}/{name}.age", content, hashlib.sha256(content).hexdigest())


def _archive(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _row(node: Node, found: Answers) -> dict[str, Any]:
    said, wanted = found.answers.get(node.name), found.generations[node.name].id
    if said is None:
        return {"node": node.name, "reached": False, "published": False, "has": None, "takes": None, "when": None}
    when = _windows(node) if publication.takes(node) else None
    return {
        "node": node.name,
        "reached": True,
        "published": when is not None,
        "has": said.generation,
        "takes": wanted if when else None,
        "when": when,
    }


def _windows(node: Node) -> str:
    assert node.updates  # noqa: S101 - it takes what is published
    return ", ".join(f"{one.start} to {one.end} {one.time_zone}" for one in node.updates.windows)


def _tell(found: Answers, offer: Offer) -> None:
    if command_line.current().json or found.request.json:
        answer = {"environment": found.fleet.environment, "serial": offer.serial, "nodes": list(offer.rows)}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
        return
    table = [_HEADINGS, *(_cells(row) for row in offer.rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(_HEADINGS))]
    lines = ("  " + "  ".join(map(str.ljust, line, widths)).rstrip() for line in table)
    logger.info("--> Publication %s of %s:\n%s", offer.serial, found.fleet.environment, "\n".join(lines))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    if not row["reached"]:
        return row["node"], "?", "nothing: it cannot be reached", "-"
    if not row["published"]:
        return row["node"], row["has"] or "none", "nothing: it does not update itself", "-"
    same = row["has"] == row["takes"]
    return row["node"], row["has"] or "none", "what it has" if same else row["takes"], row["when"]


@operation()
def _published(content: bytes) -> Generator[NodeCommand, None, None]:
    yield NodeCommand(PATH, "publish", _stdin=base64.encodebytes(content).decode())
