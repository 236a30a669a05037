"""Settings that tunings have found: as a change of group_data to paste, or in a file of the environment's own.

The file (inventory/ENV.tuned.json) is written by `tasks/tune.py` where `optimizer.tuning.apply` says so, and laid over
each node's services by `fleet.load`: node to service to variable to value.
"""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fleet.channels import ROOT
from fleet.optimizer import DEFAULTS

Tuned = dict[str, dict[str, dict[str, str]]]
"""Node to service to variable of the engine's environment to value."""


def place(environment: str) -> Path:
    """The file of an environment."""
    return ROOT / "inventory" / f"{environment}.tuned.json"


def read(path: Path) -> Tuned:
    """Read a file; one that is not there says nothing.

    Raises:
        ValueError: it says what no tuning could have found.
    """
    if not path.exists():
        return {}
    raw = json.loads(path.read_text())
    for node, services in _items(raw, "the file"):
        for service, variables in _items(services, node):
            for name, value in _items(variables, f"{node}.{service}"):
                if name not in DEFAULTS or not re.fullmatch(r"[A-Za-z0-9_.-]+", str(value)):
                    raise ValueError(f"{node}.{service}: {name}={value!r} is nothing that is tuned")
    return {node: {service: dict(values) for service, values in services.items()} for node, services in raw.items()}


def _items(raw: object, what: str) -> Iterable[tuple[str, Any]]:
    if not isinstance(raw, dict):
        raise ValueError(f"{what} holds {raw!r}, no mapping")  # noqa: TRY004 - of whoever reads a damaged file
    return raw.items()


def dump(tuned: Tuned) -> str:
    """The file's text, without nodes and services of which nothing is said."""
    kept = {node: {name: values for name, values in some.items() if values} for node, some in tuned.items()}
    return json.dumps({node: some for node, some in kept.items() if some}, indent=2, sort_keys=True) + "\n"


def merged(known: Tuned, found: Tuned) -> Tuned:
    """Lay what was found over what is known."""
    return {
        node: {
            service: {**known.get(node, {}).get(service, {}), **found.get(node, {}).get(service, {})}
            for service in {**known.get(node, {}), **found.get(node, {})}
        }
        for node in {**known, **found}
    }


def for_all(found: Tuned, asked: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Service to setting, of the services for which every node has found the same.

    Args:
        found: what is proposed.
        asked: every node with every service that was measured on it.
    """
    every: dict[str, list[dict[str, str]]] = {}
    for node, service in asked:
        every.setdefault(service, []).append(found.get(node, {}).get(service, {}))
    return {service: some[0] for service, some in every.items() if some[0] and all(one == some[0] for one in some)}


def diff(text: str, path: str, service: str, setting: Mapping[str, str]) -> str:
    """The change of a file of group_data that declares a setting, as `git apply` takes it.

    Args:
        text: the file.
        path: its name.
        service: whose environment changes.
        setting: its variables.

    Raises:
        ValueError: the file writes the service's environment in no way that can be changed like that.
    """
    environment = _entry(_entry(_services(text), service), "environment")
    lines = text.splitlines(keepends=True)
    # From the end on, so that what stands before keeps its place.
    fresh = dict(setting)
    known = {key.value: value for key, value in _pairs(environment) if key.value in setting}
    for name, value in sorted(known.items(), key=lambda one: -one[1].lineno):
        line = lines[value.lineno - 1].encode()
        at, behind = value.col_offset, value.end_col_offset or 0
        lines[value.lineno - 1] = (line[:at] + json.dumps(fresh.pop(str(name))).encode() + line[behind:]).decode()
    if fresh:
        number = (environment.end_lineno or 0) - 1
        indent = " " * (len(lines[number]) - len(lines[number].lstrip()) + 4)
        if environment.lineno == environment.end_lineno:
            raise ValueError(f"{path}: services.{service}.environment stands in one line")
        lines[number:number] = [f'{indent}"{name}": {json.dumps(value)},\n' for name, value in sorted(fresh.items())]
    names = (f"a/{path}", f"b/{path}")
    return "".join(difflib.unified_diff(text.splitlines(keepends=True), lines, *names))


def _services(text: str) -> ast.Dict:
    for item in ast.parse(text).body:
        if isinstance(item, ast.Assign) and isinstance(item.value, ast.Dict):
            names = [one.id for one in item.targets if isinstance(one, ast.Name)]
            if names == ["services"]:
                return item.value
    raise ValueError("services is not written out there")


def _entry(of: ast.Dict, name: str) -> ast.Dict:
    for key, value in _pairs(of):
        if key.value == name and isinstance(value, ast.Dict):
            return value
    raise ValueError(f"{name} is not written out there")


def _pairs(of: ast.Dict) -> list[tuple[ast.Constant, ast.expr]]:
    pairs = zip(of.keys, of.values, strict=True)
    return [(key, value) for key, value in pairs if isinstance(key, ast.Constant)]
