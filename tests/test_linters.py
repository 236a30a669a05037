"""Linters are tests."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet", "."],
        ["ruff", "format", "--quiet", "--check", "."],
        [
            "mypy",
            "deploy.py",
            "config.py",
            "facts",
            "fleet",
            "ipex_node",
            "lab",
            "operations",
            "tasks",
            "tools",
            "tests",
        ],
    ],
    ids=" ".join,
)
def test_linter_is_content(command: list[str]) -> None:
    """What the linter prints is what there is to mend."""
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr
