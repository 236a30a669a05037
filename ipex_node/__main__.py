"""The command line. Each command imports what it needs, and nothing of the others: `status` must be fast."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node.failure import FailedError
from ipex_node.world import World

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None, world: World | None = None) -> int:
    """Run one command and print its answer, one JSON object, on standard output.

    Args:
        argv: The words behind the program's name; the process' own without it.
        world: What to act on; this machine without it.

    Returns:
        0 done, 1 not done, 2 the node could not be put back.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        status, answer = _run(words, world or World())
    except FailedError as error:
        status, answer = 1, {"ok": False, "failures": [one.as_json() for one in error.failures]}
    except PermissionError as error:
        why = {"what": str(error.filename), "why": "permission denied", "cure": "run it as root"}
        status, answer = 1, {"ok": False, "failures": [why]}
    print(json.dumps(answer))
    return status


def _run(words: Sequence[str], world: World) -> tuple[int, dict[str, Any]]:
    # ruff: noqa: PLC0415 - lazily, see above
    if words == ["status"]:
        # Before the parser, which would take a tenth of its time.
        from ipex_node.seal import sealed_status

        return _judged(sealed_status(world))
    options = _parser().parse_args(words)
    if options.command == "activate":
        from ipex_node.activation import activate

        return activate(world, options.id)
    if options.command == "stage":
        from ipex_node.staging import stage

        return _judged(stage(world, options.directory))
    if options.command == "probe":
        from ipex_node.probing import probe

        return _judged(probe(world))
    if options.command == "verify":
        from ipex_node.verification import verify

        return _judged(verify(world, options.record))
    from ipex_node.agent import serve

    return _judged(serve(world))


def _judged(answer: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    return (0 if answer["ok"] else 1), answer


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="ipex-node",
        description="Brings this node to a generation and answers for it. Prints one JSON object with `ok` and "
        "`failures`; exit status 0 done, 1 failed or rolled back, 2 could not roll back.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("stage", help="take in a bundle and realise its closures; no service is touched")
    one.add_argument("directory", type=Path, help="unpacked bundle: manifest.json and root/")
    one = commands.add_parser("activate", help="make a staged generation current, or leave the node as it was")
    one.add_argument("id", help="the generation; the current one mends what has drifted")
    commands.add_parser("status", help="what the node has, and where it differs from what it should have")
    commands.add_parser("agent", help="serve /metrics, /ready and /healthz until stopped")
    commands.add_parser("probe", help="let every service of the current generation do its smallest work")
    one = commands.add_parser("verify", help="use every route of the gateway as a user would")
    one.add_argument("--record", metavar="TEXT", help="text to keep in /var/lib/ipex/verified on full success")
    return parser


if __name__ == "__main__":
    sys.exit(main())
