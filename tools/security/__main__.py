"""Look for what makes the fleet unsafe: `make security`, or `python -m tools.security [CHECK...]`.

Exit status 0: nothing is left. 1: something was found that has no exception, or an exception has expired. 2: nothing
was found, but not everything could be looked at; --unchecked CHECK lets that pass where it is known and wanted.
"""

import argparse
import datetime as dt
import sys
from collections.abc import Callable
from pathlib import Path

from tools.security import code, dependencies, leaks, workflows
from tools.security.finding import EXCEPTIONS, Result, exceptions, remaining, wrong

ROOT = Path(__file__).parents[2]
CHECKS: dict[str, Callable[[Path], Result]] = {
    "code": code.check,
    "vulnerabilities": dependencies.vulnerabilities,
    "licences": dependencies.licences,
    "secrets": leaks.check,
    "workflows": workflows.check,
}
"""What is looked at here. nginx, units and ports are in the suite security: tests that need the lab."""


def main() -> int:
    """Run the checks named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tools.security", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; all without one")
    parser.add_argument("--unchecked", action="append", default=[], metavar="CHECK", help="may remain unchecked")
    options = parser.parse_args()
    if unknown := {*options.checks, *options.unchecked} - set(CHECKS):
        parser.error(f"no check is called {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    excuses = exceptions()
    status = 0
    for line in wrong(excuses, dt.datetime.now(tz=dt.UTC).date()):
        print(f"{EXCEPTIONS.name}: {line}")
        status = 1
    for name in options.checks or CHECKS:
        result = CHECKS[name](ROOT)
        left = remaining(result, excuses)
        _print(result, left)
        if left:
            status = 1
        elif result.unchecked and name not in options.unchecked:
            status = status or 2
    return status


def _print(result: Result, left: list[str]) -> None:
    excused = len(result.findings) - len([line for line in left if "not found any more" not in line])
    judged = f"{len(left)} to mend" if left else "nothing to mend"
    said = f"NOT CHECKED: {result.unchecked}" if result.unchecked else judged
    print(f"{result.check:16} {said}" + (f"; {result.looked_at}" if result.looked_at else ""))
    if excused:
        print(f"{'':16} {excused} found and excused in {EXCEPTIONS.relative_to(ROOT)}")
    for line in left:
        print(f"  {line}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
