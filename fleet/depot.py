"""The depot: the node from which the fleet takes what one of its nodes has built, and what is published for it."""

import base64
import binascii
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from fleet.secrets import Secret, Secrets

UNIT = "ipex-depot.service"
DIRECTORY = "/var/lib/ipex-depot"
"""What is served, below it: `cache`, `closures`, `generations`. Written by root, read by everybody."""
CACHE_KEY = "depot.cache_key"
"""Secret: signs what is built, in Nix's own form (nix key generate-secret). Only the builder is ever given it."""
CLOSURE_KEY = "depot.closure_key"
"""Secret: signs which store path a flake's output is (OpenSSH). Only the builder is ever given it."""
FLEET_KEY = "depot.fleet_key"
"""Secret: signs what is published for nodes (OpenSSH). It never leaves the controller."""


@dataclass(frozen=True)
class Depot:
    """What one node keeps for all.

    Attributes:
        node: the node's name; None stands for the first monitor.
        port: where it listens, for nodes of the fleet alone.
        connections: open at once, of all nodes together; Nix opens up to 25 a node (http-connections).
        cache_gb: what built closures may take there (10^9 bytes).
        free_gb: what a build leaves free on the file systems of the builder's store and of the depot (10^9 bytes).
    """

    port: int
    connections: int
    cache_gb: int
    free_gb: int
    node: str | None = None


def nonsense(depot: Depot) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant, each with its cure."""
    for fits, name, cure in (
        (depot.connections >= 1, "connections", "Write 1 or more; Nix opens up to 25 a node."),
        (depot.cache_gb >= 1, "cache_gb", "Write 1 or more: a closure of ComfyUI takes about 16."),
        (depot.free_gb >= 0, "free_gb", "Write 0 or more."),
    ):
        if not fits:
            yield f"depot.{name} is {getattr(depot, name)}", cure


def bad_keys(secrets: Secrets) -> Iterator[tuple[str, str]]:
    """Keys that are known and cannot be read, each with its cure; no value is in those words."""
    for name, read in ((CACHE_KEY, _nix_public), (CLOSURE_KEY, _ssh_public), (FLEET_KEY, _ssh_public)):
        if secrets.has(name) and read(secrets.get(name).reveal()) is None:
            yield (
                f"the secret {name} is no such key",
                "Take it out of the secrets file, and let python -m tools.secrets init INVENTORY make a new one.",
            )


def cache_public(secrets: Secrets) -> str:
    """What a node believes a built path by (nix.conf, trusted-public-keys); where unknown, words that say so."""
    key = secrets.get(CACHE_KEY)
    return _nix_public(key.reveal()) or _unknown(key)


def ssh_public(key: Secret) -> str:
    """The public half of an OpenSSH key, as `type base64`; where it is unknown, words that say so."""
    return _ssh_public(key.reveal()) or _unknown(key)


def _unknown(key: Secret) -> str:
    return Secret(key.name, None).reveal()


def _nix_public(text: str) -> str | None:
    """`name:base64` of seed and public key (libsodium's crypto_sign secret key) becomes `name:base64` of the latter."""
    match = re.fullmatch(r"([A-Za-z0-9._-]+):([A-Za-z0-9+/=]+)\s*", text)
    try:
        raw = base64.b64decode(match[2], validate=True) if match else b""
    except binascii.Error:
        return None
    return f"{match[1]}:{base64.b64encode(raw[32:]).decode()}" if match and len(raw) == 64 else None


def _ssh_public(text: str) -> str | None:
    """Read the public half out of an OpenSSH private key. Source: openssh, PROTOCOL.key."""
    match = re.fullmatch(r"-----BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----END OPENSSH PRIVATE KEY-----\s*", text)
    try:
        raw = base64.b64decode(match[1]) if match else b""
        rest = raw.removeprefix(b"openssh-key-v1\0")
        for _ in ("cipher", "kdf", "its options"):
            rest = _string(rest)[1]
        public = _string(rest[4:])[0]  # behind the number of keys
        kind = _string(public)[0].decode("ascii")
    except (binascii.Error, struct.error, UnicodeDecodeError):
        return None
    return f"{kind} {base64.b64encode(public).decode()}" if kind.startswith("ssh-") else None


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Part what a length of four bytes leads from the rest."""
    (length,) = struct.unpack(">I", data[:4])
    return data[4 : 4 + length], data[4 + length :]
