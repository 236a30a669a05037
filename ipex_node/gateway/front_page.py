"""Writes the front page's live data, from what the gateway hears anyway and from the nodes' own numbers.

A page for people: whatever goes wrong here is said once in the journal, and never reaches what keeps the upstreams.
"""

from __future__ import annotations

import asyncio
import json
import time
from functools import partial
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.gateway import numbers, objectives, question, view
from ipex_node.world import progress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from ipex_node.gateway.objectives import Budget
    from ipex_node.gateway.rotation import Heard, Rotation
    from ipex_node.gateway.settings import GatewaySettings

NUMBERS_SECONDS = 3.0
"""Longest a node may take to tell its numbers."""
_LONGEST = 512 * 1024
"""Bytes of a page of metrics at most; a node with two GPUs has about 30,000."""


class FrontPage:
    """The live data of one gateway's front page.

    Args:
        settings: The gateway's settings.
        rotation: How it treats its nodes.
    """

    def __init__(self, settings: GatewaySettings, rotation: Rotation) -> None:
        self._settings = settings
        self._rotation = rotation
        self._known = {node: view.Known() for node in settings.nodes}
        self._budgets: tuple[Budget, ...] | None = None
        self._said = ""

    def hear(self, node: str, heard: Heard) -> None:
        """Keep what a question to a node brought."""
        known = self._known[node]
        known.silence = bool(heard.silence)
        if not heard.silence:
            known.heard, known.heard_at = heard, time.time()

    def tasks(self) -> list[Coroutine[None, None, None]]:
        """Return what is to run beside the gateway's own work, for ever."""
        page = self._settings.front_page
        nodes = list(self._settings.nodes)
        # Spread over the time between two questions: pages of metrics are read one by one.
        first = [page.numbers_seconds * place / len(nodes) for place in range(len(nodes))]
        return [
            self._always(self._write, page.write_seconds),
            self._always(self._ask_monitors, page.objectives_seconds),
            *(
                self._always(partial(self._measure, node), page.numbers_seconds, after)
                for node, after in zip(nodes, first, strict=True)
            ),
        ]

    async def _always(self, work: Callable[[], Awaitable[None]], seconds: float, after: float = 0.0) -> None:
        await asyncio.sleep(after)
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - users' requests do not depend on this page
                self._say(f"the front page's data stay as they are: {error!r}")
            await asyncio.sleep(seconds)

    async def _write(self) -> None:
        data = view.fleet(self._settings, self._rotation, self._known, self._budgets, time.time())
        # What is no number has no place in JSON, and would make it unreadable for a browser.
        files.write(self._settings.fleet, json.dumps(data, allow_nan=False).encode())

    async def _ask_monitors(self) -> None:
        page = self._settings.front_page
        self._budgets = await objectives.ask(page.monitors, page.question)

    async def _measure(self, node: str) -> None:
        """Ask a node for its numbers; one that does not answer keeps its last ones, with their age."""
        backend, known = self._settings.nodes[node], self._known[node]
        try:
            status, page = await question.get(backend.address, backend.port, "/metrics", NUMBERS_SECONDS, _LONGEST)
        except (OSError, ValueError, IndexError):
            return
        if status == 200:
            known.gpus, known.gpus_at = numbers.read(page), time.time()

    def _say(self, words: str) -> None:
        if words != self._said:
            progress(words)
            self._said = words
