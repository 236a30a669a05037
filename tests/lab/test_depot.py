"""Build once: the depot's node builds, another node takes, and whatever is not whole and signed is refused."""

import json
import os
import runpy
import shlex
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from fleet import depot, load
from ipex_node.depot.settings import name_of
from lab import mirror, pin
from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

NODE, DEPOT = "gpu-02", "monitor-01"
# Everything but the fleet: a lab node reaches the outside through the machine's mirror alone.
_CUT = """table inet cut {
    chain out {
        type filter hook output priority 0;
        ip daddr 198.18.0.1 ct state new reject
    }
}"""
CACHE = "/var/lib/ipex-depot/cache"
LARGE = 24_000_000
_CONFIGURATION = "/etc/ipex/depot/nginx.conf"
_RECEIVED = "cat /sys/class/net/host0/statistics/rx_bytes"
_LIBRARY = "import json, sys; sys.path.insert(0, '/usr/local/bin/ipex-node'); from pathlib import Path\n"
_BUILD = (
    _LIBRARY
    + """
from ipex_node.depot.build import build
from ipex_node.failure import FailedError
from ipex_node.world import World
Path('/run/request.json').write_text(json.dumps(json.loads(sys.argv[1])))
try:
    answer = build(World(), Path('/run/request.json'))
except FailedError as error:
    answer = {'ok': False, 'failures': [one.as_json() for one in error.failures]}
Path('/run/request.json').unlink()
print(json.dumps(answer))
"""
)
_TAKE = (
    _LIBRARY
    + """
import dataclasses
from ipex_node.depot import settings
from ipex_node.depot.take import take
from ipex_node.failure import FailedError
from ipex_node.world import World
depot = dataclasses.replace(settings.load(Path(settings.PATH)), **json.loads(sys.argv[2]))
try:
    answer = {'ok': True, 'path': take(World(), depot, sys.argv[1], Path('/root/taken'), Path('/'))}
except FailedError as error:
    answer = {'ok': False, 'failures': [one.as_json() for one in error.failures]}
print(json.dumps(answer))
"""
)


def _called(lab: Lab, node: str, program: str, *words: str) -> dict[str, Any]:
    said = lab.output(node, f"python3 -I -c {shlex.quote(program)} {shlex.join(words)}")
    answer: dict[str, Any] = json.loads(said.splitlines()[-1])
    return answer


def _build(lab: Lab, reference: str, **changes: object) -> dict[str, Any]:
    fleet = load.from_file("inventory/lab.py")
    request = {
        "references": [reference],
        "cache_key": fleet.secrets.get(depot.CACHE_KEY).reveal(),
        "closure_key": fleet.secrets.get(depot.CLOSURE_KEY).reveal(),
        "nix_conf": lab.output(DEPOT, "cat /etc/nix/nix.conf"),
        "cache_gb": 1,
        "free_gb": 0,
        "nodes": [node.name for node in fleet.nodes],
        "needed": {node.name: _held(lab, node.name) if node.is_gpu else [] for node in fleet.nodes},
    }
    return _called(lab, DEPOT, _BUILD, json.dumps({**request, **changes}))


def _held(lab: Lab, node: str) -> list[str]:
    held = lab.status(node)["held"]
    assert isinstance(held, list)
    return held


def _take(lab: Lab, reference: str, node: str = NODE, **settings: object) -> dict[str, Any]:
    return _called(lab, node, _TAKE, reference, json.dumps({"free_gb": 0, **settings}))


def _paths(lab: Lab, node: str, path: str) -> dict[str, dict[str, Any]]:
    command = f"nix --extra-experimental-features nix-command path-info --json --recursive {path}"
    found: dict[str, dict[str, Any]] = json.loads(lab.output(node, command))
    return found


def _nar(lab: Lab, path: str) -> str:
    """Where the cache keeps the largest content that a new release has."""
    names = " ".join(f"{CACHE}/{one[11:43]}.narinfo" for one in _paths(lab, DEPOT, path))
    rows = lab.output(DEPOT, f"grep -H -E '^(URL|FileSize):' {names}").splitlines()
    urls = {row.split(":", 1)[0]: row.split(": ", 1)[1] for row in rows if ":URL:" in row}
    sizes = {row.split(":", 1)[0]: int(row.split(": ", 1)[1]) for row in rows if ":FileSize:" in row}
    return f"{CACHE}/{urls[max(sizes, key=lambda name: sizes[name])]}"


