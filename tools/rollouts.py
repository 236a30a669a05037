"""What was rolled out, when, by whom, and how it ended: `python -m tools.rollouts [ENVIRONMENT] [--verify]`.

It reads the controller's own history; `--file` reads one copied from a monitor (/var/lib/ipex/rollouts.jsonl).
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ipex_node import record
from ipex_node.failure import FailedError
from operations.record import place


def main(arguments: list[str] | None = None) -> int:
    """List the rollouts of an environment, or check their chain; 0 whole, 1 broken."""
    parser = argparse.ArgumentParser(prog="python -m tools.rollouts", description=__doc__)
    parser.add_argument("environment", nargs="?", default="lab", help="default: %(default)s")
    parser.add_argument("--file", type=Path, help="a history elsewhere than in the controller's own place")
    parser.add_argument("--verify", action="store_true", help="check that no line was changed, removed or inserted")
    options = parser.parse_args(arguments)
    path = options.file or place(options.environment)
    if not path.exists():
        print(f"No rollout of {options.environment} is recorded in {path}.", file=sys.stderr)
        return 1
    for one in record.read(path):
        for line in _lines(one):
            print(line)
    return _verify(path) if options.verify else 0


def _verify(path: Path) -> int:
    try:
        answer = record.verify(path)
    except FailedError as error:
        for failure in error.failures:
            print(f"BROKEN {failure}", file=sys.stderr)
        return 1
    print(f"The chain is whole: {answer['records']} records, the last is {answer['digest']}")
    return 0


def _lines(one: Mapping[str, Any]) -> Iterator[str]:
    began = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(one.get("began", 0)))
    why = one.get("reason") or one.get("command")
    yield f"{began}  {one.get('result')}  {one.get('seconds')} s  {one.get('who')}  {why}"
    nodes = one.get("nodes", {})
    endings = Counter(node.get("ending") for node in nodes.values())
    yield "    " + ", ".join(f"{count} {ending}" for ending, count in endings.items())
    for name, node in nodes.items():
        for why in node.get("why", ()):
            yield f"    {name}: {why}"


if __name__ == "__main__":
    sys.exit(main())
