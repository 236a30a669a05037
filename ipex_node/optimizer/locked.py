"""The weekly look at the models that the lock pins: what is missing is fetched, what upstream has newer is told.

Which digest a model has is for people to change (`tasks/models.py`): here none ever becomes another.
"""

from __future__ import annotations

import hashlib
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ipex_node.failure import FailedError, Failure
from ipex_node.models import run
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.models.order import Model
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_SECONDS = 30
_LONGEST = 4 * 1024 * 1024


@dataclass
class Checked:
    """What the look has found.

    Attributes:
        checked: Models that were compared with the lock.
        fetched_bytes: What was missing of them, and has come.
        newer: Models that are another one upstream by now: service/name to the digest there.
        unasked: Models whose registry did not answer, with the reason.
        failures: What could not be fetched.
    """

    checked: int = 0
    fetched_bytes: int = 0
    newer: dict[str, str] = field(default_factory=dict)
    unasked: dict[str, str] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in the answer."""
        return {
            "locked": self.checked,
            "fetched_bytes": self.fetched_bytes,
            "newer": self.newer,
            "unasked": self.unasked,
        }


def checked(paths: Paths, node: Settings) -> Checked:
    """Compare this node's models with the last order of `tasks/models.py`; nothing before the first one."""
    found = Checked()
    declared = {service.name: service.models for service in node.services if service.engine == "ollama"}
    try:
        done = run.fetch_again(paths, declared)
    except FailedError as error:
        found.failures = list(error.failures)
        return found
    if done is None:
        return found
    order, answer = done
    found.checked, found.fetched_bytes = len(order.models), int(answer["fetched_bytes"])
    found.failures = [Failure(one["what"], one["why"], one.get("cure", "")) for one in answer["failures"]]
    for model in order.models:
        _ask(model, found)
    return found


def _ask(model: Model, found: Checked) -> None:
    """Ask a model's registry what it has under the name now; one that is silent is no fault of this node."""
    if not model.upstream:
        return
    name = f"{model.service}/{model.name}"
    question = urllib.request.Request(  # noqa: S310 - of the lock, which knows https:// and the fleet's network only
        model.upstream, headers={"Accept": _MANIFEST}
    )
    try:
        with urllib.request.urlopen(question, timeout=_SECONDS) as answer:  # noqa: S310 - as above
            digest = f"sha256:{hashlib.sha256(answer.read(_LONGEST)).hexdigest()}"
    except (OSError, ValueError) as error:
        found.unasked[name] = str(error)
        return
    if digest != model.digest:
        found.newer[name] = digest
        progress(f"{name}: upstream has {digest[:19]}, locked is {model.digest[:19]}; tasks/models.py changes it")
