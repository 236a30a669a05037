"""The lab's secrets: an age identity, the encrypted file that group_data/lab.py names, and plain keys for tests."""

import os
import runpy
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit

from fleet import secrets_file
from fleet.secrets_file import SecretsFile
from lab.roster import MACHINE_ADDRESS
from lab.state import STATE

SOURCE = SecretsFile(file=str(STATE / "secrets.age"), identity=str(STATE / "identity.txt"))
KEYS = STATE / "keys"
"""A file for each client of the lab's gateways, with its plain API key."""
MARK = "MARKED-SECRET-9b2e"
"""A part of each secret that is none of chance: tests look for it where it must not be."""
WEB_PORT = 2526
"""Where the tests' own webhook listens on this machine."""

_CLIENTS = Path(__file__).parents[1] / "group_data" / "gateways.py"


def create(more: Mapping[str, str]) -> None:
    """Make what is missing; what is there stays, so that a running lab's nodes stay as declared.

    Args:
        more: secrets that others have made for the lab, by name.
    """
    secrets_file.made_identity(SOURCE)
    tables = secrets_file.opened(SOURCE)
    for name, value in {**_made_up(), **more}.items():
        table, _, key = name.partition(".")
        tables.setdefault(table, {}).setdefault(key, value)
    clients = tables.setdefault("clients", {})
    KEYS.mkdir(mode=0o700, exist_ok=True)
    for client in _clients():
        if client not in clients:
            clients[client] = _credentials(client)
    secrets_file.saved(SOURCE, tomlkit.dumps(tables))
    _give_away()


def _made_up() -> dict[str, str]:
    web = f"http://{MACHINE_ADDRESS}:{WEB_PORT}"
    return {
        "alertmanager.slack_url": f"{web}/slack/{MARK}",
        "alertmanager.deadman_url": f"{web}/deadman/{MARK}",
        "probe.key": secrets_file.new_key()[0],
        "depot.cache_key": secrets_file.new_cache_key(),
        "depot.closure_key": secrets_file.new_signing_key(),
        "depot.fleet_key": secrets_file.new_signing_key(),
    }


def _clients() -> tuple[str, ...]:
    return tuple(runpy.run_path(str(_CLIENTS)).get("access", {}).get("clients", ()))


def _credentials(client: str) -> dict[str, Any]:
    """A key and a password; both stand in files as well, as a person would have them from tools.secrets."""
    key, kept = secrets_file.new_key()
    password = secrets_file.new_password()
    for name, text in ((client, key), (f"{client}.password", password)):
        with os.fdopen(os.open(KEYS / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{text}\n")
    return {"keys": [vars(kept)], "password": secrets_file.ssha(password)}


def _give_away() -> None:
    """Let whoever called sudo deploy with them, as with the lab's ssh key."""
    if owner := os.environ.get("SUDO_UID"):
        for path in (Path(SOURCE.identity), Path(SOURCE.file), KEYS, *KEYS.iterdir()):
            shutil.chown(path, int(owner))
