"""The command line: one command, one JSON object. `status` is asked by every run and must be fast."""

# ruff: noqa: PLC0415 - lazily, see above

from __future__ import annotations

import errno
import json
import sys
from typing import TYPE_CHECKING

from ipex_node.failure import FailedError
from ipex_node.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipex_node.commands import Answer, Command


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
    except OSError as error:
        why = {"what": str(error.filename or "this node"), "why": str(error.strerror or error), "cure": _cure(error)}
        status, answer = 1, {"ok": False, "failures": [why]}
    print(json.dumps(answer))
    return status


def _cure(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space (df -h /var/lib/ipex /nix), then deploy again"
    return "mend it on the node, then deploy again"


def _run(words: Sequence[str], world: World) -> Answer:
    if words in (["status"], ["status", "--json"]):
        # Before the parser, which would take a tenth of its time.
        from ipex_node.seal import sealed_status

        answer = sealed_status(world)
        return (0 if answer["ok"] else 1), answer
    from ipex_node.commands import parser

    options = parser().parse_args(words)
    command: Command = options.run
    return command(world, options)


if __name__ == "__main__":
    sys.exit(main())
