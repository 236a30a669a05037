"""The lab's certification authority: one CA, the gateways' certificate, and certificates for clients in tests."""

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.state import STATE

DIRECTORY = STATE / "tls"
CA = DIRECTORY / "ca.pem"
"""What a client of the lab's gateways trusts."""
CERTIFICATE = DIRECTORY / "gateway.pem"
"""The gateways' certificate, and the CA's behind it."""
KEY = DIRECTORY / "gateway.key"

_CA_KEY = DIRECTORY / "ca.key"
_DAYS = 365


def create(name: str, addresses: Iterable[str]) -> None:
    """Make the CA and the gateways' certificate where there are none.

    Args:
        name: the gateways' public name.
        addresses: their IP addresses.
    """
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    if not CA.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name("The lab's CA")
        built = _builder(subject, subject, key.public_key())
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        built = built.add_extension(_usage(signs_certificates=True), critical=True)
        _write(_CA_KEY, _private(key))
        _write(CA, _pem(built.sign(key, hashes.SHA256())), mode=0o644)
    if not CERTIFICATE.exists():
        names = [x509.DNSName(name), *(x509.IPAddress(ipaddress.ip_address(one)) for one in addresses)]
        private, certificate = _issue(name, names, ExtendedKeyUsageOID.SERVER_AUTH)
        _write(KEY, private)
        _write(CERTIFICATE, certificate + CA.read_bytes(), mode=0o644)


def secrets() -> dict[str, str]:
    """What of it the gateways need, by the names of the fleet's secrets."""
    return {
        "tls.certificate": CERTIFICATE.read_text(),
        "tls.key": KEY.read_text(),
        "tls.client_ca": CA.read_text(),
    }


def client(name: str, certificate: Path, key: Path) -> None:
    """Give a client a certificate of its own; the common name is what the gateway knows it by."""
    private, issued = _issue(name, [], ExtendedKeyUsageOID.CLIENT_AUTH)
    _write(key, private)
    _write(certificate, issued, mode=0o644)


def _issue(name: str, names: list[x509.GeneralName], usage: x509.ObjectIdentifier) -> tuple[bytes, bytes]:
    ca = x509.load_pem_x509_certificate(CA.read_bytes())
    signer = serialization.load_pem_private_key(_CA_KEY.read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)  # noqa: S101 - this module made it
    key = ec.generate_private_key(ec.SECP256R1())
    built = _builder(_name(name), ca.subject, key.public_key())
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(_usage(signs_certificates=False), critical=True)
    built = built.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    if names:
        built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return _private(key), _pem(built.sign(signer, hashes.SHA256()))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, mode: int = 0o600) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
