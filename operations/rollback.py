"""Bring nodes back to an older generation, wave by wave."""

from pyinfra.api.state import State

from fleet import plan
from fleet.load import RefusedError
from operations import question, survey
from operations.once import once
from operations.survey import Survey


def of(state: State) -> Survey:
    """The survey of a rollback: to `--data to=ID`, or every node to its previous generation.

    Raises:
        RefusedError: no node has that generation, or what a deploy would refuse, too.
    """
    return once(state, _rollback)


def _rollback(state: State) -> Survey:
    found = question.answers(state)
    to = found.request.to
    works = {
        name: plan.rollback(found.fleet[name], found.generations[name], said, to)
        for name, said in found.answers.items()
    }
    if not any(work.activate for work in works.values()):
        wanted = f"generation {to}" if to else "a previous generation"
        raise RefusedError(
            f"No node was changed: none of {', '.join(works)} has {wanted} to go back to.\n"
            "  `ipex-node status` on a node lists what is staged there; a generation belongs to one node."
        )
    return survey.planned(state, found, works)
