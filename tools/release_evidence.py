"""What is known of a release: kept suites' ends, environments' words, signatures, and git's authors."""

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

from fleet import channels
from fleet.release import Evidence, Release, Rules, Soak, SuiteRun
from fleet.structure import Structure
from tools import release_approvals


def keep_suite(folder: Path, suite: str, run: SuiteRun) -> Path:
    """Remember how a suite has ended."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"suite-{suite}.json"
    path.write_text(json.dumps(dataclasses.asdict(run)) + "\n")
    return path


def gather(place: Path, kept: Path, rules: Rules, release: Release, channel: str) -> tuple[Evidence, tuple[str, ...]]:
    """All evidence there is, and what of it could not be used, in words.

    Args:
        place: the folder of the channels.
        kept: where suites' and environments' words are kept.
        rules: the channels' rules.
        release: the candidate.
        channel: the one that is to name it.
    """
    approvers, unusable = release_approvals.approvers(place, release, channel)
    broken = list(unusable)
    found = Evidence(
        named=frozenset(name for name in rules.channels if (one := channels.named(name, place)) and one == release),
        suites={name: one for name in _names(kept, "suite") if (one := _read(kept, "suite", name, SuiteRun, broken))},
        environments={
            name: one for name in _names(kept, "environment") if (one := _read(kept, "environment", name, Soak, broken))
        },
        approvers=approvers,
        authors=authors(release, channels.named(channel, place)),
    )
    return found, tuple(broken)


def authors(release: Release, before: Release | None) -> frozenset[str]:
    """Who has written a release: who made it, and everybody with a commit since the one its channel names now."""
    span = f"v{before.version}..v{release.version}" if before else f"v{release.version}"
    done = subprocess.run(
        ["git", "log", "--format=%ae%n%ce", span], capture_output=True, text=True, check=False, cwd=channels.ROOT
    )
    return frozenset({release.author, *(done.stdout.split() if done.returncode == 0 else ())})


def _names(kept: Path, kind: str) -> list[str]:
    return sorted(path.stem.removeprefix(f"{kind}-") for path in kept.glob(f"{kind}-*.json"))


def _read(kept: Path, kind: str, name: str, record: Any, broken: list[str]) -> Any:  # noqa: ANN401 - as Structure
    path = kept / f"{kind}-{name}.json"
    structure = Structure(path.name)
    try:
        found = structure.record(record, json.loads(path.read_text()), "")
    except ValueError as error:
        broken.append(f"{path}: {error}")
        return None
    broken += [f"{path}: {problem.what}" for problem in structure.problems]
    return None if structure.problems else found
