"""What the users of GPUs take of them."""

import os
from pathlib import Path

import pytest

from ipex_node.gpu.busy import Busy
from ipex_node.gpu.clients import RECHECK, Client, Descriptors, Work, parse
from ipex_node.gpu.memory import held

SLOT = "0000:03:00.0"
XE = """pos:\t0
flags:\t0100002
drm-driver:\txe
drm-client-id:\t3
drm-pdev:\t0000:03:00.0
drm-shared-vram0:\t16 MiB
drm-resident-vram0:\t23992 KiB
drm-resident-gtt:\t192
drm-cycles-rcs:\t28257900
drm-total-cycles-rcs:\t7655183225
drm-cycles-vcs:\t0
drm-engine-capacity-ccs:\t4
"""
I915 = """drm-driver: i915
drm-client-id: 12
drm-pdev: 0000:03:00.0
drm-resident-local0: 2 MiB
drm-engine-compute: 600000000000 ns
drm-engine-capacity-compute: 0
"""


def test_fdinfo_of_xe() -> None:
    """Cycles with their clock, sizes in any unit, one vocabulary for both drivers; a class without a clock is none."""
    assert parse(XE.encode()) == Client(
        SLOT,
        3,
        work={"render": Work(28257900, 7655183225)},
        capacity={"compute": 4},
        resident={"vram0": 23992 * 1024, "gtt": 192},
        shared={"vram0": 16 * 1024 * 1024},
    )


def test_fdinfo_of_i915() -> None:
    """Nanoseconds, the card's own memory by xe's name, and a capacity that is never 0."""
    assert parse(I915.encode()) == Client(
        SLOT, 12, work={"compute": Work(600 * 10**9)}, capacity={"compute": 1}, resident={"vram0": 2 * 1024 * 1024}
    )


@pytest.mark.parametrize("line", ["drm-client-id:\t3\n", "drm-pdev:\t0000:03:00.0\n"])
def test_fdinfo_that_does_not_say_whose_it_is_counts_for_nobody(line: str) -> None:
    """Clients are told apart by device and number."""
    assert parse(XE.replace(line, "").encode()) is None


def busy(*looks: tuple[float, list[Client]]) -> list[tuple[float, float]]:
    """Return seconds and ratio of the compute engine after each look."""
    counter = Busy(looks[0][0])
    found = []
    for now, clients in looks:
        counter.take(clients, now)
        place = (SLOT, "compute")
        found.append((round(counter.seconds.get(place, 0.0), 6), round(counter.ratios.get(place, 0.0), 6)))
    return found


def i915(seconds: float, number: int = 1, engines: int = 1) -> Client:
    """Return a client of i915 that has kept the compute engines busy for so long."""
    return Client(SLOT, number, {"compute": Work(round(seconds * 1e9))}, {"compute": engines})


def xe(cycles: int, clock: int) -> Client:
    """Return a client of xe."""
    return Client(SLOT, 1, {"compute": Work(cycles, clock)})


def test_time_counts_from_the_first_sight_of_a_client() -> None:
    """What was done before is not known to belong to any interval; a client that goes costs nothing."""
    looks = [(0, [i915(100)]), (10, [i915(104), i915(50, number=2)]), (20, [i915(51, number=2)]), (30, [])]
    assert busy(*looks) == [(0, 0), (4, 0.4), (5, 0.1), (5, 0)]


def test_value_that_goes_backwards_waits_until_it_has_caught_up() -> None:
    """As drm-usage-stats.rst asks for: stay with the larger one."""
    looks = [(0, [i915(100)]), (10, [i915(105)]), (20, [i915(103)]), (30, [i915(106)])]
    assert busy(*looks) == [(0, 0), (5, 0.5), (5, 0), (6, 0.1)]


def test_several_engines_of_a_class_are_as_busy_as_all_of_them() -> None:
    """Two engines that worked four seconds each are busy for four."""
    assert busy((0, [i915(0, engines=2)]), (10, [i915(8, engines=2)]))[-1] == (4, 0.4)


def test_cycles_are_a_share_of_the_gpus_own_clock() -> None:
    """The driver says how many cycles of its clock were worked; seconds come of the time between two looks."""
    looks = [(0, [xe(500, 10_000)]), (10, [xe(750, 11_000)]), (20, [xe(740, 12_000)]), (30, [xe(1000, 13_000)])]
    assert busy(*looks) == [(0, 0), (2.5, 0.25), (2.5, 0), (5.0, 0.25)]


def test_clock_that_begins_anew_is_a_new_beginning() -> None:
    """After a reset of the GPU its clock is at 0: counting goes on from there."""
    looks = [(0, [xe(500, 90_000)]), (10, [xe(500, 100)]), (20, [xe(600, 300)])]
    assert busy(*looks) == [(0, 0), (0, 0), (5, 0.5)]


def test_no_engine_works_longer_than_it_was_watched() -> None:
    """A driver's absurd value does not make a counter that nobody believes again."""
    assert busy((0, [i915(0)]), (10, [i915(1e9)])) == [(0, 0), (10, 1)]


def test_shared_memory_counts_once() -> None:
    """Two clients that share 64 of their bytes hold them together."""
    clients = [
        Client(SLOT, number, resident={"vram0": size}, shared={"vram0": 64}) for number, size in ((1, 100), (2, 300))
    ]
    foreign = Client("0000:07:00.0", 1, resident={"vram0": 1000})
    assert held([*clients, foreign], SLOT) == {"vram0": 36 + 236 + 64}


def process(procfs: Path, pid: int, **descriptors: str) -> None:
    """Write a process' descriptors."""
    directory = procfs / str(pid) / "fdinfo"
    directory.mkdir(parents=True, exist_ok=True)
    for name, said in descriptors.items():
        (directory / name.removeprefix("fd")).write_text(said)


def test_client_counts_once_however_many_descriptors_show_it(tmp_path: Path) -> None:
    """A render node that was inherited or duplicated stays one client; other files are none."""
    process(tmp_path, 7, fd0="pos:\t0\n", fd20=XE, fd21=XE)
    process(tmp_path, 8, fd20=XE, fd3=I915)
    (tmp_path / "self").mkdir()
    assert {client.number for client in Descriptors(tmp_path).clients()} == {3, 12}


def test_descriptor_that_becomes_a_render_node_is_found(tmp_path: Path) -> None:
    """Numbers of descriptors are used again: what was another file is looked at again within a few rounds."""
    process(tmp_path, 7, fd5="pos:\t0\n")
    descriptors = Descriptors(tmp_path)
    assert descriptors.clients() == []
    process(tmp_path, 7, fd5=XE)
    assert any(descriptors.clients() for _ in range(RECHECK))


def test_new_descriptor_is_found_at_once(tmp_path: Path) -> None:
    """Only what is known to be another file waits."""
    process(tmp_path, 7, fd5="pos:\t0\n")
    descriptors = Descriptors(tmp_path)
    descriptors.clients()
    process(tmp_path, 7, fd6=XE)
    assert len(descriptors.clients()) == 1


def test_process_that_ends_while_it_is_read_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its directory is listed, and then it is gone."""
    process(tmp_path, 7, fd5=XE)
    process(tmp_path, 8, fd5=I915)
    listed = os.listdir

    def ending(directory: str) -> list[str]:
        names = listed(directory)
        if directory.endswith("/7/fdinfo"):
            (tmp_path / "7/fdinfo/5").unlink()
        return names

    monkeypatch.setattr("os.listdir", ending)
    assert [client.number for client in Descriptors(tmp_path).clients()] == [12]
