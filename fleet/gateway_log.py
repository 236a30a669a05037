"""What a gateway keeps of its users' requests, and for how long."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class GatewayLog:
    """The gateway's log and what counts it.

    Attributes:
        port: where mtail shows what it has counted.
        days: how long requests are kept; they say neither who asked nor what.
        error_days: how long nginx' own errors are kept; nginx writes address and request line into them.
        addresses: whether the log of requests names the client.
    """

    port: int
    days: int
    error_days: int
    addresses: bool


def nonsense(log: GatewayLog) -> Iterator[tuple[str, str]]:
    """What cannot be meant, and its cure."""
    for key in ("days", "error_days"):
        if getattr(log, key) < 1:
            yield f"gateway.log.{key} is {getattr(log, key)}", "Write 1 or more."
