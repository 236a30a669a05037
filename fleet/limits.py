"""How much one client and one address may ask of a gateway."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rate:
    """How often, and how much at once.

    Attributes:
        requests_per_second: on average.
        burst: so many at once before that counts; a page of ComfyUI is 300 requests.
        concurrent: so many in work at the same time; a websocket is one for as long as its page is open.
    """

    requests_per_second: int
    burst: int
    concurrent: int


@dataclass(frozen=True)
class Limits:
    """What a gateway grants; times in seconds.

    Attributes:
        classes: name to what a client of that class is granted. A person with a password is counted by name and
            address together, so that nobody uses up somebody else's share by guessing.
        address: what one address is granted, whoever asks from there.
        retry_after_seconds: what a refused client is told to wait.
        header_seconds: in which a request's header must have come, and a TLS handshake.
        body_seconds: longest silence within a request's body.
        send_seconds: longest silence of a client to whom an answer is sent.
        idle_seconds: how long an idle connection is kept.
    """

    classes: Mapping[str, Rate]
    address: Rate
    retry_after_seconds: int
    header_seconds: int
    body_seconds: int
    send_seconds: int
    idle_seconds: int


def nonsense(limits: Limits) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    rates = {f"classes.{name}": rate for name, rate in limits.classes.items()} | {"address": limits.address}
    for name, rate in rates.items():
        for key in ("requests_per_second", "burst", "concurrent"):
            if getattr(rate, key) < 1:
                yield f"gateway.limits.{name}.{key} is {getattr(rate, key)}", "Write 1 or more."
    for name in limits.classes:
        if not name.isascii() or not name.isalpha() or not name.islower():
            yield f"gateway.limits.classes.{name}: its name", "Write it like bulk: small letters."
    for key in ("retry_after_seconds", "header_seconds", "body_seconds", "send_seconds", "idle_seconds"):
        if getattr(limits, key) < 1:
            yield f"gateway.limits.{key} is {getattr(limits, key)}", "Write 1 or more."
