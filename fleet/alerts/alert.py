"""What is said of one alert."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RUNBOOKS = "docs/operate/alerts"
"""Where each alert has its page, named like the alert."""
_PLACE = re.compile(r"<([a-z_]+)>")


@dataclass(frozen=True)
class Alert:
    """One alert: when it fires, and what a person is told.

    Attributes:
        name: Its name, and its runbook's.
        severity: page wakes somebody, ticket waits for the office, none is for other alerts and machines.
        expr: What it looks for, in PromQL. `<name>` stands for a limit of the data or a fact of the fleet.
        summary: One sentence for a person, with Prometheus' own `{{ $labels.node }}` and `{{ $value }}`.
        duration: How long it must be so (`for:`); at once where it is empty.
        labels: Further labels that it always has.
    """

    name: str
    severity: Literal["page", "ticket", "none"]
    expr: str
    summary: str
    duration: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def runbook(self) -> str:
        """The page that says what to do."""
        return f"{RUNBOOKS}/{self.name}.md"

    def filled(self, words: Mapping[str, str]) -> "Alert":
        """Return it with its limits in their places.

        Raises:
            KeyError: it names a limit that there is not.
        """
        expr, summary, duration = (
            _PLACE.sub(lambda place: words[place[1]], text) for text in (self.expr, self.summary, self.duration)
        )
        return dataclasses.replace(self, expr=expr, summary=summary, duration=duration)
