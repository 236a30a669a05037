"""Which of the declared models an engine has loaded, out of what ipex-traffic measures anyway: nobody is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipex_node import samples
from ipex_node.cleanup.model_name import full_name

if TYPE_CHECKING:
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings

SOURCE = "traffic"
_FAMILY = "ipex_model_size_bytes"
LOOK_SECONDS = 3.0
"""How long a look counts: gateways ask every second, and it is measured less often than this."""


class Warmth:
    """What is loaded on this node.

    Args:
        paths: The node's places.
        node: Its settings.
    """

    def __init__(self, paths: Paths, node: Settings) -> None:
        self._left = paths.samples(SOURCE)
        self._silent_seconds = node.sources.get(SOURCE, 0.0)
        self._declared = {one.name: {full_name(model): model for model in one.models} for one in node.services}
        self._known: dict[str, list[str]] = {}
        self._until = 0.0

    def loaded(self) -> dict[str, list[str]]:
        """Return service to its declared models that are loaded; a service is missing where nobody knows."""
        now = time.monotonic()
        if now >= self._until:
            self._known = self._look()
            self._until = now + LOOK_SECONDS
        return self._known

    def _look(self) -> dict[str, list[str]]:
        found = samples.read(self._left, self._silent_seconds)
        if found is None:
            return {}
        there: dict[str, set[str]] = {}
        for one in found:
            if one.family == _FAMILY:
                there.setdefault(one.labels.get("service", ""), set()).add(full_name(one.labels.get("model", "")))
        return {
            service: [model for full, model in models.items() if full in there.get(service, set())]
            for service, models in self._declared.items()
            if models
        }
