"""TLS on the gateways. The defaults are Mozilla's "intermediate" (wiki.mozilla.org/Security/Server_Side_TLS)."""

from collections.abc import Iterator
from dataclasses import dataclass

PROTOCOLS = ("TLSv1.2", "TLSv1.3")
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)
"""Of TLS 1.2; those with finite-field Diffie-Hellman are left out, which only clients without elliptic curves need."""


@dataclass(frozen=True)
class Tls:
    """How a gateway shows who it is.

    Attributes:
        port: where it listens for TLS.
        hsts_seconds: how long browsers are told to come with TLS alone (Strict-Transport-Security); 0 tells nothing.
    """

    port: int
    hsts_seconds: int


def nonsense(tls: Tls) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    if tls.hsts_seconds < 0:
        yield f"gateway.tls.hsts_seconds is {tls.hsts_seconds}", "Write 0 or more."
