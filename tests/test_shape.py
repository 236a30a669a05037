"""The shape of the code: sizes, borders, and words that have no place here."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("fleet", "facts", "operations", "ipex_node", "tasks", "tools", "lab")

_STANDARD_OR_OWN = {
    # The judgement of fitness is one: it stands with the program on the box.
    # Grafana's SDK, like Jinja, turns values into text, and does nothing else; so does age.
    "fleet": {"fleet", "grafana_foundation_sdk", "ipex_node", "jinja2", "pyrage", "semver"},
    "ipex_node": {"ipex_node"},
    "operations": {"fleet", "facts", "operations", "pyinfra", "gevent", "paramiko"},
    "facts": {"fleet", "facts", "ipex_node", "pyinfra"},
    # Importing pyinfra puts gevent under the threads that boot the nodes. Its CA is made with what paramiko stands on.
    "lab": {"lab", "cryptography"},
}
# The border at which pyinfra's inventory, and the file of secrets that it names, become the model.
_BORDER = {ROOT / "fleet" / "load.py", ROOT / "fleet" / "secrets_file.py"}
# The lab's file of secrets is made by the very functions that make everybody's, which know no pyinfra.
_BORDER |= {ROOT / "lab" / "secrets.py"}
# Programs of their own, which run on the lab's nodes.
_ENGINES = ROOT / "lab" / "flake"


def _files() -> list[Path]:
    return sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py"))


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for item in ast.walk(ast.parse(path.read_text())):
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            yield item


def _lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """No file is longer than 300 lines and no function's body longer than 40."""
    assert len(path.read_text().splitlines()) <= 300
    assert {function.name: _lines(function) for function in _functions(path) if _lines(function) > 40} == {}


def test_most_functions_are_tiny() -> None:
    """The median body has at most 6 lines, nine of ten at most 20."""
    sizes = sorted(_lines(function) for path in _files() for function in _functions(path))

    assert sizes[len(sizes) // 2] <= 6
    assert sizes[len(sizes) * 9 // 10] <= 20


@pytest.mark.parametrize("folder", sorted(_STANDARD_OR_OWN))
def test_imports_stay_behind_their_borders(folder: str) -> None:
    """The model knows no pyinfra, the box knows only the standard library and itself."""
    import sys  # noqa: PLC0415 - for its list of standard modules

    allowed = sys.stdlib_module_names | _STANDARD_OR_OWN[folder]
    for path in (ROOT / folder).rglob("*.py"):
        if path in _BORDER or _ENGINES in path.parents:
            continue
        for item in ast.walk(ast.parse(path.read_text())):
            modules = (
                [alias.name for alias in item.names]
                if isinstance(item, ast.Import)
                else [item.module or ""]
                if isinstance(item, ast.ImportFrom)
                else []
            )
            assert {module.partition(".")[0] for module in modules} <= allowed, path


def test_no_address_of_a_package_registry_stands_in_the_repository() -> None:
    """Mirrors come from the machine's own configuration."""
    hosts = "|".join(("deb" + r"\.debian\.org", "py" + r"pi\.org", "python" + "hosted", "registry" + r"\.npmjs"))
    found = subprocess.run(["git", "grep", "-nIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)

    assert found.stdout == ""


def test_no_folder_is_called_by_what_it_is_not() -> None:
    """Code without a home has no home: no utils, common, helpers, base or manager."""
    names = {part for path in _files() for part in path.relative_to(ROOT).with_suffix("").parts}

    assert not names & {"utils", "util", "common", "helpers", "base", "manager", "misc"}
