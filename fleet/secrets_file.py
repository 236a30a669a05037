"""Where secrets come from: one file a environment, encrypted with age, and the variables of the controller's shell."""

import base64
import datetime as dt
import hashlib
import os
import secrets as random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fleet.secrets import Key, Secrets, hashed, of, twins

VARIABLE = "IPEX_SECRET_"
"""Behind it the secret's name: IPEX_SECRET_ALERTMANAGER_SLACK_URL is alertmanager.slack_url."""

_MEND = "Mend it: python -m tools.secrets edit INVENTORY"


@dataclass(frozen=True)
class SecretsFile:
    """An environment's secrets, as its data name them.

    Attributes:
        file: the encrypted file, from the repository's root; it may be committed.
        identity: the operator's own age identity, which opens it; never committed.
        recipients: public keys of all who may open it, beside the identity's own.
    """

    file: str
    identity: str
    recipients: tuple[str, ...] = ()


class SecretsError(Exception):
    """The file cannot be used; no value is in the words.

    Attributes:
        problems: what is wrong and what to do, one pair each.
    """

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__("; ".join(what for what, _ in problems))
        self.problems = problems


def read(source: SecretsFile | None, variables: Mapping[str, str] = os.environ) -> Secrets:
    """All secrets there are; none where there is neither the file nor the identity that opens it.

    Raises:
        SecretsError: the file is there and cannot be opened or understood.
    """
    return understood(opened(source) if source else {}, variables)


def understood(data: Mapping[str, Any], variables: Mapping[str, str] = os.environ) -> Secrets:
    """What a file's tables and the variables say.

    Raises:
        SecretsError: with all that is wrong.
    """
    others = {
        name.removeprefix(VARIABLE).lower().replace("_", ".", 1): value
        for name, value in variables.items()
        if name.startswith(VARIABLE) and value
    }
    secrets, problems = of(data, others)
    problems += tuple((f"key {one} is there twice", "Revoke it and make a new one.") for one in twins(secrets.clients))
    if problems:
        raise SecretsError(*problems)
    return secrets


def opened(source: SecretsFile) -> dict[str, Any]:
    """The tables of the encrypted file; empty where there is no file, or nothing to open it with.

    Raises:
        SecretsError: it is not encrypted for this identity, damaged, or no TOML.
    """
    if not Path(source.file).exists() or not identity_path(source).exists():
        return {}
    return parsed(source, decrypted(source))


def decrypted(source: SecretsFile) -> str:
    """The text of the encrypted file.

    Raises:
        SecretsError: it cannot be read, is not encrypted for this identity, or damaged.
    """
    path = Path(source.file)
    try:
        return str(pyrage.decrypt(path.read_bytes(), [identity(source)]), "utf-8")
    except pyrage.DecryptError as error:
        cure = "Let a colleague who can open it add your public key to secrets.recipients and run: "
        cure += f"python -m tools.secrets recipients INVENTORY ({error})"
        raise SecretsError((f"{path} cannot be opened with {source.identity}", cure)) from None
    except UnicodeDecodeError:
        raise SecretsError((f"{path} holds no text", _MEND)) from None
    except OSError as error:
        cure = "Make it with python -m tools.secrets init INVENTORY, or mend its permissions."
        raise SecretsError((f"{path} cannot be read: {error.strerror}", cure)) from None


def parsed(source: SecretsFile, text: str) -> dict[str, Any]:
    """The tables of a text.

    Raises:
        SecretsError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The message of the parser names a line and a column, and no value.
        raise SecretsError((f"{source.file} holds no TOML: {error}", _MEND)) from None


def identity_path(source: SecretsFile) -> Path:
    """Where the operator's identity lies."""
    return Path(source.identity).expanduser()


def identity(source: SecretsFile) -> pyrage.x25519.Identity:
    """The operator's identity, as age-keygen writes it.

    Raises:
        SecretsError: there is none, or it is none.
    """
    path = identity_path(source)
    try:
        lines = path.read_text().split()
        return pyrage.x25519.Identity.from_str(next(line for line in lines if line.startswith("AGE-SECRET-KEY-")))
    except OSError as error:
        raise SecretsError(
            (f"{path} cannot be read: {error.strerror}", "python -m tools.secrets init INVENTORY")
        ) from None
    except (StopIteration, pyrage.IdentityError):
        raise SecretsError(
            (f"{path} holds no age identity", "age-keygen, or python -m tools.secrets init INVENTORY.")
        ) from None


def saved(source: SecretsFile, text: str) -> None:
    """Encrypt a text for this operator and all recipients, and put it in the file's place by rename.

    Raises:
        SecretsError: a recipient is no public key, or the file cannot be written.
    """
    path = Path(source.file)
    keys = [identity(source).to_public(), *map(_recipient, source.recipients)]
    fresh = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(pyrage.encrypt(text.encode(), keys))
        fresh.replace(path)
    except OSError as error:
        raise SecretsError((f"{path} cannot be written: {error.strerror}", "Mend its permissions.")) from None
    finally:
        fresh.unlink(missing_ok=True)


def _recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        cure = "Write what tools.secrets recipients prints for a colleague: age1..."
        raise SecretsError((f"secrets.recipients holds {text!r}, which is no public key", cure)) from None


def made_identity(source: SecretsFile) -> bool:
    """Make the operator's identity, for this user's eyes alone, where there is none; tells whether it did."""
    path = identity_path(source)
    if path.exists():
        return False
    mine = pyrage.x25519.Identity.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"# public key: {mine.to_public()}\n{mine}\n")
    return True


def new_key() -> tuple[str, Key]:
    """A new API key: itself, for its client's eyes alone, and how it is kept."""
    key = f"ipex_{random.token_hex(4)}_{random.token_urlsafe(32)}"
    return key, Key(key.split("_")[1], hashed(key), dt.datetime.now(dt.UTC).date().isoformat())


def new_password() -> str:
    """A password with 144 bits of chance, which nobody needs to stretch."""
    return random.token_urlsafe(18)


def ssha(password: str) -> str:
    """A password as an htpasswd file holds it: salted SHA-1 (RFC 2307), which nginx itself checks everywhere."""
    salt = random.token_bytes(16)
    digest = hashlib.sha1(password.encode() + salt, usedforsecurity=False).digest()
    return "{SSHA}" + base64.b64encode(digest + salt).decode()


def new_cache_key() -> str:
    """A key that signs store paths, as `nix key generate-secret` makes it; its name tells nodes which key to try."""
    key = Ed25519PrivateKey.generate()
    name = f"ipex-fleet-{random.token_hex(4)}"
    return f"{name}:{base64.b64encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()).decode()}"


def new_signing_key() -> str:
    """An OpenSSH key without a passphrase, as `ssh-keygen -t ed25519` makes it."""
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
    return Ed25519PrivateKey.generate().private_bytes(*form).decode()
