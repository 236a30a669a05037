"""Our own code: ruff's security rules (those of bandit), and rules that are switched off in a line without a reason."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.security.finding import Finding, Result

_BARE = re.compile(r"#\s*noqa:\s*(?P<rules>[A-Z0-9, ]*\bS\d{3}\b[A-Z0-9, ]*)(?P<reason>.*)$")


def check(root: Path) -> Result:
    """Ask ruff, and read what was switched off."""
    # What the whole project does without, with its reason, stands in pyproject.toml, and ruff reads it there.
    command = [sys.executable, "-m", "ruff", "check", "--select", "S", "--output-format", "json"]
    ignored = ["--ignore", "S404,S603,S607", "--exit-zero", "--no-cache", "."]
    said = subprocess.run([*command, *ignored], cwd=root, capture_output=True, text=True, check=True).stdout
    files = _files(root)
    findings = [
        Finding(
            "code", f"{Path(one['filename']).relative_to(root)} {one['code']}", f"line {line(one)}: {one['message']}"
        )
        for one in json.loads(said)
    ]
    findings += [finding for path in files for finding in bare(str(path), (root / path).read_text(encoding="utf-8"))]
    return Result("code", tuple(findings), looked_at=f"{len(files)} files")


def line(found: dict[str, dict[str, int]]) -> int:
    """The line of what ruff has found."""
    return found["location"]["row"]


def bare(path: str, text: str) -> Iterator[Finding]:
    """Yield lines in which a security rule is switched off and nobody says why."""
    for number, one in enumerate(text.splitlines(), 1):
        match = _BARE.search(one)
        if match and not re.search(r"[a-z]{2}", match["reason"]):
            rules = match["rules"].strip(" ,")
            yield Finding("code", f"{path} {rules}", f"line {number} switches {rules} off and does not say why")


def _files(root: Path) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=root, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.splitlines() if (root / name).is_file()]
