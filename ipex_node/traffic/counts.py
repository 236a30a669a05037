"""What has been counted of the engines' traffic since this process started.

Every label is one of a few words of this program or a service of the settings: nobody outside can make it grow.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal, NamedTuple

from ipex_node.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

Operation = Literal["generate", "embed"]
Outcome = Literal["success", "error", "refused", "cancelled"]
Kind = Literal["prompt", "generated"]

_OUTCOMES: tuple[Outcome, ...] = ("success", "error", "refused", "cancelled")
_KINDS: tuple[Kind, ...] = ("prompt", "generated")


class Finished(NamedTuple):
    """One request that has ended.

    Attributes:
        operation: What was asked for.
        outcome: `refused` is the request's own fault, `error` the engine's, `cancelled` the client's wish.
        seconds: How long the client waited for the whole answer; none where the source does not say.
    """

    operation: Operation
    outcome: Outcome
    seconds: float | None


class Evaluated(NamedTuple):
    """Tokens that a model has read or written.

    Attributes:
        kind: `prompt` for what was read, `generated` for what was written.
        tokens: How many.
        seconds: How long the model computed on them.
    """

    kind: Kind
    tokens: int
    seconds: float


class Counts:
    """Counters and histograms of one service; they start at 0, so that the first request is an increase.

    Args:
        service: Its name.
        operations: What it can be asked for.
        buckets: Upper bounds of the histogram, in seconds, ascending.
    """

    def __init__(self, service: str, operations: tuple[Operation, ...], buckets: tuple[float, ...]) -> None:
        self._service = service
        self._buckets = buckets
        self._requests = Counter({(operation, outcome): 0 for operation in operations for outcome in _OUTCOMES})
        self._reached = {operation: Counter[float]() for operation in operations}
        self._waited = dict.fromkeys(operations, 0.0)
        self._timed = dict.fromkeys(operations, 0)
        self._tokens = dict.fromkeys(_KINDS, 0)
        self._computed = dict.fromkeys(_KINDS, 0.0)

    def finished(self, one: Finished) -> None:
        """Count a request. Only what succeeded is timed: a refusal is always fast."""
        self._requests[one.operation, one.outcome] += 1
        if one.outcome != "success" or one.seconds is None:
            return
        self._timed[one.operation] += 1
        self._waited[one.operation] += one.seconds
        bound = next((bound for bound in self._buckets if one.seconds <= bound), None)
        if bound is not None:
            self._reached[one.operation][bound] += 1

    def evaluated(self, one: Evaluated) -> None:
        """Count tokens."""
        self._tokens[one.kind] += one.tokens
        self._computed[one.kind] += one.seconds

    @property
    def generations(self) -> int:
        """Requests to generate that have succeeded."""
        return self._requests["generate", "success"]

    @property
    def tokens(self) -> int:
        """Tokens of every kind."""
        return sum(self._tokens.values())

    def requests(self) -> Iterator[Sample]:
        """Yield requests and how long they took."""
        for (operation, outcome), count in self._requests.items():
            labels = {"service": self._service, "operation": operation, "outcome": outcome}
            yield Sample("ipex_inference_requests_total", labels, count)
        for operation in self._reached:
            yield from self._histogram(operation)

    def throughput(self) -> Iterator[Sample]:
        """Yield tokens, and the time spent on them."""
        for kind in _KINDS:
            labels: dict[str, str] = {"service": self._service, "kind": kind}
            yield Sample("ipex_inference_tokens_total", labels, self._tokens[kind])
            yield Sample("ipex_inference_compute_seconds_total", labels, self._computed[kind])

    def _histogram(self, operation: Operation) -> Iterator[Sample]:
        family = "ipex_inference_duration_seconds"
        labels: dict[str, str] = {"service": self._service, "operation": operation}
        below = 0
        for bound in self._buckets:
            below += self._reached[operation][bound]
            # With a decimal point, as OpenMetrics writes a bound: 2.0 and not 2.
            yield Sample(family, {**labels, "le": repr(float(bound))}, below, "_bucket")
        yield Sample(family, {**labels, "le": "+Inf"}, self._timed[operation], "_bucket")
        yield Sample(family, labels, self._timed[operation], "_count")
        yield Sample(family, labels, self._waited[operation], "_sum")
