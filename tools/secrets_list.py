"""What secrets an environment needs, what it has, and which nodes get which: names, never a value."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from fleet import desired
from fleet.model import Fleet
from fleet.secrets import Secrets, missing
from tools.secrets_vault import clients


def needed(fleet: Fleet) -> dict[str, list[str]]:
    """Every secret that stands in a file of some node, with those nodes: what is left where nothing is known."""
    blank = dataclasses.replace(fleet, secrets=Secrets())
    found: dict[str, list[str]] = {}
    for node in blank.nodes:
        names = {name for file in desired.generation(node, blank).files for name in missing(file.content)}
        for name in sorted(names):
            found.setdefault(name, []).append(node.name)
    return dict(sorted(found.items()))


def lines(fleet: Fleet, tables: Mapping[str, Any]) -> Iterator[str]:
    """The environment's secrets and clients, a line each.

    Args:
        fleet: with its secrets.
        tables: what the file holds, to tell it from the shell's variables.
    """
    wanted = needed(fleet)
    in_file = {f"{table}.{key}" for table, keys in tables.items() if isinstance(keys, Mapping) for key in keys}
    for name in sorted({*wanted, *fleet.secrets.names()}):
        where = "file" if name in in_file else "variable"
        state = where if fleet.secrets.has(name) else "MISSING"
        yield f"{name:<32} {state:<9} {', '.join(wanted.get(name, ())) or 'no node by itself'}"
    for client in sorted({*clients(fleet), *fleet.secrets.clients}):
        yield f"client {client:<25} {_proofs(fleet, client)}"


def _proofs(fleet: Fleet, client: str) -> str:
    proofs = fleet.secrets.credentials(client)
    words = [f"key {key.id} of {key.created or 'unknown'}" for key in proofs.keys]
    words += ["password"] if proofs.password else []
    if client not in clients(fleet):
        words.append("NOT DECLARED in access.clients")
    return ", ".join(words) or "nothing: cannot get in"
