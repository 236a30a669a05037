"""What became of every request of a load: nothing that a user would notice is left uncounted."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field

from lab.load_http import Target

DEADLINES = {"stream": 120.0, "plain": 30.0, "prompt": 120.0}
"""Seconds after which a user gives up, which counts as an error."""


class LostError(Exception):
    """The work was accepted and its result never came."""


class TruncatedError(Exception):
    """The answer began and did not reach its end."""


class RefusedError(Exception):
    """The answer's status is not 2xx."""


@dataclass
class Tally:
    """What became of the requests of one kind.

    Attributes:
        requests: begun and ended, however.
        errors: no 2xx answer: refused, no connection, timeout; truncated and lost ones are counted apart.
        truncated: begun answers that did not reach their end.
        lost: accepted prompts whose result never came.
        moved: prompts whose result had to be fetched, because the events' connection broke.
        nodes: how many each node answered.
        seconds: of each request that succeeded.
        completed: When each of those was complete, of `time.monotonic()`.
    """

    requests: int = 0
    errors: int = 0
    truncated: int = 0
    lost: int = 0
    moved: int = 0
    nodes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    completed: list[float] = field(default_factory=list)


@dataclass
class Load:
    """One run of the load.

    Attributes:
        target: The gateway, and who asks.
        token_seconds: The engines' pace, in which streams are measured out.
        longest_stream: Seconds; streams have a random length from 1 to this.
        pause: Seconds between two requests of a user who does not stream.
        stop: Set when no user shall begin anything new.
        noted: Each reason of a failure, with the kind of request: when it was first met, and how often.
    """

    target: Target
    token_seconds: float
    longest_stream: float
    pause: float
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    tallies: dict[str, Tally] = field(default_factory=lambda: {kind: Tally() for kind in DEADLINES})
    noted: dict[tuple[str, str], tuple[float, int]] = field(default_factory=dict)

    async def attempt(self, kind: str, work: Awaitable[str]) -> None:
        """Do one piece of work, which returns the node that did it, and count what became of it."""
        tally, begun = self.tallies[kind], time.monotonic()
        try:
            async with asyncio.timeout(DEADLINES[kind]):
                node = await work
        except (OSError, ValueError, TruncatedError, LostError, RefusedError) as error:
            self._count(kind, error)
            await self.rest()  # whoever is refused does not ask a thousand times a second
        else:
            tally.nodes[node] += 1
            tally.seconds.append(time.monotonic() - begun)
            tally.completed.append(time.monotonic())
        tally.requests += 1

    def _count(self, kind: str, error: Exception) -> None:
        tally = self.tallies[kind]
        if isinstance(error, TruncatedError):
            tally.truncated += 1
        elif isinstance(error, LostError):
            tally.lost += 1
        else:
            tally.errors += 1
        reason = kind, f"{type(error).__name__}: {error or f'no end within {DEADLINES[kind]:.0f} s'}"
        first, count = self.noted.get(reason, (time.time(), 0))
        self.noted[reason] = first, count + 1

    async def rest(self) -> None:
        """Wait between two requests, until the run ends at the latest."""
        try:
            await asyncio.wait_for(self.stop.wait(), self.pause * random.uniform(0.5, 1.5))  # noqa: S311 - people do not pause by the clock
        except TimeoutError:
            return
