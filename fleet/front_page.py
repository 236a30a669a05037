"""The gateway's front page: the fleet as its users see it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

ASSETS = "/assets/"
"""Where the page's script and style are; no service may be reached there."""
LIVE = "/fleet.json"
"""Where the live data are."""
BUDGETS = "slo:error_budget_remaining:ratio"
"""What Prometheus is asked: which share of each objective's error budget is left, by slo and service."""


@dataclass(frozen=True)
class FrontPage:
    """How fresh the front page is, and what it leads to.

    Attributes:
        write_seconds: between two writings of the live data.
        numbers_seconds: between two questions to a node for its numbers.
        objectives_seconds: between two questions to a monitor for what is left of the error budgets.
        poll_seconds: between two questions of an open page.
        stale_seconds: age from which the page says that its data are old.
        links: further links of the page: title to address.
    """

    write_seconds: int
    numbers_seconds: int
    objectives_seconds: int
    poll_seconds: int
    stale_seconds: int
    links: Mapping[str, str] = field(default_factory=dict)


def nonsense(page: FrontPage) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for name in ("write_seconds", "numbers_seconds", "objectives_seconds", "poll_seconds"):
        if getattr(page, name) < 1:
            yield f"gateway.front_page.{name} is {getattr(page, name)}", "Write 1 or more."
    if page.stale_seconds <= page.write_seconds + page.poll_seconds:
        cure = "Write more than write_seconds and poll_seconds together: data are so old when all is well."
        yield f"gateway.front_page.stale_seconds is {page.stale_seconds}", cure
    for title, address in page.links.items():
        # Else a link could run a script in the page.
        if urlsplit(address).scheme not in {"http", "https"} and not address.startswith("/"):
            yield f"gateway.front_page.links.{title} is {address!r}", "Write it like https://docs.example.com/."
