"""The staged files before the programs' own checkers: nothing is installed that its reader refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node import files, store
from ipex_node.failure import FailedError, Failure
from ipex_node.plan import is_unit_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ipex_node.manifest import Manifest
    from ipex_node.world import World


def validate(world: World, manifest: Manifest, closures: Mapping[str, str]) -> None:
    """Run the generation's validators.

    Raises:
        FailedError: Some refuse the files; each says why.
    """
    if not manifest.validators:
        return
    view = _view(world)
    try:
        _show(world, manifest, closures, view)
        refusals = [_refusal(world, command, view) for command in manifest.validators]
    finally:
        files.remove_tree(view)
    failures = [refusal for refusal in refusals if refusal]
    if failures:
        raise FailedError(*failures)


def clear(world: World) -> None:
    """Remove what a validation that was killed has left."""
    files.remove_tree(_view(world))


def _view(world: World) -> Path:
    return world.paths.run / "validate"


def _show(world: World, manifest: Manifest, closures: Mapping[str, str], view: Path) -> None:
    """Lay out the files as the validators shall see them.

    A unit starts its program from a profile that is switched only later, and systemd-analyze verify refuses a
    unit whose program does not exist: in this view units name the store path the profile will lead to, and
    the staged copy of a program that comes with the generation.
    """
    files.remove_tree(view)
    staged = store.directory(world.paths, manifest.id) / "root"
    programs = {path: str(staged / path.lstrip("/")) for path, entry in manifest.files.items() if entry.mode & 0o100}
    for path, entry in manifest.files.items():
        content = (staged / path.lstrip("/")).read_bytes()
        if is_unit_file(path):
            for name, place in {**closures, **programs}.items():
                content = content.replace(name.encode(), place.encode())
        files.write(view / path.lstrip("/"), content, entry.mode)
    files.make_directory(view)


def _refusal(world: World, command: tuple[str, ...], view: Path) -> Failure | None:
    done = world.run([word.replace("{root}", str(view)) for word in command])
    # systemd-analyze verify only prints a misspelt directive, and exits with 0 (systemd 257, measured).
    talks = command[:2] == ("systemd-analyze", "verify") and bool((done.stdout + done.stderr).strip())
    if done.returncode == 0 and not talks:
        return None
    name = " ".join(word.replace("{root}", "") for word in command[:4])
    return Failure(name, done.complaint.replace(str(view), ""), "correct the data or the template, then deploy again")
