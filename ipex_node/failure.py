"""What went wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """One problem in words for a person.

    Attributes:
        what: The thing that failed: a path, a unit, a probe, a route.
        why: What was seen.
        cure: What to do; empty where `why` says it already.
    """

    what: str
    why: str
    cure: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the failure as it stands in a command's answer."""
        answer = {"what": self.what, "why": self.why}
        return {**answer, "cure": self.cure} if self.cure else answer

    def __str__(self) -> str:
        """Return the failure as one line."""
        return f"{self.what}: {self.why}" + (f" ({self.cure})" if self.cure else "")


class FailedError(Exception):
    """Carries every failure of one attempt, never only the first."""

    def __init__(self, *failures: Failure) -> None:
        super().__init__("; ".join(str(failure) for failure in failures))
        self.failures = failures


class GivenUpError(FailedError):
    """Waiting longer cannot help: systemd has given the unit up, or the engine works, but not on the GPU."""


class StoppedError(Exception):
    """Somebody wants an end of it, now.

    No FailedError: what waits for a failing thing to become healthy must not wait this out, too.
    """

    def __init__(self, signal_name: str) -> None:
        super().__init__(f"{signal_name} arrived (a lost connection, or someone stopped it)")


def failed(what: str, why: str, cure: str = "") -> FailedError:
    """Return the error for one failure, to be raised."""
    return FailedError(Failure(what, why, cure))
