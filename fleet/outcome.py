"""How a run ended: what happened, why, what state every node is in, and how to go on. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum


class Ending(Enum):
    """In what state a run leaves a node."""

    DOWN = "cannot be reached"
    BROKEN = "neither old nor new: could not be put back"
    UNKNOWN = "lost on the way: it ends old or new by itself"
    HELD = "out of rotation: its services are not proved"
    OLD = "old generation, after a failure"
    UNTOUCHED = "untouched"
    NEW = "new generation"
    DONE = "done, and serving"
    UNCHANGED = "as declared before the run"


@dataclass(frozen=True)
class Outcome:
    """One node's end.

    Attributes:
        node: its name.
        ending: in what state it is.
        generation: the generation it serves; empty where there is none or it is not known.
        doing: the operation that failed; empty where none did.
        why: the failures, each as what and why.
    """

    node: str
    ending: Ending
    generation: str = ""
    doing: str = ""
    why: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something went wrong on it after it had been reached."""
        return bool(self.doing) or self.ending in {Ending.BROKEN, Ending.UNKNOWN, Ending.HELD, Ending.OLD}

    def __str__(self) -> str:
        """The node, and what it serves."""
        return f"{self.node} ({self.generation})" if self.generation else self.node


def closing(outcomes: Sequence[Outcome], stopped: tuple[str, str], commands: Sequence[str]) -> str:
    """The last lines of a run that did not do all it was asked for.

    Args:
        outcomes: every node's end, in the order of the inventory.
        stopped: the chapter that was not begun, and why; empty where all were.
        commands: what to type to go on, each with what it is for.
    """
    failed = [outcome for outcome in outcomes if outcome.failed]
    return "\n".join([_headline(failed, outcomes, *stopped), *_reasons(failed), *_states(outcomes), *commands])


def _headline(failed: Sequence[Outcome], outcomes: Sequence[Outcome], chapter: str, why: str) -> str:
    down = ", ".join(outcome.node for outcome in outcomes if outcome.ending is Ending.DOWN)
    names = ", ".join(outcome.node for outcome in failed)
    if chapter:
        return f"Stopped before {chapter!r}: {why}"
    if failed:
        return f"Not all is done: {names} failed"
    if any(outcome.ending is Ending.UNTOUCHED for outcome in outcomes):
        return "Not all is done: the run was ended"
    return f"Done, but for {down}: the next run brings up to date what could not be reached"


def _reasons(failed: Iterable[Outcome]) -> Iterator[str]:
    for outcome in failed:
        yield f"  {outcome.node}: {outcome.doing or outcome.ending.value}"
        for line in "\n".join(outcome.why).splitlines():
            yield f"    {line}"


def _states(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "  Every node of this run:"
    for ending in Ending:
        nodes = [str(outcome) for outcome in outcomes if outcome.ending is ending]
        if nodes:
            yield f"    {ending.value}: {', '.join(nodes)}"
