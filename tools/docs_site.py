"""What MkDocs is told beside mkdocs.yml: generated pages, and links to files that are no pages."""

import re
import sys
from pathlib import Path
from posixpath import dirname, normpath
from typing import TypeAlias

ROOT = Path(__file__).parents[1]
# MkDocs loads this file by its path and searches its folder first, where secrets.py is not Python's own.
sys.path[:] = [str(ROOT), *(entry for entry in sys.path if Path(entry).resolve() != ROOT / "tools")]

from mkdocs.config.defaults import MkDocsConfig  # noqa: E402 - as above
from mkdocs.structure.files import File, Files  # noqa: E402 - as above
from mkdocs.structure.pages import Page  # noqa: E402 - as above

from tools import reference  # noqa: E402 - as above

_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|#)([^)#\s]+)(#[^)]*)?\)")
_Nav: TypeAlias = "str | list[_Nav] | dict[str, _Nav]"
_OF_THE_ROOT = {"project/contributing.md": "CONTRIBUTING.md"}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put all pages of a folder where the navigation names the folder."""
    config.nav = _filled(config.nav or [])
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages, and those of the root that have a place in the site."""
    pages = reference.pages() | {page: _moved((ROOT / name).read_text()) for page, name in _OF_THE_ROOT.items()}
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - MkDocs names it
    """Write links to what is no page of the site as words."""
    here = dirname(page.file.src_uri)

    def shown(link: re.Match[str]) -> str:
        target = normpath(f"{here}/{link[2]}")
        if files.get_file_from_path(target):
            return link[0]
        if not (ROOT / "docs" / target).exists():
            return link[0]  # leads nowhere: MkDocs says so
        return f"{link[1]} (`{_named(target)}`)"

    return _LINK.sub(shown, markdown)


def _filled(entry: _Nav) -> _Nav:
    # Of mkdocs.yml's nav: a page, a list of entries, or a title with what is below it.
    match entry:
        case dict():
            return {title: _filled(below) for title, below in entry.items()}
        case list():
            return [_filled(below) for below in entry]
        case str() if entry.endswith("/"):
            return [str(page.relative_to(ROOT / "docs")) for page in sorted((ROOT / "docs" / entry).glob("*.md"))]
    return entry


def _named(target: str) -> str:
    return normpath(f"docs/{target}")


def _moved(text: str) -> str:
    """Links from the root, as they are from docs/project/."""
    return _LINK.sub(
        lambda link: (
            f"[{link[1]}]({'../' + link[2][5:] if link[2].startswith('docs/') else '../../' + link[2]}{link[3] or ''})"
        ),
        text,
    )
