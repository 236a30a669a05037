"""Who may use the gateway, for what, and within which limits. Credentials stand in the secrets file, never here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Right = Literal["use", "operate", "look"]
RIGHTS: tuple[Right, ...] = get_args(Right)
OWN = "fleet"
"""The fleet's own client: verification on the gateways, the monitors' probes. It is always there."""


@dataclass(frozen=True)
class Client:
    """A program or a person that the gateway knows.

    Attributes:
        name: its name, in the log and in the secrets file.
        may: use = the engines' inference; operate = what changes models or other people's work; look = front page,
            its data, Prometheus and Grafana.
        limits: its class of limits.
    """

    name: str
    may: tuple[Right, ...]
    limits: str = "standard"


@dataclass(frozen=True)
class Access:
    """Everybody the gateway knows; without a credential in the secrets file nobody gets in.

    Attributes:
        clients: name to client.
    """

    clients: Mapping[str, Client] = field(default_factory=dict)

    def known(self) -> tuple[Client, ...]:
        """Every client, the fleet's own among them, by name."""
        own = Client(OWN, may=("use", "look"), limits="")
        return tuple(sorted((*self.clients.values(), own), key=lambda client: client.name))


def nonsense(access: Access, classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure.

    Args:
        access: who is known.
        classes: the limits' classes.
    """
    for name, client in access.clients.items():
        where = f"access.clients.{name}"
        if name == OWN:
            yield f"{where} is the fleet's own", "Give the client another name."
        # Also a word of nginx' maps and a user name of HTTP, which takes no colon.
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,31}", name) or name in {"default", "hostnames", "include", "volatile"}:
            yield f"{where}: its name", "Write it like chat-frontend: small letters, digits and dashes, 32 at most."
        if not client.may or len(set(client.may)) < len(client.may):
            yield f"{where}.may is {list(client.may)}", f"Name some of {', '.join(RIGHTS)}, each once."
        if client.limits not in classes:
            yield f"{where}.limits is {client.limits!r}", f"Name one of gateway.limits.classes: {', '.join(classes)}."
