"""The words of `ipex-node` for updates."""

# ruff: noqa: PLC0415 - each command imports what it needs, when it runs

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from ipex_node.commands import Add, Answer
    from ipex_node.world import World


_PROGRAM = "root/usr/local/bin/ipex-node"


def add(command: Add) -> None:
    """Add them."""
    update = command(
        "update", _update, "take what is published for this node, if its window is open and it is its turn"
    )
    update.add_argument(
        "--now", action="store_true", help="as if a window were open; it waits for its turn all the same"
    )
    command("publish", _publish, "on the depot's node: take in what a controller publishes, from standard input")
    command("turns", _turns, "on the first monitor: give turns to nodes that update themselves, until stopped")


def _update(world: World, options: argparse.Namespace) -> Answer:
    from ipex_node import store

    # What it takes replaces the program on the path, out of which Python still reads what it imports late.
    current = store.linked(world.paths.current)
    own = store.directory(world.paths, current) / _PROGRAM if current else None
    if own and own.is_file() and Path(sys.argv[0]).resolve() != own.resolve():
        os.execv(own, [str(own), *sys.argv[1:]])  # noqa: S606 - this very program, of the current generation
    from ipex_node.update.run import update

    return _judged(update(world, now=options.now))


def _publish(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.update.shelf import take_in

    return _judged(take_in(world, sys.stdin.buffer.read()))


def _turns(world: World, _options: argparse.Namespace) -> Answer:
    from ipex_node.update.semaphore import serve

    return _judged(serve(world))


def _judged(answer: dict[str, Any]) -> Answer:
    return (0 if answer["ok"] else 1), answer
