"""How the gateway reaches a service."""

from dataclasses import dataclass
from typing import Literal

from fleet.endpoints import Endpoint


@dataclass(frozen=True)
class Route:
    """How the gateway reaches a service; times and sizes in nginx' own spelling.

    Attributes:
        path: the public prefix, stripped before a node sees the request.
        balance: least_conn sends every request to the node with the fewest; session keeps a client on one node.
        replayable: whether a request without an answer may be tried on a second node.
        read_timeout: the longest silence of a backend (proxy_read_timeout).
        body_max: the largest request body (client_max_body_size).
        endpoints: requests that are let through beside those of its engine (fleet/endpoints.py).
        spill_at: how many requests a node that has the model loaded is given before one that has not gets any.
    """

    path: str
    balance: Literal["least_conn", "session"]
    replayable: bool
    read_timeout: str
    body_max: str
    endpoints: tuple[Endpoint, ...] = ()
    spill_at: int = 1