def _told(lab: Lab, release: str) -> dict[str, Any]:
    """What the depot says of a release."""
    told: dict[str, Any] = json.loads(lab.output(DEPOT, f"cat /var/lib/ipex-depot/closures/{name_of(release)}.json"))
    return told


def _published(ballast: int = 0) -> str:
    """A release that no node has, with so many bytes that nothing packs smaller."""
    found = pin.publish(mirror.WWW, version=f"depot-{time.time_ns()}", ballast=os.urandom(ballast))
    return f"{found.reference()}#ollama-ipex"


@pytest.fixture
def release(lab: Lab) -> Iterator[str]:
    """A release that no node has."""
    lab.output(NODE, "rm -f /root/taken")
    yield _published()
    lab.run(NODE, "rm -f /root/taken; nft delete table inet cut")


@pytest.fixture
def large(lab: Lab) -> Iterator[str]:
    """A release whose closure takes a while."""
    lab.output(NODE, "rm -f /root/taken")
    yield _published(LARGE)
    lab.run(NODE, "rm -f /root/taken")


def _refused(lab: Lab, release: str, path: str, *words: str) -> None:
    answer = _take(lab, release)

    assert not answer["ok"], answer
    assert any(word in str(answer["failures"]).lower() for word in words), answer
    assert all(one.get("cure") for one in answer["failures"]), answer
    assert lab.run(NODE, f"test -e {path} -o -L /root/taken").returncode != 0


def test_a_second_node_takes_it_and_builds_nothing_also_without_a_route(lab: Lab, release: str) -> None:
    """Nix says of each path whether it was built here: on the builder some were, on the node none, with no source."""
    built = _build(lab, release)
    assert built["ok"], built
    assert built["built"] == [release]
    # What the builder has, nobody needs the outside for.
    lab.output(NODE, f"nft -f - <<'END'\n{_CUT}\nEND")
    assert lab.run(NODE, "curl -s --max-time 2 http://198.18.0.1:3142/").returncode != 0

    taken = _take(lab, release)

    assert taken["ok"], taken
    assert [one for one in _paths(lab, DEPOT, taken["path"]).values() if one["ultimate"]]
    there = _paths(lab, NODE, taken["path"])
    assert [path for path, one in there.items() if one["ultimate"]] == []
    assert all(one["signatures"] for one in there.values())
    name = taken["path"][44:]
    assert lab.run(NODE, f"ls /nix/store/*-{name}.drv").returncode != 0
    assert _build(lab, release)["there"] == [release]


def test_what_is_damaged_is_refused_and_made_anew(lab: Lab, release: str) -> None:
    """A changed byte, a file cut short; the check and the next build mend both."""
    assert _build(lab, release)["ok"]
    path = _told(lab, release)
    nar = _nar(lab, path["path"])
    lab.output(DEPOT, f"cp {nar} /root/nar && printf X | dd of={nar} bs=1 seek=200 conv=notrunc")
    _refused(lab, release, path["path"], "hash", "corrupt", "decompress", "zstd")

    checked = json.loads(lab.output(DEPOT, "ipex-node depot-check").splitlines()[-1])
    assert [CACHE + "/" + one for one in checked["removed"]] == [nar]
    assert _build(lab, release)["built"] == [release]
    lab.output(DEPOT, f"truncate -s 300 {nar}")
    _refused(lab, release, path["path"], "hash", "truncated", "decompress", "zstd", "end of", "premature")

    assert _build(lab, release)["built"] == [release]
    assert _take(lab, release)["ok"]


def test_another_key_is_refused(lab: Lab, release: str) -> None:
    """One that signs paths, and one that says which path a release is."""
    from fleet import secrets_file  # noqa: PLC0415

    assert _build(lab, release, cache_key=secrets_file.new_cache_key())["ok"]
    told = _told(lab, release)
    name = f"/var/lib/ipex-depot/closures/{name_of(release)}.json"
    _refused(lab, release, told["path"], "signature", "trusted")
    # Signed anew with the right one, it is taken.
    assert _build(lab, release)["built"] == [release]

    lab.output(DEPOT, f"rm {name}")
    assert _build(lab, release, closure_key=secrets_file.new_signing_key())["ok"]
    _refused(lab, release, told["path"], "signature (ipex-closures)")

    lab.output(DEPOT, f"rm {name}")
    assert _build(lab, release)["ok"]
    assert _take(lab, release)["ok"]


