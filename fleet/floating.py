"""The floating address: one address that users know, held by one gateway at a time."""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PROMISED_SECONDS = 3
"""Within so many seconds service goes on when a gateway dies."""
ANSWER_SECONDS = 0.9
"""Longest a gateway's own nginx may take to answer that it is there."""


@dataclass(frozen=True)
class Floating:
    """An address that one of the gateways holds, and another takes when that one cannot.

    Attributes:
        address: the address; no node's own.
        prefix: length of its network's prefix; every gateway's own address is in that network.
        router_id: tells it from other VRRP addresses of the same network (RFC 5798, 5.2.3).
    """

    address: str
    prefix: int
    router_id: int

    @property
    def cidr(self) -> str:
        """The address with its prefix length, as ip(8) writes it."""
        return f"{self.address}/{self.prefix}"

    def at(self, port: int) -> str:
        """The address with a port, as URLs write it."""
        return f"[{self.address}]:{port}" if ":" in self.address else f"{self.address}:{port}"


@dataclass(frozen=True)
class Takeover:
    """How fast a gateway takes the floating address over; seconds.

    Three advertisements that do not come, and a little, mean that the holder is dead (RFC 5798, 6.1).

    Attributes:
        advert_seconds: between two words of the holder to the others; VRRP counts hundredths.
        check_seconds: between two questions to the gateway's own nginx.
        fall: questions in a row without an answer after which it gives the address up.
        rise: answers in a row after which it may hold the address again.
    """

    advert_seconds: float
    check_seconds: float
    fall: int
    rise: int

    @property
    def longest_seconds(self) -> float:
        """How long users may wait at most: until the holder is known to be dead, or to be of no use.

        A backup takes over after three advertisements and its skew, which is below one (RFC 5798, 6.1); one that is
        told by the holder waits for the skew alone.
        """
        dead = 4 * self.advert_seconds
        useless = self.check_seconds + self.fall * max(self.check_seconds, ANSWER_SECONDS) + self.advert_seconds
        return max(dead, useless)


def nonsense(takeover: Takeover) -> Iterator[tuple[str, str]]:
    """What cannot be meant of how an address is taken over, each with its cure."""
    where = "gateway.takeover"
    for name in ("advert_seconds", "check_seconds"):
        seconds = getattr(takeover, name)
        # Shorter would make a machine under load look dead; longer is no takeover within seconds.
        if not 0.1 <= seconds <= 40:
            yield f"{where}.{name} is {seconds}", "Write 0.1 to 40."
    for name in ("fall", "rise"):
        if getattr(takeover, name) < 1:
            yield f"{where}.{name} is {getattr(takeover, name)}", "Write 1 or more."
    if takeover.longest_seconds > PROMISED_SECONDS:
        what = f"{where} lets users wait up to {takeover.longest_seconds:.1f} s for another gateway"
        yield what, f"Lower advert_seconds, check_seconds or fall: {PROMISED_SECONDS} s are promised."


def misplaced(floating: Floating, gateways: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What cannot be meant of a floating address, each with its cure.

    Args:
        floating: the address.
        gateways: the gateways' own addresses.
        others: all other nodes' addresses.
    """
    try:
        network = ipaddress.ip_interface(floating.cidr).network
    except ValueError:
        yield f"floating is {floating.cidr}", "Write an address and its prefix length, like 203.0.113.20 and 24."
        return
    if floating.address in {*gateways, *others}:
        yield f"floating.address {floating.address} is also a node's own", "Give it an address of its own."
    if len(gateways) < 2:
        yield "floating is set for one gateway", "Name a second gateway, or set floating to None."
    for address in gateways:
        if ipaddress.ip_address(address) not in network:
            yield (
                f"floating.address {floating.address} and the gateway {address} are in different networks",
                f"Take an address of the gateways' own network; {network} is floating's.",
            )
    if not 1 <= floating.router_id <= 255:
        yield f"floating.router_id is {floating.router_id}", "Write 1 to 255."
