"""An environment's encrypted file, as the commands of tools.secrets change it: comments and order stay."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomlkit

from fleet import load, secrets_file
from fleet.model import Fleet
from fleet.secrets import NAME, Key
from fleet.secrets_file import SecretsError, SecretsFile


@dataclass(frozen=True)
class Made:
    """A text, and the names of the secrets that were made for it."""

    text: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Vault:
    """The file of one environment.

    Attributes:
        inventory: the environment's inventory file.
        source: where its secrets are.
    """

    inventory: str
    source: SecretsFile

    @property
    def exists(self) -> bool:
        """Whether the encrypted file is there."""
        return Path(self.source.file).exists()

    @property
    def opens(self) -> bool:
        """Whether it is there, and an identity for it."""
        return self.exists and secrets_file.identity_path(self.source).exists()

    @property
    def public_key(self) -> str:
        """The operator's own."""
        return str(secrets_file.identity(self.source).to_public())

    def fleet(self) -> Fleet:
        """The fleet with the secrets that are known now."""
        return load.from_file(self.inventory)

    def opened(self) -> dict[str, Any]:
        """The tables of the file; empty where it cannot be opened."""
        return secrets_file.opened(self.source)

    def text(self) -> str:
        """The decrypted text.

        Raises:
            SecretsError: there is none, or it cannot be opened.
        """
        return secrets_file.decrypted(self.source)

    def check(self, text: str) -> None:
        """Refuse a text that is no file of secrets.

        Raises:
            SecretsError: with all that is wrong, and no value.
        """
        secrets_file.understood(secrets_file.parsed(self.source, text), {})

    def save(self, text: str) -> None:
        """Check a text, encrypt it, put it in the file's place."""
        self.check(text)
        secrets_file.saved(self.source, text)

    def with_value(self, text: str, name: str, value: str) -> str:
        """The text with one secret, new or replaced.

        Raises:
            SecretsError: the name cannot be a secret's, or there is no value.
        """
        if not re.fullmatch(NAME, name) or name.startswith("clients."):
            raise SecretsError((f"{name} is no name of a secret", "Write it like alertmanager.slack_url."))
        if not value:
            raise SecretsError((f"there is no value for {name} on standard input", "Type it, or send it in by a pipe."))
        document = self._document(text)
        *tables, key = name.split(".")
        place: Any = document
        for table in tables:
            place = _table(place, table)
        place[key] = tomlkit.string(value, multiline="\n" in value)
        return tomlkit.dumps(document)

    def with_values(self, text: str, makers: Mapping[str, Callable[[], str]]) -> Made:
        """The text with all secrets that it lacks of these."""
        known = secrets_file.understood(secrets_file.parsed(self.source, text), {})
        lacking = tuple(name for name in makers if not known.has(name))
        for name in lacking:
            text = self.with_value(text, name, makers[name]())
        return Made(text, lacking)

    def with_key(self, text: str, client: str, key: Key) -> str:
        """The text with one more key of a client."""
        document = self._document(text)
        entry = _table(_table(document, "clients"), client)
        keys = [*entry.get("keys", ()), asdict(key)]
        entry["keys"] = _rows(keys)
        return tomlkit.dumps(document)

    def without_key(self, text: str, client: str, identity: str) -> str:
        """The text without a client's key.

        Raises:
            SecretsError: the client has no such key.
        """
        document = self._document(text)
        entry = document.get("clients", {}).get(client, {})
        ids = [key["id"] for key in entry.get("keys", ())]
        if identity not in ids:
            raise SecretsError((f"{client} has no key {identity}", f"Name one of: {', '.join(ids) or 'it has none'}."))
        entry["keys"] = _rows([key for key in entry["keys"] if key["id"] != identity])
        return tomlkit.dumps(document)

    def with_password(self, text: str, client: str, password: str) -> str:
        """The text with a client's password, as htpasswd holds it."""
        document = self._document(text)
        _table(_table(document, "clients"), client)["password"] = password
        return tomlkit.dumps(document)

    def refuse_unknown_client(self, client: str) -> None:
        """Make no credentials for a name that the gateways' data do not know.

        Raises:
            SecretsError: it is not among them.
        """
        known = clients(self.fleet())
        if client not in known:
            cure = f"Declare it in access.clients (group_data/gateways.py); known: {', '.join(known) or 'none'}."
            raise SecretsError((f"there is no client {client}", cure))

    def _document(self, text: str) -> tomlkit.TOMLDocument:
        self.check(text)
        return tomlkit.parse(text)


def clients(fleet: Fleet) -> tuple[str, ...]:
    """Who may have credentials, by the gateways' data."""
    return tuple(sorted({name for node in fleet.nodes if node.gateway for name in node.access.clients}))


def _table(place: Any, name: str) -> Any:  # noqa: ANN401 - tomlkit's tables have no one type
    if name not in place:
        place[name] = tomlkit.table()
    return place[name]


def _rows(keys: list[Mapping[str, str]]) -> Any:  # noqa: ANN401 - as above
    rows = tomlkit.array()
    for key in keys:
        row = tomlkit.inline_table()
        row.update(dict(key))
        rows.append(row)
    return rows.multiline(multiline=True)
