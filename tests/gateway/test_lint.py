"""gixy-ng's verdict on the configuration that the example fleet's gateway would be given."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fleet import desired
from fleet.model import Fleet

pytestmark = pytest.mark.security

EXCUSED = {
    "ssrf": "A proxied address begins with an upstream's name: a fixed one, or one of a map's own values "
    "(test_hostile.py, cookies that name other places).",
    "missing_resolver": "Upstreams hold addresses and never names (templates/nginx/upstreams.conf.j2 says why).",
    "hsts_header": "Each location has it, for nginx inherits no add_header where there is another one "
    "(test_tls.py, every answer).",
    "http2_misdirected_request": "The default server returns 421 as a whole, and not in a location of its own.",
    "worker_rlimit_nofile_vs_connections": "The unit's LimitNOFILE=, for its sandbox keeps workers from setting it.",
    "status_page_exposed": "Its location answers 404 to every address but this machine's own (test_tls.py).",
    "try_files_is_evil_too": "Two small files; one of them is not there, by intent.",
}
"""Rule of the linter to the reason why what it finds is right. One that finds nothing any more has to go."""


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
    assert set(EXCUSED) - set(found) == set()


def test_the_linter_reads_all_of_it(rendered: Path) -> None:
    """A mistake planted in an included file is found: the silence above means something."""
    last = rendered / "etc/nginx/ipex/server.conf"
    last.write_text(last.read_text() + "server { server_name planted; location /files { alias /srv/files/; } }\n")

    assert "alias_traversal" in _found(rendered)
