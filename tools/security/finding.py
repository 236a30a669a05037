"""What a check finds, and the exceptions that are made, each for a reason and until a day."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

EXCEPTIONS = Path(__file__).with_name("exceptions.toml")
LONGEST = dt.timedelta(days=400)
"""No exception is made for longer: it is looked at once a year."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        check: which check found it.
        name: what it is called; an exception names it so.
        detail: where, and what it is, for a person.
    """

    check: str
    name: str
    detail: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.name}: {self.detail}"


@dataclass(frozen=True)
class Result:
    """What came of one check.

    Attributes:
        check: its name.
        findings: all it found.
        unchecked: why it could not look, or not at everything; empty where it has.
        looked_at: what it has looked at, in words.
    """

    check: str
    findings: tuple[Finding, ...] = ()
    unchecked: str = ""
    looked_at: str = ""


@dataclass(frozen=True)
class Excuse:
    """An exception: something found that is left as it is.

    Attributes:
        check: of which check.
        finding: its name.
        reason: why it may stay.
        expires: the last day on which it may.
    """

    check: str
    finding: str
    reason: str
    expires: dt.date


def exceptions(path: Path = EXCEPTIONS) -> tuple[Excuse, ...]:
    """Read the exceptions.

    Raises:
        ValueError: one lacks its reason or its day.
    """
    found = []
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("exception", []):
        if set(entry) != {"check", "finding", "reason", "expires"} or not str(entry["reason"]).strip():
            raise ValueError(f"{path.name}: {entry} needs check, finding, reason and expires, and nothing else")
        found.append(Excuse(**entry))
    return tuple(found)


def wrong(excuses: Iterable[Excuse], today: dt.date) -> list[str]:
    """What is wrong with exceptions themselves: their day is over, or too far away."""
    lines = []
    for one in excuses:
        name = f"the exception for {one.check} {one.finding}"
        if one.expires < today:
            lines.append(f"{name} has expired on {one.expires}: mend it, or give a new reason and day")
        if one.expires > today + LONGEST:
            lines.append(f"{name} expires on {one.expires}: set a day within {LONGEST.days} days")
    return lines


def remaining(result: Result, excuses: Sequence[Excuse]) -> list[str]:
    """What is left of a result: findings without an exception, and exceptions that excuse nothing any more."""
    excused = {one.finding for one in excuses if one.check == result.check}
    found = {finding.name for finding in result.findings}
    left = [str(finding) for finding in result.findings if finding.name not in excused]
    if not result.unchecked:
        left += [f"{name}: not found any more; take its exception away" for name in sorted(excused - found)]
    return left
