"""The one question, asked of a shell with trees that stand for hardware."""

import random
import subprocess
from pathlib import Path

import pytest

from facts.node_state import NodeState
from fleet.observed import Observed
from ipex_node.fitness import inspection
from ipex_node.fitness.judge import judge
from ipex_node.fitness.machine import Card, Machine, RenderNode
from ipex_node.fitness.needs import UNDECLARED
from ipex_node.paths import Paths
from lab import hardware


def _ask(tmp_path: Path, kind: str, *packages: str) -> Observed:
    hardware.write(tmp_path, kind)
    command = NodeState().command(f"{tmp_path}/sysfs", f"{tmp_path}/proc", f"{tmp_path}/dri", packages)
    answer = subprocess.run(["sh", "-c", command.get_raw_value()], capture_output=True, text=True, check=True)
    return NodeState().process(answer.stdout.splitlines())


@pytest.mark.parametrize(
    ("kind", "cards"),
    [
        ("a770-i915", (Card("0000:03:00.0", "8086:56a0", "i915", "renderD128"),)),
        ("meteor-lake-igpu", (Card("0000:00:02.0", "8086:7d55", "i915", "renderD128"),)),
        ("no-driver", (Card("0000:03:00.0", "8086:56a0", "", ""),)),
        ("no-gpu", ()),
    ],
)
def test_gpus_are_found_by_class_and_vendor(tmp_path: Path, kind: str, cards: tuple[Card, ...]) -> None:
    """Intel's display devices are listed with their slot, id, driver and render node."""
    assert _ask(tmp_path, kind).machine.cards == cards


@pytest.mark.parametrize("kind", hardware.KINDS)
def test_the_question_and_the_doctor_see_the_same(tmp_path: Path, kind: str) -> None:
    """A shell on the way in, Python on the box: two looks at one machine, whatever its GPUs."""
    asked = _ask(tmp_path, kind).machine

    assert asked.cards == tuple(inspection._cards(tmp_path / "sysfs"))
    assert asked.memory_bytes == inspection.memory_bytes(tmp_path / "proc")
    assert asked.kernel == inspection._text(tmp_path / "proc/sys/kernel/osrelease")


def test_this_machine_looks_the_same_to_both(tmp_path: Path) -> None:
    """What no tree stands for: distribution, free space, control groups and firmware of the machine this runs on."""
    asked, paths = _ask(tmp_path, "no-gpu").machine, Paths()

    assert asked.distribution == inspection.distribution(paths)
    assert asked.cgroup == inspection._cgroup(paths)
    assert asked.firmware == inspection._firmware(Path("/lib/firmware"))
    for place, free in asked.free_bytes.items():
        assert abs(free - inspection._free(Path(place))) < 10**9
    assert set(asked.free_bytes) == {"/var/lib", "/nix"}


def test_render_nodes_are_seen_with_mode_and_owners(tmp_path: Path) -> None:
    """As ls shows them, and as the doctor sees them; what is no render node is none."""
    (tmp_path / "dri").mkdir()
    for name in ("renderD128", "renderD129", "card0"):
        (tmp_path / "dri" / name).touch(mode=0o640)
    (tmp_path / "dri/renderD128").chmod(0o660)

    nodes = _ask(tmp_path, "two-gpus").machine.render_nodes
    seen = inspection._render_nodes(Paths(), f"{tmp_path}/dri")

    assert set(nodes) == {"renderD128", "renderD129"}
    assert nodes["renderD128"].mode == 0o660
    assert tuple(nodes.values()) == tuple(seen)


def test_two_gpus_are_two(tmp_path: Path) -> None:
    """A node may hold several."""
    assert len(_ask(tmp_path, "two-gpus").machine.cards) == 2


def test_memory_is_in_bytes(tmp_path: Path) -> None:
    """MemTotal's kibibytes become bytes: about 32 GB here."""
    assert 30 * 10**9 < _ask(tmp_path, "a770-i915").machine.memory_bytes < 35 * 10**9


def test_firmware_is_named_as_the_kernel_asks_for_it() -> None:
    """Without the directory and the ending of a compression; an empty directory is none at all."""
    lines = ["firmware /lib/firmware/i915/dg2_guc_70.bin.zst /lib/firmware/xe/*guc*"]

    assert NodeState().process(lines).machine.firmware == frozenset({"i915/dg2_guc_70.bin"})
    assert NodeState().process([]).machine.firmware is None