def test_a_depot_that_is_down_changes_nothing(lab: Lab, release: str) -> None:
    """The node says so, and goes on once it is back."""
    assert _build(lab, release)["ok"]
    lab.output(DEPOT, "systemctl stop ipex-depot")
    try:
        answer = _take(lab, release)
    finally:
        lab.output(DEPOT, "systemctl start ipex-depot")

    assert "cannot be had from the depot" in str(answer["failures"])
    assert _take(lab, release)["ok"]


def test_no_room_is_said_before_anything_is_written(lab: Lab, release: str) -> None:
    """On the node, in the builder's store, and below depot.cache_gb; what nodes need stays."""
    before = lab.output(DEPOT, f"ls {CACHE}")
    assert "must stay free" in str(_build(lab, release, free_gb=10**6)["failures"])
    assert "does not fit below" in str(_build(lab, release, cache_gb=0)["failures"])
    for path in {one for name in lab.gpus for one in _held(lab, name)}:
        assert f"{path[11:43]}.narinfo" in before.split()
        assert lab.run(DEPOT, f"test -e {CACHE}/{path[11:43]}.narinfo").returncode == 0

    assert _build(lab, release)["ok"]
    assert "must stay free" in str(_take(lab, release, free_gb=10**6)["failures"])


@contextmanager
def _slow(lab: Lab, rate: str) -> Iterator[None]:
    """Let the depot serve no faster than that."""
    kept = "/run/depot-nginx.conf"
    lab.output(DEPOT, f"cp -p {_CONFIGURATION} {kept} && sed -i 's/sendfile on;/limit_rate {rate};/' {_CONFIGURATION}")
    lab.output(DEPOT, "systemctl restart ipex-depot")
    try:
        yield
    finally:
        lab.output(
            DEPOT, f"mv {kept} {_CONFIGURATION} && systemctl reset-failed ipex-depot; systemctl restart ipex-depot"
        )


def test_a_transfer_that_is_cut_goes_on_where_it_ended(lab: Lab, large: str) -> None:
    """The server is killed when most has come; systemd starts it again, and little comes twice."""
    assert _build(lab, large)["ok"]
    before = int(lab.output(NODE, _RECEIVED))
    with _slow(lab, "4m"), ThreadPoolExecutor(1) as pool:
        taking = pool.submit(_take, lab, large)
        reached = f"until [ $({_RECEIVED}) -gt {before + LARGE * 2 // 3} ]; do sleep 0.05; done"
        lab.output(NODE, f"timeout 60 sh -c '{reached}'")
        begun = lab.output(DEPOT, "systemctl show -P NRestarts ipex-depot")
        lab.output(DEPOT, "systemctl kill -s KILL ipex-depot")
        assert not taking.done()
        taken = taking.result()
        again = lab.output(DEPOT, "systemctl show -P NRestarts ipex-depot")

    assert taken["ok"], taken
    assert int(again) == int(begun) + 1
    assert LARGE < int(lab.output(NODE, _RECEIVED)) - before < LARGE * 1.4
    assert [one for one in _paths(lab, NODE, taken["path"]).values() if one["ultimate"]] == []


@contextmanager
def _small(lab: Lab, node: str, directory: str, megabytes: int = 12) -> Iterator[None]:
    """Let a directory's file system have hardly any room, and take away again what is written meanwhile."""
    small = "/run/small"
    layers = f"lowerdir={directory},upperdir={small}/upper,workdir={small}/work"
    lab.output(
        node,
        f"mkdir {small} && mount -t tmpfs -o size={megabytes}m tmpfs {small} && mkdir {small}/upper {small}/work"
        f" && mount -t overlay overlay -o {layers} {directory}",
    )
    try:
        yield
    finally:
        lab.output(node, f"umount {directory} && umount {small} && rmdir {small}")


