"""Nix: closures and the profiles that hold them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipex_node import files
from ipex_node.failure import failed

if TYPE_CHECKING:
    from pathlib import Path

    from ipex_node.world import Run

_FEATURES = ("--extra-experimental-features", "nix-command flakes")


@dataclass(frozen=True)
class Profile:
    """A profile as it is on the node.

    Attributes:
        link: What its symbolic link says; none where there is no profile.
        generations: Names of the numbered links beside it.
    """

    link: str | None
    generations: tuple[str, ...]


class Nix:
    """Realises closures and switches profiles."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def realise(self, reference: str, out_link: Path, configuration: Path) -> str:
        """Build or fetch a closure and return its store path.

        Args:
            reference: A flake reference with its attribute.
            out_link: Link to the result; Nix registers it as a root, so that no garbage collection takes it.
            configuration: A nix.conf that holds for this call; it need not exist.

        Raises:
            FailedError: Nix could not; its last words say why.
        """
        environment = ["env", f"NIX_USER_CONF_FILES={configuration}"]
        words = ["--out-link", str(out_link), reference]
        done = self._run([*environment, "nix", *_FEATURES, "build", *words], show=True)
        if done.returncode == 127:
            raise failed("nix", done.complaint, "install nix-bin and nix-setup-systemd")
        if done.returncode == 0 and not out_link.exists():
            # Nix believes a path valid that somebody has removed from the store.
            done = self._run([*environment, "nix", *_FEATURES, "build", "--repair", *words], show=True)
        if done.returncode != 0:
            raise failed(reference, f"nix could not realise it:\n{done.complaint}")
        return os.path.realpath(out_link)

    def root(self, store_path: str, out_link: Path) -> bool:
        """Link to a store path that is there, registered as a root; fetch and build nothing.

        Returns:
            Whether it is valid; nix-store(1), `--realise` and `--add-root`.
        """
        offline = ["--option", "substituters", "", "--option", "extra-substituters", "", "--option", "max-jobs", "0"]
        done = self._run(["nix-store", "--realise", store_path, "--add-root", str(out_link), *offline])
        return done.returncode == 0 and out_link.exists()

    def switch(self, profile: Path, store_path: str) -> None:
        """Make a store path the newest generation of a profile, and current.

        Raises:
            FailedError: Nix refused.
        """
        files.make_directory(profile.parent)
        done = self._run(["nix-env", "--profile", str(profile), "--set", store_path])
        if done.returncode != 0:
            raise failed(str(profile), f"nix-env could not switch it: {done.complaint}")


def store_path(profile: Path) -> str | None:
    """Return the store path a profile resolves to; none where it leads nowhere."""
    return os.path.realpath(profile) if profile.exists() else None


def profile_state(profile: Path) -> Profile:
    """Return a profile as it is, to be given to `restore_profile`."""
    link = str(profile.readlink()) if profile.is_symlink() else None
    return Profile(link, tuple(sorted(_numbered(profile))))


def restore_profile(profile: Path, before: Profile) -> None:
    """Put a profile back exactly as it was, without the generations made since.

    A profile is a link to a numbered link beside it, which links into the store (nix-env(1), "Profiles"): it
    is switched by replacing the first.
    """
    if before.link is None:
        profile.unlink(missing_ok=True)
    elif not profile.is_symlink() or str(profile.readlink()) != before.link:
        files.link(profile, before.link)
    for name in set(_numbered(profile)) - set(before.generations):
        profile.with_name(name).unlink()


def _numbered(profile: Path) -> list[str]:
    return [link.name for link in profile.parent.glob(f"{profile.name}-*-link")]
