"""What is wrong, where, and what to do: the one shape of every refusal and warning."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that keeps the fleet from being deployed, or that its operator should know.

    Attributes:
        where: the node's name, or the environment's for what concerns all of it.
        what: what is wrong, with the key or value at fault.
        cure: what to do about it, as an imperative sentence.
    """

    where: str
    what: str
    cure: str


def report(environment: str, problems: Iterable[Problem]) -> str:
    """Write all problems as lines for a person; what several nodes share is written once.

    The order is the problems' own, so that it follows the inventory.
    """
    by_fault: dict[tuple[str, str], list[str]] = {}
    for problem in problems:
        by_fault.setdefault((problem.what, problem.cure), []).append(problem.where)
    return "\n".join(
        f"  {environment}: {', '.join(_unique(places))}: {what}. {cure}" for (what, cure), places in by_fault.items()
    )


def _unique(names: list[str]) -> list[str]:
    return [name for name, _ in groupby(sorted(names))]
