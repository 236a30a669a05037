"""Who may come in, in these tests: one client for each right, with every kind of credential."""

import base64
import datetime as dt
import hashlib
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleet.access import Right

RIGHTS: dict[str, tuple[Right, ...]] = {
    "use": ("use",),
    "operate": ("operate",),
    "both": ("use", "operate"),
    "look": ("look",),
    "bulk": ("use",),
    "idle": ("use",),
}
"""Client to what it may do. `bulk` has other limits; `idle` has a certificate, and neither key nor password."""


@dataclass(frozen=True)
class Key:
    """An API key, and what is stored of it."""

    plain: str
    id: str
    hash: str


def key() -> Key:
    """A new key in the contract's form: ipex_<8 hex>_<43 base64url characters>."""
    name, secret = secrets.token_hex(4), base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
    plain = f"ipex_{name}_{secret}"
    return Key(plain, name, hashed(plain))


def hashed(plain: str) -> str:
    """What nginx' secure_link compares a key with."""
    digest = hashlib.md5(plain.encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def salted(password: str) -> str:
    """A password as nginx' auth_basic reads it: {SSHA}."""
    salt = os.urandom(8)
    return (
        "{SSHA}"
        + base64.b64encode(hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest() + salt).decode()
    )


@dataclass(frozen=True)
class Issued:
    """A certificate and its key, PEM."""

    certificate: bytes
    key: bytes

    def files(self, directory: Path, name: str) -> tuple[Path, Path]:
        """Write both, and say where."""
        paths = directory / f"{name}.pem", directory / f"{name}.key"
        for path, content in zip(paths, (self.certificate, self.key), strict=True):
            path.write_bytes(content)
            path.chmod(0o600)
        return paths


class Authority:
    """A certification authority of these tests'."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        built = _builder(self._name, self._name, self._key)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.certificate = built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *host_names: str) -> Issued:
        """A certificate for a client, or for a server of these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _builder(_name(name), self._name, key)
        if host_names:
            names = x509.SubjectAlternativeName([x509.DNSName(one) for one in host_names])
            built = built.add_extension(names, critical=False)
        signed = built.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(signed.public_bytes(serialization.Encoding.PEM), private)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    start = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    start = start.serial_number(x509.random_serial_number())
    return start.not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=30))


def _name(name: str) -> x509.Name:
    """A name from `CN` alone, or from a whole one like `CN=use,O=somebody`."""
    kinds = {"CN": NameOID.COMMON_NAME, "O": NameOID.ORGANIZATION_NAME, "OU": NameOID.ORGANIZATIONAL_UNIT_NAME}
    pairs = re.findall(r"([A-Z]+)=([^,]*)", name) or [("CN", name)]
    return x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in pairs])
