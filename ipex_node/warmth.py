"""Which of its declared models an engine has, and has loaded, out of what ipex-traffic measures: nobody is asked."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipex_node import samples
from ipex_node.cleanup.model_name import full_name
from ipex_node.models.presence import PRESENT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipex_node.paths import Paths
    from ipex_node.samples import Sample
    from ipex_node.settings import Settings

SOURCE = "traffic"
_FAMILY = "ipex_model_size_bytes"
LOOK_SECONDS = 3.0
"""How long a look counts: gateways ask every second, and it is measured less often than this."""


class Warmth:
    """What is loaded on this node, and what is there to be loaded.

    Args:
        paths: The node's places.
        node: Its settings.
    """

    def __init__(self, paths: Paths, node: Settings) -> None:
        self._left = paths.samples(SOURCE)
        self._silent_seconds = node.sources.get(SOURCE, 0.0)
        self._declared = {one.name: {full_name(model): model for model in one.models} for one in node.services}
        self._loaded: dict[str, list[str]] = {}
        self._there: dict[str, list[str]] = {}
        self._until = 0.0

    def loaded(self) -> dict[str, list[str]]:
        """Return service to its declared models that are loaded; a service is missing where nobody knows."""
        self._look()
        return self._loaded

    def there(self) -> dict[str, list[str]]:
        """Return service to its declared models that it has with the right digest, or without any that were given."""
        self._look()
        return self._there

    def _look(self) -> None:
        now = time.monotonic()
        if now < self._until:
            return
        found = samples.read(self._left, self._silent_seconds)
        self._loaded = {} if found is None else self._loaded_of(found)
        self._there = _there(found or ())
        self._until = now + LOOK_SECONDS

    def _loaded_of(self, found: Iterable[Sample]) -> dict[str, list[str]]:
        there: dict[str, set[str]] = {}
        for one in found:
            if one.family == _FAMILY:
                there.setdefault(one.labels.get("service", ""), set()).add(full_name(one.labels.get("model", "")))
        return {
            service: [model for full, model in models.items() if full in there.get(service, set())]
            for service, models in self._declared.items()
            if models
        }


def _there(found: Iterable[Sample]) -> dict[str, list[str]]:
    there: dict[str, list[str]] = {}
    for one in found:
        if one.family == PRESENT:
            models = there.setdefault(one.labels.get("service", ""), [])
            models += [one.labels.get("model", "")] if one.value else []
    return there
