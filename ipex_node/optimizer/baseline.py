"""Is a release slower than the one before it, on the same GPU? Asked before it is promoted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node import settings
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.optimizer import history

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ipex_node.optimizer.history import Row
    from ipex_node.paths import Paths
    from ipex_node.settings import Settings
    from ipex_node.world import World


@dataclass(frozen=True)
class Comparison:
    """The newest release of a service against the one that was measured before it.

    Attributes:
        before, now: The last row of each with the declared setting.
        regressed: Whether it is slower by more than it may be.
    """

    before: Row
    now: Row
    regressed: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as it stands in an answer."""
        return {
            "service": self.now.service,
            "model": self.now.model,
            "gpu": self.now.gpu,
            "release": self.now.release,
            "tokens_per_second": round(self.now.speed, 2),
            "before": {"release": self.before.release, "tokens_per_second": round(self.before.speed, 2)},
            "regressed": self.regressed,
        }


def compare(rows: Sequence[Row], loss: float) -> list[Comparison]:
    """Compare what can be compared. Pure.

    A release has regressed if its median is lower than the other's by more than `loss`, and its fastest round slower
    than the other's median: one slow round is no release. Only the declared setting counts, and only the newest row of
    each release: whoever measures again, because the node was busy, is believed.

    Args:
        rows: The history, the oldest first.
        loss: Share by which it may be slower.
    """
    found = []
    kinds = dict.fromkeys(row.same for row in rows)
    for same in kinds:
        own = [row for row in rows if row.same == same and row.declared and row.tokens_per_second]
        now = own[-1] if own else None
        before = next((row for row in reversed(own) if now and row.release != now.release), None)
        if now and before:
            slower = now.speed < before.speed * (1 - loss) and max(now.tokens_per_second) < before.speed
            found.append(Comparison(before, now, slower))
    return found


def failures(comparisons: Iterable[Comparison], loss: float) -> list[Failure]:
    """Say what keeps a release from being promoted."""
    return [
        Failure(
            one.now.service,
            f"generates {one.now.speed:.1f} tokens/s with {one.now.model}, with the release before it "
            f"{one.before.speed:.1f}: slower by more than {loss:.0%}",
            "measure again with `ipex-node optimize tuning --declared`; do not promote it while it stays so",
        )
        for one in comparisons
        if one.regressed
    ]


def verdict(paths: Paths, node: Settings) -> dict[str, list[str]]:
    """Say for `ipex-node status` how fast the release is that the node has now.

    Returns:
        slower: what has become slower than the release measured before, each in words. unmeasured: services with a
        model whose newest figures are of another release, or that have none; every one where the optimizer is off.
    """
    optimizer = node.optimizer
    if optimizer is None:
        return {"slower": [], "unmeasured": [one.name for one in node.services if one.engine == "ollama" and one.model]}
    profiles = {one.name: one.profile for one in node.services}
    now = {
        one.service: history.release(paths, (profiles.get(one.service, ""), optimizer.drivers))
        for one in optimizer.tuned
    }
    try:
        rows = [row for row in history.read(paths) if row.declared and row.tokens_per_second]
    except FailedError:
        rows = []
    last = {row.service: row.release for row in rows}
    slower = [
        f"{node.node} {one.now.service}: {one.now.speed:.1f} instead of {one.before.speed:.1f} tokens/s with "
        f"{one.now.model}"
        for one in compare(rows, optimizer.loss)
        if one.regressed and one.now.release == now.get(one.now.service)
    ]
    return {"slower": slower, "unmeasured": [name for name, one in now.items() if last.get(name) != one]}


def baseline(world: World) -> dict[str, Any]:
    """`ipex-node baseline`: compare this node's releases; not ok while one has regressed.

    Raises:
        FailedError: The node has no optimizer, or its history is damaged.
    """
    optimizer = settings.load(world.paths.settings).optimizer
    if optimizer is None:
        raise failed(str(world.paths.settings), "says nothing of an optimizer", "only GPU nodes have one; deploy")
    found = compare(history.read(world.paths), optimizer.loss)
    wrong = failures(found, optimizer.loss)
    return {
        "ok": not wrong,
        "failures": [failure.as_json() for failure in wrong],
        "compared": [one.as_json() for one in found],
    }
