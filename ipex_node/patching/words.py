"""The commands of patching and their words; each imports what it needs."""

# ruff: noqa: PLC0415 - lazily, see above

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add, Answer
    from ipex_node.world import World


def add(command: Add) -> None:
    """Add what patches and reboots the node."""
    one = command("reboot", _reboot, "leave rotation, reboot, prove the services, return to rotation")
    one.add_argument("--reason", default="reboot", metavar="TEXT", help="shown to whoever asks why")
    one.add_argument("--force", action="store_true", help="even if no other gateway can take the floating address")
    which = one.add_mutually_exclusive_group()
    which.add_argument("--show", action="store_true", help="only say whether one is under way, and how the last ended")
    which.add_argument("--return", dest="come_back", action="store_true", help="at boot: end what was begun before it")


def _reboot(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.patching import reboot

    if options.show:
        answer = reboot.show(world)
    elif options.come_back:
        answer = reboot.come_back(world)
    else:
        answer = reboot.reboot(world, options.reason, force=options.force)
    return (0 if answer["ok"] else 1), answer
