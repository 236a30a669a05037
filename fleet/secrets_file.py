"""Where secrets come from: one file a environment, encrypted with age, and the variables of the controller's shell."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyrage

from fleet.secrets import Secrets, of, twins

VARIABLE = "IPEX_SECRET_"
"""Behind it the secret's name: IPEX_SECRET_ALERTMANAGER_SLACK_URL is alertmanager.slack_url."""


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
    path = Path(source.file)
    if not path.exists() or not identity_path(source).exists():
        return {}
    try:
        text = pyrage.decrypt(path.read_bytes(), [identity(source)]).decode()
    except pyrage.DecryptError as error:
        cure = f"Ask a colleague who can to add your public key to secrets.recipients and run tools.secrets ({error})."
        raise SecretsError((f"{path} cannot be opened with {source.identity}", cure)) from None
    except OSError as error:
        raise SecretsError((f"{path} cannot be read: {error.strerror}", "Mend its permissions.")) from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The message of the parser names a line and a column, and no value.
        cure = "Mend it: python -m tools.secrets edit."
        raise SecretsError((f"{path} holds no TOML: {error}", cure)) from None


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
        raise SecretsError((f"{path} cannot be read: {error.strerror}", "python -m tools.secrets init")) from None
    except (StopIteration, pyrage.IdentityError):
        raise SecretsError((f"{path} holds no age identity", "age-keygen, or python -m tools.secrets init.")) from None
