"""What nobody needs in Nix's store: seen before it goes, and collected by Nix itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipex_node.world import Run


def garbage(run: Run, going: Iterable[str]) -> dict[str, int]:
    """Return the store paths that nothing would need without some roots, each with what it takes on the disk.

    Args:
        run: Runs a command.
        going: Links that keep store paths now, and are about to be removed.

    Raises:
        FailedError: Nix does not say.
    """
    dead = set(_asked(run, "--gc", "--print-dead"))
    links = set(going)
    lost: set[str] = set()
    alive: set[str] = set()
    for line in _asked(run, "--gc", "--print-roots"):
        link, _, path = line.rpartition(" -> ")
        (lost if link in links else alive).add(path)
    if lost - alive:
        dead |= _closure(run, lost) - _closure(run, alive)
    return {path: size(path) for path in sorted(dead)}


def collect(run: Run, dead: Mapping[str, int]) -> int:
    """Let Nix remove what nothing needs, and return what of these paths has gone, in bytes.

    Nix keeps by itself what a build or a copy under way needs (nix-store(1), --gc), so that no lock is held
    for the minutes it may take.

    Raises:
        FailedError: Nix could not.
    """
    _asked(run, "--gc")
    return sum(taken for path, taken in dead.items() if not os.path.lexists(path))


def size(path: str | Path) -> int:
    """Return what a file or a directory of root's takes on the disk, in bytes; what shares it is not known."""
    total = _taken(path)
    # Strings: a Path for each of a closure's 100,000 files would take a second.
    for folder, folders, names in () if Path(path).is_symlink() else os.walk(path):
        total += sum(_taken(f"{folder}/{name}") for name in (*folders, *names))
    return total


def _taken(path: str | Path) -> int:
    try:
        return os.lstat(path).st_blocks * 512
    except FileNotFoundError:
        return 0


def _closure(run: Run, paths: Iterable[str]) -> set[str]:
    wanted = sorted(paths)
    return set(_asked(run, "--query", "--requisites", *wanted)) if wanted else set()


def _asked(run: Run, *words: str) -> list[str]:
    done = run(["nix-store", *words])
    if done.returncode != 0:
        question = f"nix-store {' '.join(words[:2])}"
        raise failed(question, done.complaint, "see on the node whether nix-daemon runs: systemctl status nix-daemon")
    return done.stdout.splitlines()
