"""How long a backup takes of a node whose models have not changed: `python -m tools.bench_backup` (root)."""

import argparse
import dataclasses
import json
import re
import statistics
import sys
from collections.abc import Callable

from lab import nodes

BLOBS = 3
BLOB_BYTES = 1 << 30
"""Three gibibytes, so somewhat more than the 3 GB of the goal."""
ROUNDS = 5
GOAL_SECONDS = 2.0
_STORE = "/var/lib/private/ollama/models"
# The model that proves the service: data declare it, so that a registry has it and its blobs go to no repository.
_MANIFEST = f"{_STORE}/manifests/registry.ollama.ai/library/tinyllama/latest"
_ASIDE = "/run/ipex-bench-manifest"
_SNAPSHOTS = "/var/lib/ipex-backup/models/ollama"


@dataclasses.dataclass(frozen=True)
class Keeping:
    """Seconds of `ipex-node backup`, snapshots and repository, by the node's own clock.

    Attributes:
        bytes: what the snapshot holds.
        first: the backup that meets the models for the first time.
        unchanged: those behind it.
    """

    bytes: int
    first: float
    unchanged: tuple[float, ...]

    @property
    def median(self) -> float:
        """Of the backups of an unchanged store."""
        return statistics.median(self.unchanged)

    @property
    def is_reached(self) -> bool:
        """Whether each of them kept the goal."""
        return max(self.unchanged) < GOAL_SECONDS


def main() -> int:
    """Measure on one node of a lab that is up and deployed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_backup", description=__doc__)
    parser.add_argument("node", nargs="?", default="gpu-01", help="default: %(default)s")
    keeping = measure(parser.parse_args().node)
    write(keeping)
    return int(not keeping.is_reached)


def measure(node: str) -> Keeping:
    """Give a GPU node a model of three gibibytes, back the node up again and again, and take all of it away.

    Args:
        node: which; its data go to its own repository as in every backup.
    """
    _do(node, f"cp -p {_MANIFEST} {_ASIDE}")
    blobs: list[str] = []
    kept: list[str] = []
    try:
        blobs += [_blob(node) for _ in range(BLOBS)]
        layers = [{"mediaType": "bench", "digest": f"sha256:{blob}", "size": BLOB_BYTES} for blob in blobs]
        _do(node, f"cat > {_MANIFEST} <<'END'\n{json.dumps({'schemaVersion': 2, 'layers': layers})}\nEND\nsync")
        times = [_back_up(node, kept) for _ in range(ROUNDS + 1)]
    finally:
        _do(node, f"if [ -e {_ASIDE} ]; then cp -p {_ASIDE} {_MANIFEST}; rm {_ASIDE}; fi; rm -f {_STORE}/blobs/bench")
        for blob in blobs:
            _do(node, f"rm -f {_STORE}/blobs/sha256-{blob}")
        for name in kept:
            _do(node, f"rm -rf {_SNAPSHOTS}/{name}")
    return Keeping(BLOBS * BLOB_BYTES, times[0], tuple(times[1:]))


def _blob(node: str) -> str:
    """Make one blob, whose content nothing compresses, and return its digest."""
    place = f"{_STORE}/blobs"
    made = _do(node, f"head -c {BLOB_BYTES} /dev/urandom | tee {place}/bench | sha256sum")
    digest = made.split()[0]
    _do(node, f"chown --reference {_MANIFEST} {place}/bench && mv {place}/bench {place}/sha256-{digest}")
    return digest


def _back_up(node: str, kept: list[str]) -> float:
    said = _do(node, "a=$(date +%s.%N); ipex-node backup || exit 1; b=$(date +%s.%N); echo took $a $b")
    answer = json.loads(next(line for line in said.splitlines() if line.startswith("{")))
    snapshot = answer["snapshots"]["ollama"]
    if snapshot["bytes"] < BLOBS * BLOB_BYTES or "repository" not in answer:
        raise RuntimeError(f"{node} has not kept what was to be measured: {answer}")
    kept.append(snapshot["kept"])
    begun, ended = map(float, re.findall(r"took (\S+) (\S+)", said)[0])
    return ended - begun


def _do(node: str, command: str) -> str:
    result = nodes.run(nodes.find(node), command, 600)
    if result.returncode:
        raise RuntimeError(f"{node}: {command}\n{result.stdout}{result.stderr}")
    return result.stdout


def write(keeping: Keeping, line: Callable[[str], None] = print) -> None:
    """Print it."""
    line(f"\nA backup of {keeping.bytes / 1e9:.2f} GB of models and of the node's data, nothing of them changed")
    line(f"first {keeping.first:.2f} s; then {', '.join(f'{one:.2f}' for one in keeping.unchanged)} s")
    verdict = "reached" if keeping.is_reached else "MISSED"
    worst = max(keeping.unchanged)
    line(f"median {keeping.median:.2f} s, worst {worst:.2f} s; the goal is under {GOAL_SECONDS:.0f} s: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
