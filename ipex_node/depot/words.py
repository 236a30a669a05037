"""The depot's commands."""

# ruff: noqa: PLC0415 - lazily, as in commands.py

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add, Answer
    from ipex_node.world import World


def _build(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node.depot.build import build

    answer = build(world, options.request)
    return (0 if answer["ok"] else 1), answer


def _check(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.depot.build import check

    return 0, check(world)


def add(command: Add) -> None:
    """Add what the depot's node does for all."""
    one = command("build", _build, "on the depot's node: build, sign and keep what the depot does not have")
    one.add_argument("request", type=Path, help="a JSON file: what is wanted, the keys, what nodes need")
    command("depot-check", _check, "on the depot's node: read all of the cache, take out what is damaged")
