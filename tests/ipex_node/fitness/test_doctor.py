"""The doctor on a machine in a directory, whose hardware is one of the lab's trees."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fleet.desired import program
from ipex_node.__main__ import main
from ipex_node.fitness import inspection
from ipex_node.fitness.inspection import access_of
from ipex_node.fitness.machine import Access
from ipex_node.fitness.needs import Needs, ServiceNeeds
from ipex_node.paths import Paths
from ipex_node.world import Completed, World
from lab import hardware
from tests.ipex_node import fake_node

_NEEDS = Needs(
    services=(
        ServiceNeeds("ollama", fake_node.OLLAMA, ("arc", "xe-lp"), ("xe-lp",), memory_max_bytes=2**30, disk_gb=0.001),
    ),
    distributions=("debian:13",),
    memory_gb=16,
    render_nodes="/dev/dri",
)
_UNIT = "LoadState=loaded\nDynamicUser=yes\nSupplementaryGroups={}\nDevicePolicy=closed\nDeviceAllow=char-drm rw\n"


class _Machine:
    """A deployed node of one kind, with its programs."""

    def __init__(self, root: Path, kind: str = "a770-i915", needs: Needs | None = _NEEDS) -> None:
        self.root, self.said = root, {"timedatectl": "yes\n", "systemctl": _UNIT.format(fake_node.GROUP)}
        hardware.write(root, kind)
        self.write("etc/os-release", 'PRETTY_NAME="Debian"\nID=debian\nVERSION_ID="13"\n')
        self.write("sys/fs/cgroup/cgroup.controllers", "memory")
        self.write("lib/firmware/i915/dg2_guc_70.bin.zst", "")
        for node in ("renderD128", "renderD129"):
            self.write(f"dev/dri/{node}", "").chmod(0o660)
        if needs:
            paths = {"sysfs": str(root / "sysfs"), "procfs": str(root / "proc")}
            settings = {**fake_node.SETTINGS, "paths": paths, "fitness": dataclasses.asdict(needs)}
            self.write("etc/ipex/node.json", json.dumps(settings))

    def write(self, path: str, text: str) -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
        return place

    def run(self, command: Sequence[str], *, show: bool = False) -> Completed:  # noqa: ARG002 - nothing to show
        return Completed(0, self.said.get(command[0], ""), "")

    def ask(self, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any], str]:
        """Run the real command line: its status, its answer, and what it said to a person."""
        status = main(words, World(Paths(self.root), self.run))
        said = capsys.readouterr()
        return status, json.loads(said.out), said.err


Capsys = pytest.CaptureFixture[str]


def test_an_arc_node_is_fit(tmp_path: Path, capsys: Capsys) -> None:
    """One JSON object with what was seen, and no finding."""
    status, answer, said = _Machine(tmp_path).ask(capsys, "doctor", "--json")

    gpu = answer["machine"]["gpus"][0]
    assert (status, answer["ok"], said) == (0, True, "")
    assert answer["failures"] == answer["warnings"] == answer["notes"] == []
    assert (gpu["product"], gpu["class"], gpu["discrete"], gpu["driver"]) == ("Arc A770", "arc", True, "i915")
    assert gpu["render_node"].startswith("/dev/dri/renderD128 (0660 ")
    assert answer["machine"]["clock"] == "synchronized"


@pytest.mark.parametrize(
    ("kind", "status", "where", "said"),
    [
        ("b580-xe", 0, "warnings", "has no /lib/firmware/xe/bmg_guc_70.bin"),
        ("two-gpus", 0, "warnings", "Arc B580"),
        ("unknown-id", 0, "warnings", "8086:e2ff at 0000:03:00.0 is not in the table of GPUs"),
        ("uhd630-legacy", 1, "failures", "UHD Graphics 630 (8086:3e92, legacy)"),
        ("no-driver", 1, "failures", "no kernel driver is bound to Arc A770"),
        ("no-gpu", 1, "failures", "has no Intel GPU"),
    ],
)
def test_every_kind_of_hardware_is_judged(  # noqa: PLR0913, PLR0917 - a table
    tmp_path: Path, capsys: Capsys, kind: str, status: int, where: str, said: str
) -> None:
    """The lab's trees, through the command line; what is refused is a failure."""
    done, answer, _ = _Machine(tmp_path, kind).ask(capsys, "doctor", "--json")

    assert done == status
    assert said in str(answer[where])
    assert all(finding["cure"] for finding in (*answer["failures"], *answer["warnings"]))


