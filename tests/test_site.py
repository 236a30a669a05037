"""The documentation: it builds without a warning, needs nobody else's server, and leaves out no message and no page."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools import errors, reference

ROOT = Path(__file__).parents[1]
# The pages that the brief names.
PAGES = (
    *("Deployment Guide", "Operations Manual", "Troubleshooting", "Performance Tuning", "Security Guide"),
    *("Quick Start", "Workflow Examples", "API Documentation", "FAQ"),
    *("Architecture Overview", "Extension Guide", "Performance Profiling", "Contributing", "API Reference"),
)
# Attributes by which a browser fetches something by itself; a link waits for a person.
_FETCHED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?(https?:)?//|rel=["']?stylesheet["']? href=["']?https?:"""
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING -" not in done.stderr
    return folder


def test_every_named_page_is_in_the_navigation(site: Path) -> None:
    """Under the name that the brief gives it."""
    start = (site / "index.html").read_text()

    assert [page for page in PAGES if page not in start] == []


def test_the_navigation_leads_to_every_page(site: Path) -> None:
    """Each page of docs/ is linked from the first one, where the navigation holds the whole site."""
    start = (site / "index.html").read_text()
    navigation = start[start.index("md-nav--primary") : start.index('class="md-content"')]
    linked = set(re.findall(r'href="([^"#]+\.html)"', navigation))
    pages = {str(page.relative_to(ROOT / "docs").with_suffix(".html")) for page in (ROOT / "docs").rglob("*.md")}

    assert sorted(pages - linked - {"index.html"}) == []


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    """No page makes a browser ask another server."""
    pages = list(site.rglob("*.html"))

    assert len(pages) > 100
    assert [str(page) for page in pages if _FETCHED.search(page.read_text())] == []


def test_every_message_is_listed_with_its_file() -> None:
    """Each place that makes one has a row, whatever its words are made of."""
    listed = reference.messages()
    for message in errors.collected():
        assert reference.cell(message.what) in listed, message


@pytest.mark.parametrize("page", sorted(reference.pages()))
def test_generated_pages_say_something(page: str) -> None:
    """Each has more than its head."""
    lines = reference.pages()[page].splitlines()

    assert lines[0].startswith("# ")
    assert len(lines) > 6


def test_prose_is_spelt_as_dictionaries_have_it() -> None:
    """By codespell, which knows common misspellings."""
    prose = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    command = [sys.executable, "-m", "codespell_lib", *map(str, prose)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout == ""