def test_only_installed_packages_are_named(tmp_path: Path) -> None:
    """A package that dpkg does not know is not in the answer."""
    assert _ask(tmp_path, "no-gpu", "no-such-package-1").packages == frozenset()


def test_status_is_read_from_the_nodes_own_line() -> None:
    """The JSON line of ipex-node is the status; a fresh machine has none."""
    lines = ["distribution debian:13", "memory 1024", "package installed nginx", "package config-files prometheus"]
    answer = NodeState().process([*lines, '{"ok": true, "generation": "abc"}'])

    assert answer.status == {"ok": True, "generation": "abc"}
    assert answer.packages == frozenset({"nginx"})
    assert NodeState().process(lines).status == {}


def test_a_machine_that_answers_nothing_is_nothing_known() -> None:
    """An empty answer makes no crash: fitness then says what is missing."""
    assert NodeState().default() == Observed()


_LINES = (
    "distribution debian:13",
    "kernel 6.12.107-amd64",
    "memory 32651892",
    "gpu 0000:03:00.0 56a0 i915 renderD128",
    "render 660 root render /dev/dri/renderD128",
    "firmware /lib/firmware/i915/dg2_guc_70.bin.zst",
    "free 1234 4096 /var/lib",
    "cgroup unified",
    "clock synchronized",
    "flake github:you/flake?narHash=sha256-AAAA%3D",
    "package installed nginx",
    "busy with a change",
    'gateway {"rotation": {"ollama": {"gpu-01": "in"}}}',
    '{"ok": true, "generation": "abc"}',
)


def test_a_whole_answer_is_read() -> None:
    """Each kind of line has its place."""
    machine = NodeState().process(list(_LINES)).machine

    assert machine == Machine(
        distribution="debian:13",
        kernel="6.12.107-amd64",
        memory_bytes=32651892 * 1024,
        cards=(Card("0000:03:00.0", "8086:56a0", "i915", "renderD128"),),
        render_nodes={"renderD128": RenderNode("/dev/dri/renderD128", 0o660, "root", "render")},
        firmware=frozenset({"i915/dg2_guc_70.bin"}),
        free_bytes={"/var/lib": 1234 * 4096},
        cgroup="unified",
        clock="synchronized",
    )


def test_ten_thousand_broken_answers_are_read() -> None:
    """Lines cut, doubled and garbled on the way: no exception escapes, and a fact is what it says or nothing."""
    chance = random.Random(4)  # noqa: S311 - a seed, so that a failure comes again
    for _ in range(10_000):
        lines = [_broken(chance, line) for line in chance.choices(_LINES, k=chance.randint(0, 20))]
        answer = NodeState().process(lines)
        assert isinstance(answer.status, dict)
        assert isinstance(answer.rotation_seen, dict)
        assert answer.machine.memory_bytes >= 0
        assert all(node.mode >= 0 for node in answer.machine.render_nodes.values())
        judge(answer.machine, UNDECLARED)


def _broken(chance: random.Random, line: str) -> str:
    cut, end = sorted((chance.randint(0, len(line)), chance.randint(0, len(line))))
    noise = "".join(chance.choices(' \t{}[]":-0189x\x00\u0663é', k=chance.randint(0, 3)))
    return chance.choice([line, line[:cut] + noise + line[end:], line[:cut], noise + line])


@pytest.mark.parametrize("behind_sudo", [False, True], ids=["root", "sudo"])
def test_the_node_tells_by_which_connection_it_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind_sudo: bool
) -> None:
    """Sshd says it in a variable, which sudo takes away from the shell but not from its ancestors."""
    monkeypatch.setenv("SSH_CONNECTION", "2001:db8::1 50000 2001:db8::2 2222")
    command = NodeState().command(f"{tmp_path}/sysfs", f"{tmp_path}/proc", f"{tmp_path}/dri", ()).get_raw_value()
    # Two shells, as sudo has one of its own below it.
    words = ["sh", "-c", 'env -u SSH_CONNECTION sh -c "$1"; true', "sh"] if behind_sudo else ["sh", "-c"]

    answer = subprocess.run([*words, command], capture_output=True, text=True, check=True)

    assert NodeState().process(answer.stdout.splitlines()).asked_from == ("2001:db8::1", 2222)