@pytest.mark.parametrize("kind", hardware.KINDS)
def test_no_kind_of_hardware_crashes_the_doctor(tmp_path: Path, capsys: Capsys, kind: str) -> None:
    """Whatever stands in sysfs, there is an answer, and every GPU is in it."""
    _, answer, said = _Machine(tmp_path, kind).ask(capsys, "doctor")

    assert len(answer["machine"]["gpus"]) == said.count("\nGPU  ") - ("none of Intel's" in said)


def test_the_table_names_what_is_wrong_and_what_to_do(tmp_path: Path, capsys: Capsys) -> None:
    """Without --json a person reads it on standard error, and a program still gets its object."""
    machine = _Machine(tmp_path, "uhd630-legacy")
    machine.said["timedatectl"] = "no\n"

    _, answer, said = machine.ask(capsys, "doctor")

    assert "REFUSED" in said
    assert "Fit an Arc GPU, or leave ollama out of this node's services." in said
    assert "WARNING" in said
    assert not answer["ok"]


def test_the_services_own_unit_decides_what_it_can_open(tmp_path: Path, capsys: Capsys) -> None:
    """A drop-in that takes the device or the group away is found, with its path and mode."""
    machine = _Machine(tmp_path)
    machine.said["systemctl"] = _UNIT.format("nobody-else")
    _, without_group, _ = machine.ask(capsys, "doctor", "--json")
    machine.said["systemctl"] = _UNIT.format(fake_node.GROUP).replace("char-drm rw", "char-pts rw")
    _, without_device, _ = machine.ask(capsys, "doctor", "--json")

    assert "ollama cannot open /dev/dri/renderD128 (0660" in without_group["failures"][0]["why"]
    assert "a dynamic user in nobody-else" in without_group["failures"][0]["why"]
    assert "DeviceAllow= forbid it" in without_device["failures"][0]["why"]


def test_before_the_first_deploy_it_says_that_nothing_is_declared(tmp_path: Path, capsys: Capsys) -> None:
    """No settings: this machine's own sysfs is looked at, and what any engine needs is judged."""
    status, answer, said = _Machine(tmp_path, needs=None).ask(capsys, "doctor")

    assert status == int(bool(answer["failures"]))
    assert "has no declared needs" in answer["notes"][0]["why"]
    assert "Deploy, and ask again" in said


def test_settings_that_make_no_sense_are_a_failure_with_a_cure(tmp_path: Path, capsys: Capsys) -> None:
    """Somebody's edit is named by its file, and no traceback comes."""
    machine = _Machine(tmp_path)
    path = machine.root / "etc/ipex/node.json"
    path.write_text(path.read_text().replace('"gpu_classes"', '"gpu_clases"'))

    status, answer, _ = machine.ask(capsys, "doctor")

    assert status == 1
    assert answer["failures"][0]["cure"] == "deploy again: the file is generated"


@pytest.mark.parametrize(("kilobytes", "warned"), [(15_900_000, False), (12_000_000, True)])
def test_the_memory_check_warns_in_the_journal_and_fails_nothing(
    tmp_path: Path, capsys: Capsys, kilobytes: int, warned: bool
) -> None:
    """The brief's warning, with the numbers; exit status 0."""
    machine = _Machine(tmp_path)
    machine.write("proc/meminfo", f"MemTotal:       {kilobytes} kB\nMemFree:   1 kB\n")

    status, answer, said = machine.ask(capsys, "memory-check")

    assert (status, answer["ok"]) == (0, True)
    assert said.startswith("Warning: this node has 12.3 GB of memory, less than 16 GB. Performance") is warned
    assert bool(answer["warnings"]) is warned


