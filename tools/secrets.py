"""An environment's secrets: what is there, what is missing, new keys for clients (docs/operate/secrets.md)."""

import argparse
import getpass
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fleet import load, secrets_file
from fleet.load import RefusedError
from fleet.secrets_file import SecretsError
from tools import secrets_list
from tools.secrets_editor import edited
from tools.secrets_vault import Vault

MADE: Mapping[str, Callable[[], str]] = {
    "probe.key": lambda: secrets_file.new_key()[0],
    "grafana.admin_password": secrets_file.new_password,
    "depot.cache_key": secrets_file.new_cache_key,
    "depot.closure_key": secrets_file.new_signing_key,
    "depot.fleet_key": secrets_file.new_signing_key,
}
"""Secrets that nobody else has to know: `init` makes them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 not, 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    if not Path(options.inventory).is_file():
        return _refused(f"{options.inventory} is no inventory file; name one such as inventory/prod.py.")
    try:
        source = load.secrets_source(options.inventory)
        if source is None:
            return _refused(
                f"{options.inventory} has no secrets: name file and identity in group_data/, as prod.py does."
            )
        return int(options.run(Vault(options.inventory, source), options))
    except RefusedError as refused:
        return _refused(str(refused))
    except SecretsError as error:
        return _refused("\n".join(f"{what}\n  To do: {cure}" for what, cure in error.problems))
    except KeyboardInterrupt:
        return _refused("Given up: nothing was changed.")


def _refused(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.secrets", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, words, said in _COMMANDS:
        command = commands.add_parser(name, help=said, description=said)
        command.add_argument("inventory", metavar="INVENTORY", help="such as inventory/prod.py")
        for word in words:
            command.add_argument(word, metavar=word.upper())
        command.set_defaults(run=run)
    return parser


def _init(vault: Vault, _: argparse.Namespace) -> int:
    if secrets_file.made_identity(vault.source):
        print(f"Made your identity {vault.source.identity}: keep it, and a copy of it; it opens the secrets.")
    print(f"Your public key, for secrets.recipients: {vault.public_key}")
    text = vault.text() if vault.exists else f"# Secrets of {vault.inventory}: python -m tools.secrets show\n"
    needed = secrets_list.needed(vault.fleet())
    made = vault.with_values(text, {name: make for name, make in MADE.items() if name in needed})
    if not vault.exists or made.names:
        vault.save(made.text)
        print(f"Wrote {vault.source.file}, made: {', '.join(made.names) or 'nothing'}.")
    left = [name for name in needed if not vault.fleet().secrets.has(name)]
    if left:
        print("Still missing; each takes its value from standard input:")
    for name in left:
        print(f"  python -m tools.secrets set {vault.inventory} {name}")
    return 0


def _show(vault: Vault, _: argparse.Namespace) -> int:
    fleet = vault.fleet()
    for line in secrets_list.lines(fleet, vault.opened()):
        print(line)
    print(f"\nfile {vault.source.file}, {'opened' if vault.opens else 'not opened'} with {vault.source.identity}")
    return 0 if all(map(fleet.secrets.has, secrets_list.needed(fleet))) else 1


def _edit(vault: Vault, _: argparse.Namespace) -> int:
    before = vault.text()
    after = edited(before, vault.check)
    if after == before:
        print("Nothing was changed.")
        return 0
    vault.save(after)
    print(f"Wrote {vault.source.file}; deploy, and it is in use.")
    return 0


def _set(vault: Vault, options: argparse.Namespace) -> int:
    is_typed = sys.stdin.isatty()
    value = getpass.getpass(f"{options.name}: ") if is_typed else sys.stdin.read()
    vault.save(vault.with_value(vault.text(), options.name, value.strip()))
    print(f"Wrote {options.name} to {vault.source.file}; deploy, and it is in use.")
    return 0


def _get(vault: Vault, options: argparse.Namespace) -> int:
    secrets = secrets_file.read(vault.source)
    if not secrets.has(options.name):
        return _refused(f"{options.name} is not known; known: {', '.join(secrets.names()) or 'none'}.")
    print(secrets.get(options.name).reveal())
    return 0


def _key(vault: Vault, options: argparse.Namespace) -> int:
    vault.refuse_unknown_client(options.client)
    key, kept = secrets_file.new_key()
    vault.save(vault.with_key(vault.text(), options.client, kept))
    print(f"Key {kept.id} of {options.client}, shown this once; deploy, and it opens the gateway:", file=sys.stderr)
    print(key)
    return 0


def _revoke(vault: Vault, options: argparse.Namespace) -> int:
    vault.save(vault.without_key(vault.text(), options.client, options.id))
    print(f"Key {options.id} of {options.client} is gone; deploy, and it opens nothing.")
    return 0


def _password(vault: Vault, options: argparse.Namespace) -> int:
    vault.refuse_unknown_client(options.client)
    password = secrets_file.new_password()
    vault.save(vault.with_password(vault.text(), options.client, secrets_file.ssha(password)))
    print(f"Password of {options.client}, shown this once; deploy, and it replaces the old:", file=sys.stderr)
    print(password)
    return 0


def _recipients(vault: Vault, _: argparse.Namespace) -> int:
    print(f"Your public key: {vault.public_key}")
    if not vault.exists:
        return _refused(f"{Path(vault.source.file)} is not there: python -m tools.secrets init {vault.inventory}")
    vault.save(vault.text())
    others = [one for one in vault.source.recipients if one != vault.public_key]
    print(f"Wrote {vault.source.file} for you and for {len(others)} more: {', '.join(others) or 'nobody'}.")
    return 0


_COMMANDS = (
    ("init", _init, (), "make your identity, the file, and all secrets that nobody else has to know"),
    ("show", _show, (), "list names, what is missing, and who gets what; never a value"),
    ("edit", _edit, (), "open the decrypted file in $EDITOR, in memory alone"),
    ("set", _set, ("name",), "take a secret from standard input"),
    ("get", _get, ("name",), "print one secret"),
    ("key", _key, ("client",), "make a new API key for a client, beside those it has"),
    ("revoke", _revoke, ("client", "id"), "take a client's key away"),
    ("password", _password, ("client",), "make a new password for a person"),
    ("recipients", _recipients, (), "print your public key, and encrypt the file anew for all in secrets.recipients"),
)


if __name__ == "__main__":
    sys.exit(main())
