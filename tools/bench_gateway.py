"""Measure what the gateway's configuration costs: `python -m tools.bench_gateway` (root; the lab is up and deployed).

On the lab's gateway, in namespaces of its own, wrk asks the same mix of requests of an engine that answers at once, of
nginx with a bare `proxy_pass`, and of nginx with the configuration that this fleet renders: TLS with the same
certificate and ciphers in both, every request with a client's key. Round by round in turn, so that a slow minute of the
machine slows all.
"""

import dataclasses
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet import desired, load, secrets_file
from fleet.access import Access, Client
from fleet.desired import gateway_kernel
from fleet.limits import Limits, Rate
from fleet.model import Fleet, Node
from fleet.secrets import Credentials, Secrets
from lab import authority, keys, nodes, roster

CLIENTS = 10
USERS = (100, 500)
THINK_MS = 2000
ROUNDS = 3
SECONDS = 8
CONNECTIONS = 64
GOAL_ADDED_MS = 3.0
GOAL_SHARE = 0.95
_HERE = Path(__file__).parent
_SCRIPTS = ("bench_gateway.lua", "bench_gateway_node.py")
_TREES = ("/etc/nginx/", "/var/lib/ipex-gateway/", gateway_kernel.SETTINGS)
_FOLDER = "/root/ipex-bench"
_ASKED_BY_USERS = ("engine", "bare", "gateway")
_OPEN = Rate(requests_per_second=1_000_000, burst=1_000_000, concurrent=60_000)
"""Limits that nobody reaches."""


@dataclass(frozen=True)
class Users:
    """What users found who wait between their requests.

    Attributes:
        users: how many at once.
        requests: of all rounds, through the gateway.
        errors: answers that were missing, broken off or refused, in all rounds, whoever was asked.
        engine_ms: 95th percentile straight to the engine; median of the rounds.
        bare_ms: the same through a bare nginx.
        gateway_ms: the same through the gateway.
        added_ms: what the gateway adds to the engine's, round by round; median.
    """

    users: int
    requests: int
    errors: int
    engine_ms: float
    bare_ms: float
    gateway_ms: float
    added_ms: float


@dataclass(frozen=True)
class Throughput:
    """What one server does when it is asked as fast as it answers.

    Attributes:
        kind: which.
        per_second: requests; median of the rounds.
        share: of the bare nginx of the same round; median.
        cpu_us: processor time of a request in this nginx, in microseconds; median.
        errors: of all rounds.
    """

    kind: str
    per_second: float
    share: float
    cpu_us: float
    errors: int


def main() -> int:
    """Measure, print, and return 0 when every goal is met, else 1."""
    users, throughput = measure()
    write(users, throughput)
    return 0 if met(users, throughput) else 1


def measure(gateway: str = "gateway-01") -> tuple[list[Users], list[Throughput]]:
    """Run all of it on a gateway of the lab that is up."""
    node = nodes.find(gateway)
    _install(node)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), gateway)
        packed = subprocess.run(["tar", "-C", folder, "-cf", "-", "."], capture_output=True, check=True).stdout
    remote = f"rm -rf {_FOLDER} && mkdir -p {_FOLDER} && tar -C {_FOLDER} -xf -"
    subprocess.run([*keys.ssh_command(node.address), remote], input=packed, check=True)
    done = nodes.run(node, f"unshare --mount --net python3 {_FOLDER}/bench_gateway_node.py", 1200)
    nodes.run(node, f"rm -rf {_FOLDER} /run/ipex-bench")
    if done.returncode:
        sys.exit(f"The gateway's bench failed on {gateway}:\n{done.stderr}")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return list(_users(rows)), list(_throughput(rows))


def _install(node: roster.Node) -> None:
    done = nodes.run(node, "command -v wrk || DEBIAN_FRONTEND=noninteractive apt-get install -y -q wrk", 300)
    if done.returncode:
        sys.exit(f"{node.name} cannot install wrk:\n{done.stdout}{done.stderr}")


def _fill(folder: Path, gateway: str) -> None:
    """Write what is measured: the configuration with both kinds of limits, keys, scripts."""
    fleet, plain = _fleet(load.from_file("inventory/lab.py"), gateway)
    settings = fleet[gateway].gateway
    assert settings  # noqa: S101 - it is a gateway
    _render(fleet, gateway, folder / "declared")
    _render(_with_limits(fleet, gateway, _opened(settings.limits)), gateway, folder / "open")
    (folder / "keys").write_text("".join(f"{key}\n" for key in plain))
    for name in _SCRIPTS:
        shutil.copy(_HERE / name, folder)
    told = {
        "name": settings.server_name,
        "port": settings.tls.port,
        "nodes": [node.address for node in fleet.with_role("gpu_nodes")],
        "ports": {service.name: service.port for service in fleet.services()},
        "limits": {"declared": "declared", "open": "open"},
        "kernel": f"declared{gateway_kernel.SETTINGS}",
        "users": USERS,
        "asked_by_users": _ASKED_BY_USERS,
        "think_ms": THINK_MS,
        "rounds": ROUNDS,
        "seconds": SECONDS,
        "connections": CONNECTIONS,
    }
    (folder / "settings.json").write_text(json.dumps(told))