def test_the_shipped_program_has_the_table_of_gpus(tmp_path: Path) -> None:
    """The one file that lands on a node finds its data in itself; this very machine is looked at."""
    path = tmp_path / "ipex-node"
    path.write_bytes(program.ipex_node())
    script = f"import runpy, sys; sys.argv = ['ipex-node', 'doctor', '--json']; runpy.run_path({str(path)!r})"

    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False)

    assert done.stderr == ""
    assert json.loads(done.stdout)["machine"]["memory_bytes"] > 0
    code = (
        f"import sys; sys.path.insert(0, {str(path)!r}); from ipex_node.fitness.gpus import lookup; "
        "print(lookup('e20b').name)"
    )
    assert subprocess.check_output([sys.executable, "-I", "-c", code], text=True) == "Arc B580\n"


@pytest.mark.parametrize(
    ("shown", "access"),
    [
        (_UNIT.format("render video"), Access("", ("render", "video"), devices=True)),
        ("LoadState=not-found\n", None),
        ("", None),
        ("LoadState=loaded\nDevicePolicy=auto\n", Access("root", (), devices=True)),
        ("LoadState=loaded\nDevicePolicy=auto\nDeviceAllow=/dev/null rw\n", Access("root", (), devices=False)),
        (
            "LoadState=loaded\nDevicePolicy=closed\nUser=ollama\nGroup=render\n",
            Access("ollama", ("render",), devices=False),
        ),
        ("LoadState=loaded\nDeviceAllow=char-drm r\n", Access("root", (), devices=False)),
        ("LoadState=loaded\nDeviceAllow=/dev/dri/renderD128 rw\n", Access("root", (), devices=True)),
        (_UNIT.format("render") + "PrivateDevices=yes\n", Access("", ("render",), devices=False)),
    ],
)
def test_a_units_access_is_read_from_systemd(shown: str, access: Access | None) -> None:
    """From `systemctl show`: one property a line; DeviceAllow= once for each rule."""
    assert access_of(shown) == access


@pytest.mark.parametrize(
    ("signs", "cgroup"),
    [(("cgroup.controllers",), "unified"), (("unified/x", "memory/x"), "hybrid"), (("memory/x",), "legacy"), ((), "")],
)
def test_control_groups_are_told_apart(tmp_path: Path, signs: tuple[str, ...], cgroup: str) -> None:
    """By what is mounted where systemd mounts it."""
    for sign in signs:
        place = tmp_path / "sys/fs/cgroup" / sign
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()

    assert inspection._cgroup(Paths(tmp_path)) == cgroup


@pytest.mark.parametrize(
    ("file", "said", "clock"),
    [
        ("run/systemd/container", "no", "container"),
        ("run/systemd/timesync/synchronized", "no", "synchronized"),
        ("else", "yes", "synchronized"),
        ("else", "no", "adrift"),
        ("else", "", ""),
    ],
)
def test_the_clocks_keeper_is_found(tmp_path: Path, file: str, said: str, clock: str) -> None:
    """Files first; timedated, which knows of chrony, where they do not tell."""
    machine = _Machine(tmp_path)
    machine.write(file, "")
    machine.said["timedatectl"] = said

    assert inspection.clock(World(Paths(tmp_path), machine.run)) == clock


def test_closures_are_measured_in_the_store(tmp_path: Path) -> None:
    """What `nix path-info --closure-size` prints behind each path, added up."""
    machine = _Machine(tmp_path)
    generation = tmp_path / "var/lib/ipex/generations/0123456789abcdef"
    machine.write(str(generation.relative_to(tmp_path) / "closures.json"), '{"p": "/nix/store/a", "q": "/nix/store/b"}')
    (tmp_path / "var/lib/ipex/current").symlink_to(generation)
    machine.said["nix"] = "/nix/store/a  \t  1000\n/nix/store/b  \t  234\n\nwarning: x\n"

    assert inspection._closure_bytes(World(Paths(tmp_path), machine.run)) == 1234


def test_free_space_is_that_of_the_nearest_directory_there_is(tmp_path: Path) -> None:
    """Before the first deploy there is no /nix: what holds it later is its parent."""
    assert inspection._free(tmp_path / "not/there/yet") > 0
