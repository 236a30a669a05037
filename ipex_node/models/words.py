"""The words of `ipex-node models`."""

# ruff: noqa: PLC0415 - a command imports what it needs, and nothing of the others

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add
    from ipex_node.world import World


def add(command: Add) -> None:
    """Add what shows a node's models, and what fetches them."""
    one = command("models", _models, "show the models on this node's disk, or fetch those of an order")
    one.add_argument("action", choices=("show", "fetch"), help="fetch reads the order from standard input")
    one.add_argument("--verify", action="store_true", help="show: read every blob, and say which are not what they say")


def _models(world: World, options: argparse.Namespace) -> tuple[int, dict[str, Any]]:
    from ipex_node import settings
    from ipex_node.models import run, stock

    if options.action == "fetch":
        answer = run.fetch(world.paths, sys.stdin.read())
    else:
        answer = stock.show(world.paths, settings.load(world.paths.settings), verify=options.verify)
    return (0 if answer["ok"] else 1), answer