def _fleet(fleet: Fleet, gateway: str) -> tuple[Fleet, list[str]]:
    """The fleet with the bench's own clients, and their plain keys."""
    names = [f"bench-{number}" for number in range(CLIENTS)]
    made = {name: secrets_file.new_key() for name in names}
    values = {
        "tls.certificate": authority.CERTIFICATE.read_text(),
        "tls.key": authority.KEY.read_text(),
        "probe.key": secrets_file.new_key()[0],
    }
    known = Secrets(values, {name: Credentials(keys=(kept,)) for name, (_, kept) in made.items()})
    access = Access({name: Client(name, ("use",)) for name in names})
    node = dataclasses.replace(fleet[gateway], access=access)
    return dataclasses.replace(_replaced(fleet, node), secrets=known), [plain for plain, _ in made.values()]


def _with_limits(fleet: Fleet, gateway: str, limits: Limits) -> Fleet:
    node = fleet[gateway]
    assert node.gateway  # noqa: S101 - it is a gateway
    return _replaced(fleet, dataclasses.replace(node, gateway=dataclasses.replace(node.gateway, limits=limits)))


def _replaced(fleet: Fleet, node: Node) -> Fleet:
    return dataclasses.replace(fleet, nodes=tuple(node if one.name == node.name else one for one in fleet.nodes))


def _opened(limits: Limits) -> Limits:
    return dataclasses.replace(limits, classes=dict.fromkeys(limits.classes, _OPEN), address=_OPEN)


def _render(fleet: Fleet, gateway: str, folder: Path) -> None:
    for file in desired.generation(fleet[gateway], fleet).files:
        if file.path.startswith(_TREES):
            path = folder / file.path[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.content)


def _users(rows: Sequence[dict[str, Any]]) -> Iterator[Users]:
    for users in USERS:
        found = {kind: _of(rows, kind, users, THINK_MS) for kind in _ASKED_BY_USERS}
        p95 = {kind: [row["p95_ms"] for row in own] for kind, own in found.items()}
        added = [through - straight for through, straight in zip(p95["gateway"], p95["engine"], strict=True)]
        yield Users(
            users=users,
            requests=sum(row["requests"] for row in found["gateway"]),
            errors=sum(row["errors"] for own in found.values() for row in own),
            engine_ms=statistics.median(p95["engine"]),
            bare_ms=statistics.median(p95["bare"]),
            gateway_ms=statistics.median(p95["gateway"]),
            added_ms=statistics.median(added),
        )


def _throughput(rows: Sequence[dict[str, Any]]) -> Iterator[Throughput]:
    bare = [_speed(row) for row in _of(rows, "bare", CONNECTIONS, 0)]
    for kind in ("engine", "bare", "bare, connections kept", "gateway"):
        own = _of(rows, kind, CONNECTIONS, 0)
        speeds = [_speed(row) for row in own]
        yield Throughput(
            kind=kind,
            per_second=statistics.median(speeds),
            share=statistics.median(speed / other for speed, other in zip(speeds, bare, strict=True)),
            cpu_us=statistics.median(row["cpu_us"] for row in own),
            errors=sum(row["errors"] for row in own),
        )


def _of(rows: Sequence[dict[str, Any]], kind: str, connections: int, think_ms: int) -> list[dict[str, Any]]:
    wanted = {"kind": kind, "connections": connections, "think_ms": think_ms}
    return [row for row in rows if wanted.items() <= row.items()]


def _speed(row: dict[str, Any]) -> float:
    return float(row["requests"] / row["seconds"])


def met(users: Sequence[Users], throughput: Sequence[Throughput]) -> bool:
    """Whether no request was lost, and both goals are met."""
    errors = sum(row.errors for row in users) + sum(row.errors for row in throughput)
    share = next(row.share for row in throughput if row.kind == "gateway")
    return not errors and share >= GOAL_SHARE and all(row.added_ms <= GOAL_ADDED_MS for row in users)


def write(users: Sequence[Users], throughput: Sequence[Throughput], out: Callable[[str], None] = print) -> None:
    """Print two tables and the verdict."""
    out(f"\nUsers of {CLIENTS} clients, each asking every {THINK_MS / 1000:g} s (95th percentiles in ms, medians)")
    out(f"{'users':>5} {'requests':>8} {'errors':>6} {'engine':>8} {'bare':>8} {'gateway':>8} {'added':>7}")
    for row in users:
        out(
            f"{row.users:>5} {row.requests:>8} {row.errors:>6} {row.engine_ms:>8.2f} {row.bare_ms:>8.2f} "
            f"{row.gateway_ms:>8.2f} {row.added_ms:>7.2f}"
        )
    out(f"\nAs fast as answers come, over {CONNECTIONS} connections (medians)")
    out(f"{'':<24}{'per second':>10} {'of bare':>8} {'CPU us':>7} {'errors':>6}")
    for one in throughput:
        out(f"{one.kind:<24}{one.per_second:>10.0f} {one.share:>8.2f} {one.cpu_us:>7.1f} {one.errors:>6}")
    goals = f"no error, at most {GOAL_ADDED_MS:g} ms added, at least {GOAL_SHARE:g} of a bare proxy_pass"
    out(f"goals ({goals}): {'met' if met(users, throughput) else 'MISSED'}")


if __name__ == "__main__":
    sys.exit(main())
