"""gixy-ng's verdict on the configuration that the example fleet's gateway would be given."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import desired
from fleet.model import Fleet
from tools.security.finding import exceptions

pytestmark = pytest.mark.security

EXCUSED = {one.finding for one in exceptions() if one.check == "nginx"}
"""Rules of the linter of which what they find is right, for reasons. One that finds nothing any more has to go."""


def _found(directory: Path) -> dict[str, list[str]]:
    """Rule to what it has found."""
    command = [sys.executable, "-m", "gixy", "--format", "json", str(directory / "etc/nginx/nginx.conf")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout.lstrip().startswith("["), run.stdout + run.stderr
    found: dict[str, list[str]] = {}
    for problem in json.loads(run.stdout):
        found.setdefault(problem["plugin"], []).append(f"{problem['reason']}\n{problem['config']}")
    return found


@pytest.fixture
def rendered(example: Fleet, tmp_path: Path) -> Path:
    """The gateway's files, as nginx would find them."""
    gateway = example.with_role("gateways")[0]
    for file in desired.generation(gateway, example).files:
        if "nginx" in file.path or "upstreams" in file.path:
            path = tmp_path / file.path[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)
    return tmp_path


def test_the_linter_finds_nothing_that_has_no_reason(rendered: Path) -> None:
    """And every reason is still needed."""
    found = _found(rendered)

    assert {rule: problems for rule, problems in found.items() if rule not in EXCUSED} == {}
    assert EXCUSED - set(found) == set()


def test_the_linter_reads_all_of_it(rendered: Path) -> None:
    """A mistake planted in an included file is found: the silence above means something."""
    last = rendered / "etc/nginx/ipex/server.conf"
    last.write_text(last.read_text() + "server { server_name planted; location /files { alias /srv/files/; } }\n")

    assert "alias_traversal" in _found(rendered)
