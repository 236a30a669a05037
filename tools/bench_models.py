"""How fast a model comes from another node, against rsync between the two: `python -m tools.bench_models` (root)."""

import argparse
import dataclasses
import json
import re
import statistics
import sys
from collections.abc import Callable

from lab import nodes

SIZE = 1 << 30
"""Bytes of the model's one file."""
ROUNDS = 5
GOAL = 0.8
_BLOBS = "/var/lib/private/ollama/models/blobs"
_TARGET = "/var/lib/ipex-bench"
_SERVER, _CONFIGURATION = "ipex-models", "/etc/ipex-models/nginx.conf"
# On the models' own port, which the firewall leaves open to mates: the two take turns there.
_DAEMON = (
    "systemd-run --quiet --collect --unit ipex-bench-rsync "
    "rsync --daemon --no-detach --port {port} --config /run/ipex-bench.conf"
)


@dataclasses.dataclass(frozen=True)
class Copying:
    """Bytes a second, round by round, in turn.

    Attributes:
        models: by `ipex-node models fetch`, verified and on the disk, so that a crash takes nothing of it.
        rsync: by rsync from its daemon, brought to the disk as well (`--fsync`).
        memory: by rsync as it is without being asked: what it has written is in the memory, and on the disk later.
    """

    models: tuple[float, ...]
    rsync: tuple[float, ...]
    memory: tuple[float, ...]

    @property
    def share(self) -> float:
        """What of rsync's speed is reached: the median of the rounds, each compared with itself."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.models, self.rsync, strict=True))

    @property
    def is_reached(self) -> bool:
        """Whether the goal is."""
        return self.share >= GOAL


def main() -> int:
    """Measure between two nodes of a lab that is up and deployed."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench_models", description=__doc__)
    parser.add_argument("source", nargs="?", default="gpu-01", help="who has it; default: %(default)s")
    parser.add_argument("target", nargs="?", default="gpu-02", help="who lacks it; default: %(default)s")
    arguments = parser.parse_args()
    copying = measure(arguments.source, arguments.target)
    write(copying)
    return int(not copying.is_reached)


def measure(source: str, target: str) -> Copying:
    """Copy a file from one GPU node to another in both ways, in turn, so that a slow minute slows both.

    Args:
        source: who has it.
        target: who lacks it.
    """
    address = nodes.find(source).address
    port = int(_do(source, f"awk '$1 == \"listen\" {{print $2+0}}' {_CONFIGURATION}"))
    for name in (source, target):
        _do(name, "command -v rsync > /dev/null || { apt-get -q update && apt-get -q install -y rsync; } > /dev/null")
    digest = _do(source, f"head -c {SIZE} /dev/urandom | tee {_BLOBS}/bench | sha256sum").split()[0]
    _do(source, f"mv {_BLOBS}/bench {_BLOBS}/sha256-{digest}")
    _do(source, f"printf 'use chroot = no\\nuid = root\\n[blobs]\\npath = {_BLOBS}\\n' > /run/ipex-bench.conf")
    order = json.dumps(_order(digest, f"http://{address}:{port}/ollama/blobs/sha256-{digest}"))
    _do(target, f"echo '{order}' > /run/ipex-bench.json; mkdir -p {_TARGET}")
    rsync = f"rsync --whole-file {{}} rsync://{address}:{port}/blobs/sha256-{digest} {_TARGET}/"
    fetch = "ipex-node models fetch < /run/ipex-bench.json > /dev/null"
    rounds: list[tuple[float, float, float]] = []
    try:
        for _ in range(ROUNDS):
            _do(source, f"systemctl stop ipex-bench-rsync 2> /dev/null; systemctl start {_SERVER}")
            models = _speed(target, address, port, fetch)
            _do(source, f"systemctl stop {_SERVER} && {_DAEMON.format(port=port)}")
            disk, memory = (_speed(target, address, port, rsync.format(word)) for word in ("--fsync", ""))
            rounds.append((models, disk, memory))
    finally:
        _do(target, _forget())
        _do(source, f"systemctl stop ipex-bench-rsync 2> /dev/null; systemctl start {_SERVER}")
        _do(source, f"rm -f {_BLOBS}/sha256-{digest} {_BLOBS}/bench")
    return Copying(*zip(*rounds, strict=True))


def _order(digest: str, url: str) -> dict[str, object]:
    file = {"service": "ollama", "path": f"blobs/sha256-{digest}", "digest": f"sha256:{digest}", "bytes": SIZE}
    return {"rate": "", "keep_free_bytes": 0, "files": [{**file, "sources": [url]}], "models": []}


def _forget() -> str:
    return f"rm -rf {_TARGET}/* /var/lib/ipex-models/ready /var/lib/ipex-models/incoming"


def _speed(node: str, address: str, port: int, command: str) -> float:
    """Run a command there and return its bytes a second, by the node's own clock."""
    listens = f"until (: < /dev/tcp/{address}/{port}) 2> /dev/null; do sleep 0.1; done"
    timed = f"a=$(date +%s.%N); {command} || exit 1; b=$(date +%s.%N); echo took $a $b"
    said = _do(node, f"bash -c '{_forget()}; sync; {listens}; {timed}'")
    begun, ended = map(float, re.findall(r"took (\S+) (\S+)", said)[0])
    return SIZE / (ended - begun)


def _do(node: str, command: str) -> str:
    result = nodes.run(nodes.find(node), command, 600)
    if result.returncode:
        raise RuntimeError(f"{node}: {command}\n{result.stdout}{result.stderr}")
    return result.stdout


def write(copying: Copying, line: Callable[[str], None] = print) -> None:
    """Print it."""
    line(f"\nA model of {SIZE / 1e9:.1f} GB from node to node, MB/s in {ROUNDS} alternating rounds")
    for name, speeds in (("models", copying.models), ("rsync --fsync", copying.rsync), ("rsync", copying.memory)):
        each = " ".join(f"{speed / 1e6:6.0f}" for speed in speeds)
        line(f"{name:<14}{each}   median {statistics.median(speeds) / 1e6:.0f}")
    verdict = "reached" if copying.is_reached else "MISSED"
    line(f"{copying.share:.0%} of rsync's speed; the goal is {GOAL:.0%}: {verdict}")


if __name__ == "__main__":
    sys.exit(main())
