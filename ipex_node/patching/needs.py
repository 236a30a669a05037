"""What asks for a reboot: Debian's own mark, a newer kernel, and the health monitor.

Nothing here needs a privilege, and all of it is read anew each time: `ipex-node status` asks it of every run.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ipex_node import border
from ipex_node.health import verdict

if TYPE_CHECKING:
    from ipex_node.paths import Paths

_SHOWN = 6
"""Packages that are named; a reason is one line."""


def reboot_reasons(paths: Paths) -> list[str]:
    """Say why the node needs a reboot, one sentence each; nothing where it needs none."""
    held = verdict.read(paths.verdict).node
    found = [_marked(paths), _kernel(paths), f"health monitor: {held.reason}" if held else ""]
    return [reason for reason in found if reason]


def _marked(paths: Paths) -> str:
    """Read the mark that packages leave (Debian's and Ubuntu's /run/reboot-required and its .pkgs)."""
    if not paths.reboot_required.exists():
        return ""
    listed = paths.reboot_required.with_name(f"{paths.reboot_required.name}.pkgs")
    try:
        names = sorted({border.words(line.strip()) for line in listed.read_text().splitlines() if line.strip()})
    except (OSError, ValueError):
        names = []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"packages ask for it: {', '.join(names[:_SHOWN])}{more}" if names else "a package asks for it"


def _kernel(paths: Paths) -> str:
    """Compare the kernel that runs with the newest of its flavour that is installed."""
    try:
        running = (paths.kernel_release).read_text().strip()
    except OSError:
        return ""
    flavour = _flavour(running)
    installed = [path.name.removeprefix("vmlinuz-") for path in paths.boot.glob("vmlinuz-*")]
    newest = max((one for one in installed if _flavour(one) == flavour), key=version, default=running)
    return f"kernel {running} runs, {newest} is installed" if version(newest) > version(running) else ""


def version(release: str) -> tuple[int, ...]:
    """Return a kernel release's numbers in their order: those of `6.12.43+deb13-amd64` without its architecture."""
    return tuple(int(number) for number in re.findall(r"\d+", release.rpartition("-")[0] or release))


def _flavour(release: str) -> str:
    return release.rpartition("-")[2] if "-" in release else ""
