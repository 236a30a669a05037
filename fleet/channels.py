"""channels/: which release each channel names, what it asks of one, and which tool this working tree is."""

import hashlib
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fleet import release
from fleet.problems import Problem
from fleet.release import Release, Rules
from fleet.structure import Structure

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "channels"
_TOOL = (
    "deploy.py",
    "config.py",
    "requirements.lock",
    "facts",
    "fleet",
    "ipex_node",
    "operations",
    "tasks",
    "templates",
)
"""What makes generations of data; inventory/ and group_data/ are each operator's own."""


class ChannelError(Exception):
    """What stands in channels/ is not understood.

    Attributes:
        problems: all that is wrong with it.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__("; ".join(f"{one.where}: {one.what}" for one in problems))
        self.problems = problems


def rules(folder: Path | None = None) -> Rules:
    """What each channel asks of a release.

    Raises:
        ChannelError: rules.toml says nothing that can be understood.
    """
    found: Rules = _read((folder or FOLDER) / "rules.toml", Rules)
    if problems := [Problem("channels/rules.toml", *one) for one in release.nonsense(found)]:
        raise ChannelError(*problems)
    return found


def named(channel: str, folder: Path | None = None) -> Release | None:
    """The release that a channel names; None as long as it names none.

    Raises:
        ChannelError: there is no such channel, or its file is not understood.
    """
    path = (folder or FOLDER) / f"{channel}.toml"
    known = rules(folder).channels
    if channel not in known:
        raise ChannelError(Problem("channel", f"is {channel!r}", f"channels/rules.toml has {', '.join(known)}."))
    if not path.is_file() or not _parsed(path):
        return None
    found: Release = _read(path, Release)
    return found


def text(named_release: Release) -> str:
    """A channel's file."""
    one = named_release
    lines = (
        "# The release that this channel names; written by `python -m tools.release`, read by every environment that",
        "# follows it.",
        f'version = "{one.version}"',
        f'author = "{one.author}"',
        f'made = "{one.made}"',
        f'tool = "{one.tool}"',
        f'models = "{one.models}"',
        "",
        "[flake]",
        f'url = "{one.flake.url}"',
        f'nar_hash = "{one.flake.nar_hash}"',
    )
    return "\n".join(lines) + "\n"


@cache
def tool_digest(root: Path = ROOT) -> str:
    """The digest of what makes generations of data: the same on every controller with the same files."""
    found = hashlib.sha256()
    for path in sorted(_files(root), key=lambda path: path.relative_to(root).as_posix()):
        content = path.read_bytes()
        found.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()[:16]


def models_digest(root: Path = ROOT) -> str:
    """The digest of models.lock; empty where there is none."""
    lock = root / "models.lock"
    return hashlib.sha256(lock.read_bytes()).hexdigest()[:16] if lock.is_file() else ""


def _files(root: Path) -> Iterator[Path]:
    for name in _TOOL:
        place = root / name
        if place.is_file():
            yield place
        yield from (path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ChannelError(Problem(f"channels/{path.name}", f"cannot be read: {error}", "Mend it.")) from error


def _read(path: Path, kind: Any) -> Any:  # noqa: ANN401 - the type is the argument
    structure = Structure(f"channels/{path.name}")
    found = structure.record(kind, _parsed(path), "")
    if structure.problems:
        raise ChannelError(*structure.problems)
    return found
