"""The words of backups: backup, backup-verify, restore-test, restore."""

# ruff: noqa: PLC0415 - lazily, as all commands

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add, Answer
    from ipex_node.world import World


def add(command: Add) -> None:
    """Add the commands that make backups, prove them and give them back."""
    one = command("backup", _backup, "keep models as snapshots, and what cannot be downloaded again in the repository")
    one.add_argument("--dry", action="store_true", help="only say what would be kept")
    one.add_argument("--new", action="store_true", help="make the repository anew where the one there was is gone")
    one.add_argument("--json", action="store_true", help="as always: the answer is one JSON object")
    one = command("backup-verify", _verify, "read a part of what is kept again, and compare")
    one.add_argument("--all", action="store_true", help="all of it, whatever is due")
    command("restore-test", _test, "restore to a scratch directory, and let a throw-away engine generate from it")
    one = command("restore", _restore, "give a service its data back; all of them, or everything stays as it is")
    one.add_argument("service", help="whose data")
    one.add_argument("--from", dest="origin", default="", metavar="NODE", help="another node's data")
    one.add_argument("--at", default="", metavar="MOMENT", help="nothing younger, such as 2026-11-26T02-00-00Z")
    one.add_argument("--dry", action="store_true", help="only say what would happen")
    one.add_argument("--yes", action="store_true", help="overwrite what is there without asking")


def _judged(answer: dict[str, object]) -> Answer:
    return (0 if answer["ok"] else 1), answer


def _backup(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.backups.run import backup

    return _judged(backup(world, dry=options.dry, new=options.new))


def _verify(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.backups.verify import verify

    return _judged(verify(world, everything=options.all))


def _test(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.backups.trial import test

    return _judged(test(world))


def _restore(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.backups.restore import restore

    return restore(world, options.service, origin=options.origin, at=options.at, dry=options.dry, sure=options.yes)
