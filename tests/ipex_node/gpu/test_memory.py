"""What drivers say of a card's own memory."""

import errno
import struct
from pathlib import Path

import pytest

from ipex_node.gpu import cards, memory
from ipex_node.gpu.memory import Region
from lab import hardware
from lab.hardware_drm import Kernel, i915_regions, xe_regions


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """Render nodes that can be opened."""
    directory = tmp_path / "dri"
    directory.mkdir()
    for name in ("renderD128", "renderD129"):
        (directory / name).touch()
    return directory


def asked(root: Path, devices: Path, kind: str) -> list[list[Region]]:
    """Ask every card of a kind of machine."""
    hardware.write(root, kind)
    return [memory.regions(card, devices, Kernel(kind).ioctl) for card in cards.listed(root / "sysfs")]


def test_memory_of_each_driver(tmp_path: Path, devices: Path) -> None:
    """Both say how much there is; i915's word on what is used is none without CAP_PERFMON."""
    assert asked(tmp_path, devices, "two-gpus") == [
        [Region("vram0", 17_095_983_104, None)],
        [Region("vram0", 12_168_933_376, 7_552_892_928)],
    ]


@pytest.mark.parametrize(
    ("kind", "answer"), [("b580-xe-6.12", [Region("vram0", 12_168_933_376, None)]), ("meteor-lake-igpu", [])]
)
def test_what_a_driver_does_not_say_is_absent(tmp_path: Path, devices: Path, kind: str, answer: list[Region]) -> None:
    """An early xe says 0 of what is used, an integrated GPU has no memory of its own."""
    assert asked(tmp_path, devices, kind) == [answer]


def test_what_is_used_is_believed_where_it_can_be_true() -> None:
    """With CAP_PERFMON i915 says how much is left; the second tile of a card is its second memory."""
    region = struct.Struct("=HHIQQ64x")
    answer = struct.pack("=I12x", 2) + region.pack(1, 0, 0, 1000, 400) + region.pack(1, 1, 0, 1000, 1000)
    assert memory.read_i915(answer) == [Region("vram0", 1000, 600), Region("vram1", 1000, None)]


@pytest.mark.parametrize("kind", ["a770-i915", "b580-xe"])
def test_answer_that_is_cut_off_yields_what_is_whole(kind: str) -> None:
    """However short, no more is read than there is."""
    card = hardware.KINDS[kind][0]
    answer, read = (
        (i915_regions(card), memory.read_i915) if card.driver == "i915" else (xe_regions(card), memory.read_xe)
    )
    assert [len(read(answer[:size])) for size in (0, 3, 100, len(answer) - 1, len(answer))] == [0, 0, 0, 0, 1]


def test_driver_that_refuses_is_an_error(tmp_path: Path, devices: Path) -> None:
    """The caller says why there is nothing."""
    hardware.write(tmp_path, "b580-xe")
    card = next(cards.listed(tmp_path / "sysfs"))

    def refuse(_descriptor: int, _request: int, _argument: bytearray, _mutate: bool, /) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        memory.regions(card, devices, refuse)
    with pytest.raises(FileNotFoundError):
        memory.regions(card, tmp_path / "elsewhere", refuse)


@pytest.mark.parametrize("driver", ["a770-i915", "b580-xe"])
def test_driver_that_answers_nothing_is_an_error(tmp_path: Path, devices: Path, driver: str) -> None:
    """A length of 0 is no answer."""
    hardware.write(tmp_path, driver)
    card = next(cards.listed(tmp_path / "sysfs"))
    with pytest.raises(OSError, match="is not answered"):
        memory.regions(card, devices, lambda *_: 0)
