"""The optimizer's commands, and their words."""

# ruff: noqa: PLC0415 - lazily, as all commands

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add, Answer
    from ipex_node.world import World

TASKS = ("caches", "models", "tuning")


def add(command: Add) -> None:
    """Add them."""
    one = command("optimize", _optimize, "clean caches up, make models, or measure settings on a drained node")
    one.add_argument("task", choices=TASKS)
    one.add_argument("--unattended", action="store_true", help="as its timer does it: not on a node that is drained")
    one.add_argument("--declared", action="store_true", help="tuning: measure the declared setting alone")
    command("baseline", _baseline, "is this release slower than the one before it? 1 while it is")


def _optimize(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.optimizer.run import optimize

    how = {"unattended": options.unattended, "declared_only": options.declared}
    answer = optimize(world, options.task, **how)
    return (0 if answer["ok"] else 1), answer


def _baseline(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.optimizer.baseline import baseline

    answer = baseline(world)
    return (0 if answer["ok"] else 1), answer
