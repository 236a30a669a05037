"""Pages of numbers, kind of hardware by kind of hardware."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from ipex_node import samples
from ipex_node.gpu.sampler import Sampler, serve
from ipex_node.paths import Paths
from ipex_node.settings import Settings
from lab import hardware
from tests.ipex_node.fake_node import FakeNode
from tools import recorded


@pytest.mark.parametrize("kind", hardware.KINDS)
def test_page_is_the_recorded_one(kind: str) -> None:
    """tests/recorded holds what the metrics say of each kind of hardware; `make golden` rewrites it."""
    assert recorded.page(kind) == (recorded.RECORDED / f"{kind}.prom").read_text()


@pytest.mark.parametrize(
    ("kind", "absent"),
    [
        ("b580-xe-6.12", {"ipex_gpu_temperature_celsius", "ipex_gpu_fan_rpm"}),
        ("flex-170", {"ipex_gpu_fan_rpm"}),
        ("meteor-lake-igpu", {"ipex_gpu_energy_joules_total", "ipex_gpu_power_watts", "ipex_gpu_memory_total_bytes"}),
        ("no-driver", {"ipex_gpu_info"}),
    ],
)
def test_what_hardware_does_not_have_is_absent(tmp_path: Path, kind: str, absent: set[str]) -> None:
    """Never 0: a dashboard must not show a cold GPU where there is no sensor."""
    assert not absent & {one.family for one in recorded.samples(kind, tmp_path)}


@pytest.mark.parametrize("kind", ["no-gpu", "no-driver"])
def test_machine_without_a_gpu_says_so(tmp_path: Path, kind: str) -> None:
    """A page without a GPU has a reason on it."""
    reason = {"source": "gpu", "reason": "no Intel GPU has a kernel driver"}
    assert recorded.samples(kind, tmp_path) == [samples.absent(**reason)]


def values(sampler: Sampler, family: str) -> dict[tuple[str, ...], float]:
    """Return one family of a new look, by its labels."""
    return {tuple(one.labels.values()): one.value for one in sampler.sample() if one.family == family}


def test_render_node_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    """The rest of the page is there: only the driver's word on memory is missing."""
    hardware.write(tmp_path, "a770-i915")
    sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri")
    assert values(sampler, "ipex_metrics_absent") == {("renderD128", "No such file or directory"): 1}
    assert values(sampler, "ipex_gpu_memory_total_bytes") == {}
    assert len(values(sampler, "ipex_gpu_memory_used_bytes")) == 2


@pytest.mark.parametrize(
    ("hidden", "word"), [({"1", "1201", "1313"}, "most"), ({"1201", "1313"}, "most"), ({"1201"}, "some")]
)
def test_processes_that_hide_their_use_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hidden: set[str], word: str
) -> None:
    """Without CAP_SYS_PTRACE there is no utilization and no memory, and not a utilization of 0."""
    hardware.write(tmp_path, "a770-i915")
    listed = os.listdir

    def refusing(place: str | Path) -> list[str]:
        directory = os.fspath(place)
        if directory.endswith("/fdinfo") and directory.split("/")[-2] in hidden:
            raise PermissionError(directory)
        return listed(directory)

    monkeypatch.setattr("os.listdir", refusing)
    sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri")
    said = values(sampler, "ipex_metrics_absent")
    assert ("fdinfo", f"{word} processes do not show theirs: CAP_SYS_PTRACE is withheld") in said
    families = {one.family for one in sampler.sample()}
    assert ("ipex_gpu_engine_busy_seconds_total" in families) == (word == "some")
    assert ("ipex_gpu_memory_used_bytes" in families) == (word == "some")


def test_kernel_that_does_not_account_for_engines_has_no_utilization(tmp_path: Path) -> None:
    """Early drivers write no engine into fdinfo: their engines are not idle, they are unknown."""
    hardware.write(tmp_path, "b580-xe")
    for path in tmp_path.glob("proc/*/fdinfo/*"):
        path.write_text("\n".join(line for line in path.read_text().splitlines() if "cycles" not in line))
    sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri")
    assert values(sampler, "ipex_gpu_engine_busy_seconds_total") == {}
    assert len(values(sampler, "ipex_gpu_memory_used_bytes")) == 4


def test_idle_gpu_shows_0_from_its_second_look_on(tmp_path: Path) -> None:
    """Nobody uses it, and all who might say so: that is idle, once there is an interval to say it of."""
    hardware.write(tmp_path, "b580-xe")
    for pid in ("1201", "1313"):
        shutil.rmtree(tmp_path / "proc" / pid)
    sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri")
    assert values(sampler, "ipex_gpu_utilization_ratio") == {}
    assert set(values(sampler, "ipex_gpu_utilization_ratio").values()) == {0}


def test_energy_that_goes_back_has_no_power(tmp_path: Path) -> None:
    """A driver that was loaded anew counts from 0: that is no negative power."""
    hardware.write(tmp_path, "a770-i915", 10)
    clock = iter((0.0, 10.0, 20.0))
    sampler = Sampler(tmp_path / "sysfs", tmp_path / "proc", tmp_path / "dri", lambda: next(clock))
    sampler.sample()
    hardware.write(tmp_path, "a770-i915", 0)
    assert values(sampler, "ipex_gpu_power_watts") == {}


def test_file_of_samples_comes_back_as_it_was(tmp_path: Path) -> None:
    """What is left for the agent is what it reads, as long as it is fresh."""
    path = Paths(tmp_path).samples("gpu")
    found = recorded.samples("two-gpus", tmp_path / "machine")
    samples.write(path, found)
    assert samples.read(path, 60) == found
    assert samples.read(path, -1) is None


@pytest.mark.parametrize(
    "left",
    [
        "",
        "[]",
        '{"time": "soon", "samples": []}',
        '{"time": 9e99, "samples": []}',
        '{"time": TIME, "samples": [["x", {"a": 1}, 1, ""]]}',
        '{"time": TIME, "samples": [["x", [], 1, ""]]}',
        '{"time": TIME, "samples": [["x", {}, "1", ""]]}',
        '{"time": TIME, "samples": [["x", {"le": "wide"}, 1, "_bucket"]]}',
        '{"time": TIME, "samples": [["x"]]}',
    ],
)
def test_file_of_another_shape_is_none(tmp_path: Path, left: str) -> None:
    """A file that is half written, or of another version, does not break the page."""
    path = tmp_path / "samples.json"
    samples.write(path, [])
    now = path.read_text().partition(": ")[2].partition(",")[0]
    path.write_text(left.replace("TIME", now))
    assert samples.read(path, 60) is None


def test_command_leaves_samples_until_it_is_stopped(node: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ipex-node gpu` measures at the declared interval and ends with SIGTERM as it is meant to."""
    pauses: list[float] = []

    def stop(seconds: float) -> None:
        pauses.append(seconds)
        os.kill(os.getpid(), signal.SIGTERM)

    paths = node.world.paths
    hardware.write(paths.root, "a770-i915")
    loaded = Settings("gpu-01", sysfs=paths.root / "sysfs", procfs=paths.root / "proc", gpu_seconds=7.0)
    monkeypatch.setattr("ipex_node.settings.load", lambda _: loaded)
    monkeypatch.setattr("time.sleep", stop)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert serve(node.world) == {"ok": True, "failures": []}
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [round(pause) for pause in pauses] == [7]
    assert "ipex_gpu_info" in {one.family for one in samples.read(paths.samples("gpu"), 60) or ()}
