"""What the fleet promises its users, and how it is measured whether it keeps it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

BUDGET_WINDOW = "30d"
"""Over which an error budget is counted; the factors below are made for it."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
"""Over which the share of errors is recorded, as Sloth does (sloth.dev)."""


@dataclass(frozen=True)
class Burn:
    """So many times faster than it may, seen in a short and a long window at once, an error budget burns.

    Attributes:
        factor: 1 uses the budget up exactly in its window.
        short: ends the alert soon after the errors have ended.
        long: keeps a single error from being one.
    """

    factor: float
    short: str
    long: str


# The Site Reliability Workbook (Google, O'Reilly 2018), chapter 5, table 5-8: 2 % of 30 days' budget in an hour and
# 5 % in six hours wake somebody, 10 % in a day or in three days wait for the office.
PAGE = (Burn(14.4, "5m", "1h"), Burn(6, "30m", "6h"))
TICKET = (Burn(3, "2h", "1d"), Burn(1, "6h", "3d"))
_LEAST_SHARE = 1 - 1 / PAGE[0].factor
"""Below it, all requests of an hour could fail without burning fast."""


@dataclass(frozen=True)
class Objective:
    """One promise.

    Attributes:
        name: its name, the label `slo` of all that is recorded of it.
        measures: errors: requests that end in a failure of ours, a status 5xx or a stream cut in its middle;
            first_byte: requests whose answer begins later than `seconds`; users: connections in work at the same time.
        share: this share of the requests must be good.
        seconds: how long an answer may take to begin; a bound of the gateway's histogram.
        least_errors: with fewer in a window nobody is told: of few requests one failure is a large share.
        users: so many at the same time must be served.
    """

    name: str
    measures: Literal["errors", "first_byte", "users"]
    share: float | None = None
    seconds: int | float | None = None
    least_errors: int = 0
    users: int | None = None

    @property
    def budget(self) -> float | None:
        """The share of requests that may be bad; none where nothing is shared out. Rounded: 1 - 0.999 is 0.001."""
        return None if self.share is None else round(1 - self.share, 9)


def nonsense(objective: Objective) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    where, counts = f"objectives.{objective.name}", objective.measures == "users"
    share, seconds, users = objective.share, objective.seconds, objective.users
    for fits, key, cure in (
        (counts or (share is not None and _LEAST_SHARE < share < 1), "share", "Write a share like 0.999, above 0.94."),
        (not counts or share is None, "share", "Leave it out: users are counted."),
        ((seconds is not None) == (objective.measures == "first_byte"), "seconds", "first_byte needs it, no other."),
        ((users is not None) == counts, "users", "users needs it, no other."),
        (users is None or users >= 1, "users", "Write 1 or more."),
        (objective.least_errors >= 0, "least_errors", "Write 0 or more."),
    ):
        if not fits:
            yield f"{where}.{key} is {getattr(objective, key)!r}", cure
