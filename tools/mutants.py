"""Change the code in small ways and see whether the tests notice: `make mutants`, or `python -m tools.mutants NAME...`.

cosmic-ray makes the mutants, in a copy of the committed tree under build/mutants. Of each file a fixed sample is
tried, the same for the same code. A mutant that no test notices is explained in docs/develop/mutants.md; one that is
not is an error.
"""

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from cosmic_ray.work_db import WorkDB
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "mutants"
PAGE = ROOT / "docs" / "develop" / "mutants.md"
# A `|` stands in this code for a union of types, or joins sets; what the first becomes is never evaluated.
_MEANINGLESS = "core/ReplaceBinaryOperator_BitOr_"
_SECONDS = 180.0
"""Longest that the tests may take on one mutant; one that hangs them is noticed, too."""


@dataclass(frozen=True)
class Subject:
    """One file whose mutants are tried.

    Attributes:
        path: the file.
        tests: what should notice.
        most: so many mutants are tried at most.
    """

    path: str
    tests: tuple[str, ...]
    most: int


# The first to notice comes first; the rest of a folder is asked only about what it does not.
_LOADER = ("tests/fleet/test_checks.py", "tests/fleet/test_load.py", "tests/fleet")
_TRANSACTION = tuple(
    f"tests/ipex_node/test_{name}.py" for name in ("transaction", "activation", "quarantine", "recovery")
)
SUBJECTS = {
    "waves": Subject("fleet/waves.py", ("tests/fleet/test_waves.py",), 100),
    "load": Subject("fleet/load.py", _LOADER, 60),
    "structure": Subject("fleet/structure.py", _LOADER, 60),
    "checks": Subject("fleet/checks.py", _LOADER, 60),
    "transaction": Subject("ipex_node/transaction.py", _TRANSACTION, 80),
    "steps": Subject("ipex_node/steps.py", _TRANSACTION, 40),
}


@dataclass(frozen=True)
class Tried:
    """What became of a subject's mutants.

    Attributes:
        path: its file.
        mutants: how many there are.
        tried: how many were tried.
        survived: those that no test noticed, as `path: the line => what it became`.
    """

    path: str
    mutants: int
    tried: int
    survived: tuple[str, ...]


def main() -> int:
    """Try the mutants of the subjects named, or of all; 1 where one survives that the page does not explain."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description=__doc__)
    parser.add_argument("subjects", nargs="*", metavar="NAME", help=f"of {', '.join(SUBJECTS)}; all without one")
    names = parser.parse_args().subjects or list(SUBJECTS)
    if unknown := set(names) - set(SUBJECTS):
        parser.error(f"no subject is called {', '.join(sorted(unknown))}; there are {', '.join(SUBJECTS)}")
    found = []
    for name in names:
        found.append(try_mutants(name, SUBJECTS[name]))
        _print(found[-1])
    commit = _output("git", "rev-parse", "HEAD").strip()
    written = {"commit": commit, "subjects": [asdict(one) for one in found]}
    (BUILD / f"{'-'.join(names)}.json").write_text(json.dumps(written, indent=2) + "\n")
    page = PAGE.read_text()
    unexplained = [line for one in found for line in one.survived if line not in page]
    for line in unexplained:
        print(f"NOT EXPLAINED in {PAGE.relative_to(ROOT)}: {line}", file=sys.stderr)
    return int(bool(unexplained))


def try_mutants(name: str, subject: Subject) -> Tried:
    """Mutate one file in a copy of the committed tree, and let its tests look at each."""
    copy = BUILD / name
    subprocess.run(["rm", "-rf", copy], check=True)
    copy.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", copy], input=archive, check=True)
    (copy / "mutants.toml").write_text(_settings(subject))
    for step in ("init", "baseline"):
        _output(_program(), step, "mutants.toml", *(["mutants.sqlite"] if step == "init" else []), folder=copy)
    with closing(WorkDB(str(copy / "mutants.sqlite"), WorkDB.Mode.open)) as session:
        items = tuple(session.work_items)
        left_out = leave_out(items, subject)
        for item in left_out:
            session.set_result(item.job_id, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))
    _output(_program(), "exec", "mutants.toml", "mutants.sqlite", folder=copy)
    with closing(WorkDB(str(copy / "mutants.sqlite"), WorkDB.Mode.open)) as session:
        results = dict(session.results)
    tried = {job: result for job, result in results.items() if result.worker_outcome != WorkerOutcome.SKIPPED}
    survived = [
        f"{subject.path}: {change(result.diff or '')}"
        for result in tried.values()
        if result.test_outcome == TestOutcome.SURVIVED
    ]
    return Tried(subject.path, len(items), len(tried), tuple(sorted(survived)))


def leave_out(items: Sequence[WorkItem], subject: Subject) -> list[WorkItem]:
    """Which mutants are not tried: those that mean nothing, and all others but a sample that the code decides."""
    meant = sorted((item for item in items if not _one(item).startswith(_MEANINGLESS)), key=_place)
    chosen = random.Random(subject.path).sample(meant, min(subject.most, len(meant)))  # noqa: S311 - a sample
    kept = {item.job_id for item in chosen}
    return [item for item in items if item.job_id not in kept]


def _one(item: WorkItem) -> str:
    return str(item.mutations[0].operator_name)


def _place(item: WorkItem) -> tuple[tuple[int, int], str, int]:
    spec = item.mutations[0]
    return spec.start_pos, spec.operator_name, spec.occurrence


def change(diff: str) -> str:
    """A diff of one place, in one line."""

    def lines(sign: str) -> Iterator[str]:
        for line in diff.splitlines():
            if line.startswith(sign) and not line.startswith(sign * 3):
                yield line[1:].strip()

    return f"{' '.join(lines('-'))} => {' '.join(lines('+'))}"


def _settings(subject: Subject) -> str:
    tests = f"{sys.executable} -m pytest -x -q -p no:cacheprovider {' '.join(subject.tests)}"
    return (
        f'[cosmic-ray]\nmodule-path = ["{subject.path}"]\ntimeout = {_SECONDS}\nexcluded-modules = []\n'
        f'test-command = "{tests}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )


def _program() -> str:
    return str(Path(sys.executable).with_name("cosmic-ray"))


def _output(*command: str, folder: Path = ROOT) -> str:
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{run.stdout}{run.stderr}")
    return run.stdout


def _print(found: Tried) -> None:
    killed = found.tried - len(found.survived)
    print(f"{found.path}: {found.mutants} mutants, {found.tried} tried, {killed} noticed, {len(found.survived)} not")
    for line in found.survived:
        print(f"  {line}")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
