"""TLS on the gateways. The defaults are Mozilla's "intermediate" (wiki.mozilla.org/Security/Server_Side_TLS)."""

import re
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


_LEAST_DAYS, _MOST_DAYS = 1, 365


@dataclass(frozen=True)
class Acme:
    """Where a gateway gets its certificate by itself (RFC 8555); to declare it is to accept that authority's terms.

    Attributes:
        directory: the URL of the authority's directory.
        email: whom the authority writes to.
        renew_days: a certificate with fewer days left is renewed.
    """

    directory: str
    email: str
    renew_days: int = 30


@dataclass(frozen=True)
class Tls:
    """How a gateway shows who it is.

    Attributes:
        port: where it listens for TLS.
        hsts_seconds: how long browsers are told to come with TLS alone (Strict-Transport-Security); 0 tells nothing.
        acme: who issues its certificate; None where that is among the secrets.
    """

    port: int
    hsts_seconds: int
    acme: Acme | None = None


def nonsense(tls: Tls) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    if tls.hsts_seconds < 0:
        yield f"gateway.tls.hsts_seconds is {tls.hsts_seconds}", "Write 0 or more."
    if tls.acme:
        yield from _nonsense(tls.acme)


def _nonsense(acme: Acme) -> Iterator[tuple[str, str]]:
    where = "gateway.tls.acme"
    if not re.fullmatch(r"https://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9._~/-]*)?", acme.directory):
        yield (
            f"{where}.directory is {acme.directory!r}",
            "Write the URL of the directory, like https://acme-v02.api.letsencrypt.org/directory.",
        )
    if not re.fullmatch(r"[A-Za-z0-9._+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", acme.email):
        yield f"{where}.email is {acme.email!r}", "Write an address like operators@example.com."
    if not _LEAST_DAYS <= acme.renew_days <= _MOST_DAYS:
        yield f"{where}.renew_days is {acme.renew_days}", f"Write {_LEAST_DAYS} to {_MOST_DAYS}."
