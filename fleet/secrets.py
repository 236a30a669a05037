"""Secrets: values that never show themselves, and what proves who a client of the gateway is."""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

NAME = r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+"
"""How a secret is called, such as `alertmanager.slack_url`."""

KEY_ID = r"[0-9a-f]{8}"
"""What a key is known by, beside its client's name."""

KEY = rf"ipex_{KEY_ID}_[A-Za-z0-9_-]{{43}}"
"""An API key: its id, and 32 random bytes in base64url."""

_NOT_THERE = "no-such-secret:"


@dataclass(frozen=True, repr=False)
class Secret:
    """A value that never shows itself: printed, formatted or in a traceback it is its name.

    Attributes:
        name: what it is called.
    """

    name: str
    _value: str | None

    def reveal(self) -> str:
        """The value, for the one file it belongs in; where it is not known, words that say so (see `missing`)."""
        return f"{_NOT_THERE}{self.name}" if self._value is None else self._value

    def __repr__(self) -> str:
        """Its name alone."""
        return f"<secret {self.name}>"

    def __str__(self) -> str:
        """Its name alone."""
        return repr(self)

    def __format__(self, _spec: str) -> str:
        """Its name alone."""
        return repr(self)


@dataclass(frozen=True)
class Key:
    """An API key, as it is kept: nobody can make the key of it.

    Attributes:
        id: which one of its client's.
        hash: base64url of the whole key's MD5, without padding, as nginx' secure_link compares it.
        created: the day, as it was noted.
    """

    id: str
    hash: str
    created: str = ""


@dataclass(frozen=True)
class Credentials:
    """What proves that somebody is a client.

    Attributes:
        keys: any of them does; two at once are a rotation.
        password: what an htpasswd file holds, `{SSHA}...`.
    """

    keys: tuple[Key, ...] = ()
    password: str | None = None


@dataclass(frozen=True, repr=False)
class Secrets:
    """All secrets of an environment.

    Attributes:
        clients: client's name to what proves it.
    """

    _values: Mapping[str, str] = field(default_factory=dict)
    clients: Mapping[str, Credentials] = field(default_factory=dict)

    def get(self, name: str) -> Secret:
        """One secret, whether or not it is known: so everything can be rendered and checked without any."""
        return Secret(name, self._values.get(name))

    def has(self, name: str) -> bool:
        """Whether it is known."""
        return name in self._values

    def names(self) -> tuple[str, ...]:
        """The names of all that are known."""
        return tuple(sorted(self._values))

    def credentials(self, client: str) -> Credentials:
        """What proves that somebody is this client; nothing where there is none."""
        return self.clients.get(client, Credentials())


def hashed(key: str) -> str:
    """A key as nginx' secure_link compares it: of 256 random bits, MD5 gives nothing away."""
    digest = hashlib.md5(key.encode(), usedforsecurity=False).digest()
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def missing(content: bytes) -> tuple[str, ...]:
    """The names of secrets whose values a rendered file should hold and does not."""
    found = re.findall(re.escape(_NOT_THERE.encode()) + NAME.encode().replace(b"(", b"(?:"), content)
    return tuple(dict.fromkeys(name.decode().removeprefix(_NOT_THERE) for name in found))


def of(data: Mapping[str, Any], others: Mapping[str, str]) -> tuple[Secrets, tuple[tuple[str, str], ...]]:
    """The secrets that a file holds, and what is wrong in it; no value is in those words.

    Args:
        data: the file's tables: `[clients.NAME]` with `keys` and `password`, every other one with names and texts.
        others: secrets from elsewhere, which win.
    """
    values: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    tables = {key: table for key, table in data.items() if key != "clients"}
    for name, value in _flat(tables):
        if not re.fullmatch(NAME, name):
            problems.append((f"{name} is no name of a secret", "Write [alertmanager] and under it slack_url = ..."))
        elif not isinstance(value, str) or not value.strip():
            problems.append((f"{name} is no text", 'Write it as NAME = "VALUE".'))
        else:
            values[name] = value
    clients, wrong = _clients(data.get("clients", {}))
    return Secrets({**values, **others}, clients), (*problems, *wrong)


def _flat(tables: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tables.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _clients(data: object) -> tuple[dict[str, Credentials], list[tuple[str, str]]]:
    if not isinstance(data, Mapping):
        return {}, [("clients is no table", "Let tools.secrets write it.")]
    clients: dict[str, Credentials] = {}
    problems: list[tuple[str, str]] = []
    for name, entry in data.items():
        try:
            clients[str(name)] = _credentials(entry)
        except (KeyError, TypeError, ValueError):
            cure = f"Take [clients.{name}] out and make new ones: python -m tools.secrets key INVENTORY {name}"
            problems.append((f"clients.{name} holds no keys and no password that can be read", cure))
    return clients, problems


def _credentials(entry: Mapping[str, Any]) -> Credentials:
    if set(entry) - {"keys", "password"}:
        raise ValueError
    password = entry.get("password")
    if password is not None and not re.fullmatch(r"\{SSHA\}[A-Za-z0-9+/=]+", password):
        raise ValueError
    return Credentials(tuple(map(_key, entry.get("keys", ()))), password)


def _key(entry: Mapping[str, Any]) -> Key:
    key = Key(entry["id"], entry["hash"], str(entry.get("created", "")))
    if not re.fullmatch(KEY_ID, key.id) or not re.fullmatch(r"[A-Za-z0-9_-]{22}", key.hash):
        raise ValueError
    return key


def twins(clients: Mapping[str, Credentials]) -> Iterable[str]:
    """Ids of keys that more than one client has, or one twice."""
    ids = [key.id for one in clients.values() for key in one.keys]
    return sorted({identity for identity in ids if ids.count(identity) > 1})
