"""What a community needs is there, its links lead somewhere, and its forms can be read."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PAGES = [
    *(f"{name}.md" for name in ("CONTRIBUTING", "GOVERNANCE", "CODE_OF_CONDUCT", "SECURITY", "SUPPORT", "README")),
    *("docs/project/roadmap.md", "docs/project/maintenance.md"),
    *("docs/develop/testing.md", "docs/develop/security.md", "docs/develop/mutants.md"),
]
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_what_is_there(page: str) -> None:
    """Each relative one, from where the page lies."""
    path = ROOT / page

    assert [link for link in _LINK.findall(path.read_text()) if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("form", ["problem", "wish"])
def test_forms_can_be_read(form: str) -> None:
    """As the forge reads them: a name, and questions with their own ids."""
    read = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{form}.yml").read_text())

    ids = [question["id"] for question in read["body"]]
    assert read["name"]
    assert len(set(ids)) == len(ids) > 0


def test_commands_of_the_pages_have_their_targets() -> None:
    """Every `make X` they tell of is one."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)", (ROOT / page).read_text())) <= targets, page
