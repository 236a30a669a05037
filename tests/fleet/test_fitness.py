"""Which machines are let in."""

import pytest

from fleet import fitness
from fleet.model import Fleet
from fleet.observed import Observed, ObservedGpu

_ARC = (ObservedGpu("0000:03:00.0", "8086:56a0", "i915"),)


def _problems(example: Fleet, **answer: object) -> str:
    observed = Observed(**{"distribution": "debian:13", "memory_bytes": 32 * 10**9, "gpus": _ARC, **answer})  # type: ignore[arg-type]
    return "\n".join(f"{problem.what}. {problem.cure}" for problem in fitness.problems(example["gpu-01"], observed))


def _warnings(example: Fleet, **answer: object) -> str:
    observed = Observed(**{"distribution": "debian:13", "memory_bytes": 32 * 10**9, "gpus": _ARC, **answer})  # type: ignore[arg-type]
    return "\n".join(warning.what for warning in fitness.warnings(example["gpu-01"], observed))


def test_an_arc_machine_is_fit(example: Fleet) -> None:
    """32 GB, an A770 on i915 and Debian 13 bring neither problem nor warning."""
    assert not _problems(example)
    assert not _warnings(example)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"distribution": "fedora:42"}, "runs fedora:42. Use one of debian:13"),
        ({"distribution": ""}, "did not answer the question every node is asked"),
        ({"gpus": ()}, "has no Intel GPU"),
        ({"gpus": (ObservedGpu("0000:00:02.0", "8086:3e92", "i915"),)}, "has no GPU of class arc or xe-lp"),
        ({"gpus": (ObservedGpu("0000:03:00.0", "8086:56a0", ""),)}, "no kernel driver is bound"),
        ({"memory_bytes": 8 * 10**9}, "services may use 24 GiB (ollama 8 + comfyui 16)"),
    ],
)
def test_an_unfit_machine_is_refused(example: Fleet, answer: dict[str, object], said: str) -> None:
    """What is missing is named, with what to do."""
    assert said in _problems(example, **answer)


def test_an_old_gpu_beside_an_arc_is_no_problem(example: Fleet) -> None:
    """The processor's own GPU does not disqualify a machine that has an Arc card."""
    gpus = (ObservedGpu("0000:00:02.0", "8086:3e92", "i915"), *_ARC)

    assert not _problems(example, gpus=gpus)


@pytest.mark.parametrize(
    ("memory_gib", "warned"),
    [(15.0, False), (15.5, False), (13.6, True), (8.0, True)],
)
def test_sixteen_gigabytes_are_recognised_as_sold(example: Fleet, memory_gib: float, warned: bool) -> None:
    """A 16 GB machine reports about 15 GiB (`free -g` says 15) and is not warned about."""
    said = _warnings(example, memory_bytes=int(memory_gib * 2**30))

    assert ("less than 16 GB" in said) is warned


def test_an_unknown_gpu_is_let_through_and_named(example: Fleet) -> None:
    """A GPU newer than the table is a warning, never a crash and never silent."""
    gpus = (ObservedGpu("0000:03:00.0", "8086:ffff", "xe"),)

    assert not _problems(example, gpus=gpus)
    assert "8086:ffff is not in fleet/gpus.toml" in _warnings(example, gpus=gpus)
