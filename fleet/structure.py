"""Plain data into frozen dataclasses, strictly: every key known, every type right, all problems at once."""

import dataclasses
import types
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fleet.problems import Problem


class Structure:
    """Turns the data of one node into typed values and collects what is wrong with it.

    Attributes:
        where: the node's name, for the problems.
        problems: what was found so far.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.problems: list[Problem] = []

    def refuse(self, what: str, cure: str) -> None:
        """Note a problem of this node."""
        self.problems.append(Problem(self.where, what, cure))

    def value(self, kind: Any, data: object, address: str) -> Any:  # noqa: ANN401 - the type is the argument
        """Read `data` as `kind`; on a misfit a problem is noted and the data is returned as it was.

        Args:
            kind: a type: str, int, bool, a dataclass, `tuple[T, ...]`, `Mapping[str, T]`, a Literal, or `T | None`.
            data: plain data from inventory/ or group_data/.
            address: the key's path, such as `services.ollama.port`.
        """
        origin = get_origin(kind)
        if origin in {Union, types.UnionType}:
            return self._optional(kind, data, address)
        if origin is Literal:
            return self._choice(get_args(kind), data, address)
        if origin is tuple:
            return self._list(get_args(kind)[0], data, address)
        if origin is Mapping:
            return self._mapping(get_args(kind)[1], data, address)
        if dataclasses.is_dataclass(kind):
            return self.record(kind, data, address)
        return self._plain(kind, data, address)

    def record(self, kind: Any, data: object, address: str) -> Any:  # noqa: ANN401 - as value
        """Read a mapping as the dataclass `kind`; a key `name` left out is the mapping's own key."""
        if not isinstance(data, Mapping):
            self._misfit("a mapping of settings", data, address)
            return None
        fields = {field.name: field for field in dataclasses.fields(kind)}
        self._unknown_keys({str(key) for key in set(data) - set(fields)}, list(fields), address)
        hints = get_type_hints(kind)
        values: dict[str, Any] = {}
        for name, field in fields.items():
            path = f"{address}.{name}" if address else name
            if name in data:
                values[name] = self.value(hints[name], data[name], path)
            elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                self.refuse(f"{path} is missing", f"Set it in inventory/ or group_data/ ({_kind_name(hints[name])})")
                values[name] = None
        return kind(**values)

    def _unknown_keys(self, unknown: set[str], known: list[str], address: str) -> None:
        for key in sorted(unknown):
            near = get_close_matches(key, known, n=1)
            path = f"{address}.{key}" if address else key
            self.refuse(
                f"{path}: unknown key",
                f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(sorted(known))}.",
            )

    def _optional(self, kind: Any, data: object, address: str) -> Any:  # noqa: ANN401 - as value
        choices = [choice for choice in get_args(kind) if choice is not types.NoneType]
        if data is None and types.NoneType in get_args(kind):
            return None
        if len(choices) == 1:
            return self.value(choices[0], data, address)
        if not isinstance(data, tuple(choices)) or isinstance(data, bool):
            self._misfit(" or ".join(_kind_name(choice) for choice in choices), data, address)
        return data

    def _choice(self, choices: tuple[object, ...], data: object, address: str) -> object:
        if data not in choices:
            self._misfit(f"one of {', '.join(map(str, choices))}", data, address)
        return data

    def _list(self, kind: object, data: object, address: str) -> tuple[Any, ...]:
        if not isinstance(data, list | tuple):
            self._misfit("a list", data, address)
            return ()
        return tuple(self.value(kind, item, f"{address}[{place}]") for place, item in enumerate(data))

    def _mapping(self, kind: object, data: object, address: str) -> Mapping[Any, Any]:
        if not isinstance(data, Mapping):
            self._misfit("a mapping", data, address)
            return {}
        return {
            self._plain(str, key, f"{address}: a key"): self.value(kind, _named(kind, key, item), f"{address}.{key}")
            for key, item in data.items()
        }

    def _plain(self, kind: type, data: object, address: str) -> object:
        # bool is an int to Python, and a port of True is a mistake.
        if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
            self._misfit(_kind_name(kind), data, address)
        # What reaches a unit or a configuration file is one line there: a line break would begin another directive.
        if isinstance(data, str) and not data.isprintable():
            self.refuse(f"{address} is {data!r}", "Take the line breaks and control characters out.")
        return data

    def _misfit(self, expected: str, data: object, address: str) -> None:
        self.refuse(f"{address} is {data!r}, not {expected}", f"Write {expected} there.")


def _named(kind: object, key: object, item: object) -> object:
    """Give a record that has a name its key as that, so that a catalogue writes each name once."""
    if dataclasses.is_dataclass(kind) and isinstance(item, Mapping):
        named = any(field.name == "name" for field in dataclasses.fields(kind))
        return {"name": key, **item} if named else item
    return item


def _kind_name(kind: object) -> str:
    names = {str: "text", int: "a whole number", float: "a number with a point", bool: "True or False"}
    return names.get(kind, "a mapping of settings" if dataclasses.is_dataclass(kind) else str(kind))  # type: ignore[call-overload,no-any-return]
