"""Templates into the bytes that land on a node."""

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined

TEMPLATES = Path(__file__).parents[2] / "templates"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # Compiling the templates is a third of what a run that changes nothing costs the controller.
        bytecode_cache=FileSystemBytecodeCache(),
        autoescape=False,  # noqa: S701 - what is rendered is configuration, never HTML
    )
    environment.filters["systemd_quote"] = _systemd_quote
    environment.filters["regex_escape"] = re.escape
    environment.filters["nginx_quote"] = _nginx_quote
    return environment


def _systemd_quote(text: str) -> str:
    """Quote one word for a unit file; %S and its like stay specifiers (systemd.syntax(7), "Quoting")."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _nginx_quote(expression: str) -> str:
    """Write a regular expression between nginx' double quotes, where a backslash before one keeps it."""
    return expression.replace('"', r"\"")


def render(template: str, **values: object) -> bytes:
    """Render one template of templates/.

    Raises:
        jinja2.UndefinedError: when the template names a value it was not given.
    """
    return _environment().get_template(template).render(values).encode()
