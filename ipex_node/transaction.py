"""Steps that can be undone, one runner, and a journal that is written before each step."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node import files
from ipex_node.failure import FailedError, Failure, StoppedError
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType


@dataclass(frozen=True)
class Step:
    """One step of a transaction.

    Attributes:
        name: An imperative for the journal and for people.
        do: Does it and says what was done.
        undo: Takes it back, also where it was only half done, and also a second time; none for a step that
            only looks.
        judges: Its failure says that the generation is bad, and not that the node had bad luck.
    """

    name: str
    do: Callable[[], str]
    undo: Callable[[], None] | None = None
    judges: bool = False


@dataclass
class Outcome:
    """How a transaction ended.

    Attributes:
        steps: Each step with its seconds and its detail.
        failures: Why it could not be done; empty when it was.
        undone: Something had been changed and was taken back.
        stuck: What could not be taken back.
        judged: The failure says that the generation is bad.
    """

    steps: list[dict[str, Any]] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    undone: bool = False
    stuck: list[Failure] = field(default_factory=list)
    judged: bool = False


class Journal:
    """What a transaction is about to do, on the disk before it is done."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def begin(self, **facts: object) -> None:
        """Start a new journal in place of the last one."""
        files.write(self._path, b"")
        self.write("begin", **facts)

    def write(self, event: str, **facts: object) -> None:
        """Add one line and bring it to the disk."""
        line = json.dumps({"event": event, "time": round(time.time(), 3), **facts})
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def end(self, outcome: Outcome) -> None:
        """Close the journal: nothing of this transaction is left to be done."""
        failures, stuck = _as_json(outcome.failures), _as_json(outcome.stuck)
        self.write("end", ok=not outcome.failures, failures=failures, stuck=stuck)

    def unfinished(self) -> list[dict[str, Any]]:
        """Return the events of a transaction that was cut off; nothing where the last one came to its end."""
        try:
            lines = self._path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        events = list(_whole(lines))
        return [] if not events or events[-1]["event"] == "end" else events


def _whole(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """Read lines; the last may have been cut off, and then what it announces was not begun."""
    for line in lines:
        try:
            yield json.loads(line)
        except ValueError:
            return


def run(steps: Sequence[Step], journal: Journal) -> Outcome:
    """Do the steps in order; at the first failure undo, in reverse order, what was begun.

    Every undo is tried, whatever became of the others. The journal is left open: the caller closes it.
    """
    outcome = Outcome()
    begun: list[Step] = []
    with _interruptible():
        try:
            for step in steps:
                begun.append(step)
                _do(step, journal, outcome)
        except Exception as error:  # noqa: BLE001 - whatever it was, the node goes back to what it had
            outcome.failures += _failures(begun[-1].name, error)
            outcome.judged = begun[-1].judges and isinstance(error, FailedError)
    if outcome.failures:
        journal.write("failed", judged=outcome.judged, failures=_as_json(outcome.failures))
        undo(begun, journal, outcome)
    return outcome


def close(steps: Sequence[Step], journal: Journal, outcome: Outcome) -> None:
    """Do what follows a commit: it is tried to its end, nobody stops it, and a failure takes nothing back."""
    with _undisturbed():
        for step in steps:
            try:
                _do(step, journal, outcome)
            except Exception as error:  # noqa: BLE001 - the generation is current whatever becomes of this
                progress(f"{step.name}: {error}")


def _do(step: Step, journal: Journal, outcome: Outcome) -> None:
    progress(step.name)
    journal.write("do", step=step.name)
    started = time.monotonic()
    detail = ""
    try:
        detail = step.do()
    except Exception as error:
        detail = f"failed: {error}"
        raise
    finally:
        seconds = round(time.monotonic() - started, 3)
        outcome.steps.append({"name": step.name, "seconds": seconds, "detail": detail})


def undo(begun: Sequence[Step], journal: Journal, outcome: Outcome) -> None:
    """Undo steps in reverse order; nobody stops the way back."""
    with _undisturbed():
        _undo(begun, journal, outcome)


def _undo(begun: Sequence[Step], journal: Journal, outcome: Outcome) -> None:
    for step in reversed(begun):
        if step.undo is None:
            continue
        outcome.undone = True
        progress(f"undo: {step.name}")
        started = time.monotonic()
        try:
            journal.write("undo", step=step.name)
            step.undo()
        except Exception as error:  # noqa: BLE001 - the other steps must still be undone
            outcome.stuck += _failures(f"undo: {step.name}", error)
        seconds = round(time.monotonic() - started, 3)
        outcome.steps.append({"name": f"undo: {step.name}", "seconds": seconds, "detail": ""})


def _as_json(failures: Sequence[Failure]) -> list[dict[str, str]]:
    return [failure.as_json() for failure in failures]


def _failures(step: str, error: Exception) -> list[Failure]:
    if isinstance(error, FailedError):
        return list(error.failures)
    if isinstance(error, StoppedError):
        return [Failure("interrupted", str(error), "run it again")]
    return [Failure(step, f"{type(error).__name__}: {error}")]


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> Iterator[None]:
    before = [(number, signal.signal(number, handler)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, old in before:
            signal.signal(number, old)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise StoppedError(signal.Signals(number).name)


def _interruptible() -> Any:  # noqa: ANN401 - contextlib's own type
    """Turn a lost connection or a stop into a failure, so that the node goes back."""
    return _handling(_interrupt)


def _undisturbed() -> Any:  # noqa: ANN401 - contextlib's own type
    """Let nobody stop the way back."""
    return _handling(signal.SIG_IGN)