@pytest.mark.proof
@pytest.mark.parametrize(
    ("place", "said"), [("/nix", "No space left on device"), ("/var/lib/ipex-depot", "must stay free")]
)
def test_a_full_disk_of_the_depots_node_names_nothing(lab: Lab, large: str, place: str, said: str) -> None:
    """The builder's store, or the cache, whose need is known before: what was there stays whole, and it is said."""
    names = "ls /var/lib/ipex-depot/closures"
    before = lab.output(DEPOT, names)
    with _small(lab, DEPOT, place):
        there = _build(lab, large)
        after = lab.output(DEPOT, names)
        checked = json.loads(lab.output(DEPOT, "ipex-node depot-check").splitlines()[-1])

    assert said in str(there["failures"]), there
    assert all(one.get("cure") for one in there["failures"]), there
    assert after == before
    assert checked["removed"] == []
    assert _build(lab, large)["ok"]


@pytest.mark.proof
def test_a_disk_that_fills_while_the_node_takes_changes_nothing(lab: Lab, large: str) -> None:
    """Too small, it is said before; filled by others meanwhile, Nix says so. With room it is taken."""
    assert _build(lab, large)["ok"]
    path = _told(lab, large)["path"]
    with _small(lab, NODE, "/nix"):
        early = _take(lab, large)
    with _small(lab, NODE, "/nix", 64), _slow(lab, "4m"), ThreadPoolExecutor(1) as pool:
        before = int(lab.output(NODE, _RECEIVED))
        taking = pool.submit(_take, lab, large)
        reached = f"until [ $({_RECEIVED}) -gt {before + LARGE // 3} ]; do sleep 0.05; done"
        lab.output(NODE, f"timeout 60 sh -c '{reached}'")
        lab.run(NODE, "dd if=/dev/zero of=/run/small/fill bs=1M")
        late = taking.result()
        valid = lab.run(NODE, f"nix-store --check-validity {path}")
        link = lab.run(NODE, "test -L /root/taken")

    assert "must stay free" in str(early["failures"]), early
    assert "No space left on device" in str(late["failures"]), late
    assert valid.returncode != 0
    assert link.returncode != 0
    assert _take(lab, large)["ok"]


def test_space_is_bounded_and_what_nodes_need_stays(lab: Lab) -> None:
    """Releases come, the oldest go; never what a node's current, previous or pinned generation needs."""
    releases: list[str] = []
    for _ in range(3):
        releases.append(_published(20_000_000))
        answer = _build(lab, releases[-1], cache_gb=0.05)
        assert answer["ok"], answer
        assert answer["cache_bytes"] <= 50_000_000

    there = [lab.run(DEPOT, f"test -e /var/lib/ipex-depot/closures/{name_of(one)}.json") for one in releases]
    assert [one.returncode for one in there] == [1, 0, 0]
    for path in sorted({one for name in lab.gpus for one in _held(lab, name)}):
        lab.output(DEPOT, f"test -e {CACHE}/{path[11:43]}.narinfo")


@pytest.mark.proof
def test_another_node_can_be_the_builder(lab: Lab) -> None:
    """A GPU node, because data name it: it builds and serves, its mates build nothing; and back."""
    declared = runpy.run_path("group_data/lab.py")["depot"]
    found = pin.publish(mirror.WWW, version=f"depot-{time.time_ns()}")
    flake = json.dumps({"url": f"{pin.SERVER}/{found.path}", "nar_hash": found.nar_hash})
    try:
        moved = lab.deploy(
            "-y", "--data", f"depot={json.dumps({**declared, 'node': NODE})}", "--data", f"flake={flake}"
        )

        assert moved.returncode == 0, moved.stdout
        lab.output(NODE, "systemctl is-active ipex-depot")
        assert lab.run(DEPOT, "systemctl is-active ipex-depot").returncode != 0
        profile = "$(readlink -f /nix/var/nix/profiles/ipex/ollama-ipex)"
        built = {name: [one["ultimate"] for one in _paths(lab, name, profile).values()] for name in lab.gpus}
        assert [name for name, paths in built.items() if any(paths)] == [NODE]
    finally:
        back = lab.deploy("-y")
    assert back.returncode == 0, back.stdout
    lab.output(DEPOT, "systemctl is-active ipex-depot")
