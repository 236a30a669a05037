"""The optimizer as data: what each option becomes, and what is refused."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet import desired, engine_options, optimization, precision, slots
from fleet.model import Fleet, Node
from fleet.optimizer import PERIOD_SECONDS, Optimizer, Period, nonsense


def _of(fleet: Fleet) -> Optimizer:
    found = fleet["gpu-01"].optimizer
    assert found is not None
    return found


def _with(fleet: Fleet, part: str = "", **changes: Any) -> Fleet:
    """The fleet with other settings in the whole optimizer, or in one part of it."""
    old = _of(fleet)
    new = (
        dataclasses.replace(old, **{part: dataclasses.replace(getattr(old, part), **changes)})
        if part
        else dataclasses.replace(old, **changes)
    )
    nodes = tuple(dataclasses.replace(node, optimizer=new) if node.optimizer else node for node in fleet.nodes)
    return dataclasses.replace(fleet, nodes=nodes)


def _unit(fleet: Fleet, service: str) -> list[str]:
    path = f"/etc/systemd/system/{service}-ipex.service"
    files = desired.generation(fleet["gpu-01"], fleet).files
    return next(file for file in files if file.path == path).content.decode().splitlines()


def _said(fleet: Fleet) -> list[str]:
    return [problem.what for problem in optimization.problems(fleet)]


@pytest.mark.parametrize(
    ("part", "wrong", "said"),
    [
        ("", {"compilation_cache": "/srv/cache"}, "optimizer.compilation_cache is '/srv/cache'"),
        ("", {"compilation_cache": "/var/cache/../etc"}, "optimizer.compilation_cache is"),
        ("", {"cache_gb": 0}, "optimizer.cache_gb is 0"),
        ("", {"cache_days": 0}, "optimizer.cache_days is 0"),
        ("memory", {"swap_threshold": 0.0}, "optimizer.memory.swap_threshold is 0.0"),
        ("memory", {"memory_pool": {"comfyui": "12GB"}}, "optimizer.memory's sizes is ['12GB']"),
        ("memory", {"gpu_reserve": {"nothing": "2G"}}, "optimizer.memory.gpu_reserve.nothing: no such service"),
        ("memory", {"memory_pool": {"comfyui": "15G"}}, "optimizer.memory.memory_pool.comfyui is more than 0.8 of"),
        ("schedule", {"spread": "soon"}, "optimizer.schedule.spread is 'soon'"),
        ("tuning", {"grid": {"PATH": ("/tmp",)}}, "optimizer.tuning.grid is ['PATH']"),  # noqa: S108 - a name in data; nothing is written there
        ("tuning", {"rounds": 0}, "optimizer.tuning.rounds is 0"),
        ("quantization", {"calibration_dataset": "coco-subset"}, "optimizer.quantization.calibration_dataset is"),
        ("quantization", {"precision": {"olama": "int8"}}, "optimizer.quantization.precision.olama: no such service"),
        (
            "quantization",
            {"precision": {"comfyui": "int8"}},
            "optimizer.quantization.precision.comfyui is 'int8', which",
        ),
        ("quantization", {"precision": {"ollama": "fp8"}}, "optimizer.quantization.precision.ollama is 'fp8', which"),
        ("quantization", {"precision": {"ollama": "int3"}}, "optimizer.quantization.precision.ollama is 'int3', which"),
    ],
)
def test_what_cannot_be_meant_is_named(example: Fleet, part: str, wrong: dict[str, Any], said: str) -> None:
    """Each with its address, and a cure; the fleet as it is has no problem."""
    found = list(optimization.problems(_with(example, part, **wrong)))

    assert any(problem.what.startswith(said) for problem in found), found
    assert all(problem.cure for problem in found)
    assert _said(example) == []


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("tinyllama", "llama3.2:3b-instruct-q4_K_M", "not known to be unquantised"),
        ("tinyllama", "llama3.2", "not known to be unquantised"),
        ("elsewhere", "llama3.2:3b-instruct-fp16", "made and declared nowhere"),
    ],
)
def test_what_is_quantised_already_is_not_quantised_again(example: Fleet, name: str, source: str, said: str) -> None:
    """Ollama quantises F16, BF16 and F32 alone, and what a node makes must be asked of it."""
    assert any(said in what for what in _said(_with(example, "quantization", models={name: source})))
    assert not _said(_with(example, "quantization", models={"tinyllama": "llama3.2:3b-instruct-fp16"}))


def test_every_precision_is_decided_for_every_engine() -> None:
    """No gap in the table: each pair can or cannot, and what cannot has a reason and a cure."""
    for engine in ("ollama", "comfyui"):
        for one in precision.PRECISIONS:
            found = precision.TABLE[engine, one]
            assert isinstance(found, precision.Can) or (found.why and found.cure)
    assert isinstance(precision.of("http", "int8"), precision.Cannot)


def test_precision_becomes_flags(example: Fleet) -> None:
    """ComfyUI is told on its command line."""
    start = next(
        line
        for line in _unit(_with(example, "quantization", precision={"comfyui": "bf16"}), "comfyui")
        if line.startswith("ExecStart=")
    )

    assert "--bf16-unet --bf16-vae" in start
    assert "--bf16-unet" not in "".join(_unit(example, "comfyui"))


def test_caches_lie_in_the_declared_place_and_exist_before_the_engine(example: Fleet) -> None:
    """NEO's cache is off without a word where its directory is missing."""
    unit = _unit(_with(example, compilation_cache="/var/cache/elsewhere"), "comfyui")
    made = next(line for line in unit if line.startswith("CacheDirectory=")).partition("=")[2].split()
    told = [line.split("=")[-1].strip('"') for line in unit if "_CACHE_DIR=" in line]

    assert len(told) == len(engine_options.CACHES["comfyui"])
    assert {f"/var/cache/{path}" for path in made} >= set(told)
    assert all(path.startswith("/var/cache/elsewhere/comfyui/") for path in told)


def test_without_auto_compile_nothing_is_kept(example: Fleet) -> None:
    """Every cache that can be is off, none has a place, and nothing may be executed beside the store."""
    unit = _unit(_with(example, auto_compile=False), "comfyui")

    assert not [line for line in unit if "_CACHE_DIR=" in line]
    assert {'Environment="SYCL_CACHE_PERSISTENT=0"', 'Environment="NEO_CACHE_PERSISTENT=0"'} <= set(unit)
    assert {'Environment="TORCH_COMPILE_DISABLE=1"', "ExecPaths=/nix/store"} <= set(unit)
    assert 'Environment="MESA_SHADER_CACHE_DISABLE=true"' in _unit(_with(example, auto_compile=False), "ollama")


def test_without_the_optimizer_the_unit_says_nothing_of_it(example: Fleet) -> None:
    """As it was before there was one, but for the caches' variables."""
    unit = "\n".join(_unit(_with(example, enable=False), "ollama"))

    assert "CacheDirectory=ollama\n" in unit
    assert "MemorySwapMax=0\n" in unit
    assert not [word for word in ("ipex-models", "MemoryHigh", "MESA_SHADER", "OLLAMA_IGPU_ENABLE") if word in unit]


def test_memory_options_are_the_engines_own(example: Fleet) -> None:
    """A reserve is Ollama's overhead in bytes and ComfyUI's in GB; the threshold is the kernel's."""
    fleet = _with(
        example,
        "memory",
        unified_memory=False,
        memory_pool={"comfyui": "8G"},
        swap_threshold=0.5,
        gpu_reserve={"ollama": "1G", "comfyui": "2G"},
    )
    ollama, comfyui = _unit(fleet, "ollama"), _unit(fleet, "comfyui")

    assert 'Environment="OLLAMA_GPU_OVERHEAD=1073741824"' in ollama
    assert not [line for line in ollama if "IGPU" in line or "SYSMEM" in line]
    assert {"MemoryMax=8G", f"MemoryHigh={4 << 30}", f"MemorySwapMax={4 << 30}"} <= set(ollama)
    start = next(line for line in comfyui if line.startswith("ExecStart="))
    assert start.endswith("--cache-ram 8.0 --gpu-only --reserve-vram 2.0")


def test_what_data_say_themselves_is_not_said_twice(example: Fleet) -> None:
    """A flag or a variable that both set has one owner; a KV cache that Ollama would ignore is refused."""
    node = example["gpu-01"]
    ollama, comfyui = node.service("ollama"), node.service("comfyui")
    assert ollama
    assert comfyui
    environment = {"MESA_SHADER_CACHE_DIR": "/x", "OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"}
    services = (
        dataclasses.replace(ollama, environment=environment),
        dataclasses.replace(comfyui, command=f"{comfyui.command} --cache-ram=4"),
    )
    nodes = (dataclasses.replace(node, services=services), *example.nodes[1:])

    found = "\n".join(_said(dataclasses.replace(example, nodes=nodes)))
    assert "services.ollama.environment has MESA_SHADER_CACHE_DIR, which the optimizer sets" in found
    assert "OLLAMA_KV_CACHE_TYPE=q8_0 without flash attention" in found
    assert "services.comfyui.command has --cache-ram, which the optimizer sets" in found


def test_the_grid_leaves_out_what_ollama_would_ignore(example: Fleet) -> None:
    """A quantised KV cache without flash attention is no setting of its own."""
    grid = {"OLLAMA_KV_CACHE_TYPE": ("f16", "q8_0"), "OLLAMA_FLASH_ATTENTION": ("0", "1")}
    tuning = dataclasses.replace(_of(example).tuning, grid=grid)

    assert len(tuning.settings()) == 3
    assert {"OLLAMA_KV_CACHE_TYPE": "q8_0", "OLLAMA_FLASH_ATTENTION": "0"} not in tuning.settings()


def _many(fleet: Fleet, number: int) -> Fleet:
    node = fleet["gpu-01"]
    nodes: tuple[Node, ...] = tuple(dataclasses.replace(node, name=f"gpu-{one}") for one in range(number))
    return dataclasses.replace(fleet, nodes=nodes)


def test_more_tunings_than_fit_are_refused(example: Fleet) -> None:
    """With the sum that does not fit, and a cure."""
    assert any("one after the other, are longer than monthly" in what for what in _said(_many(example, 700)))


def _begin(calendar: str) -> datetime:
    """Read a slot of a month."""
    day, clock, _ = calendar.split()
    return datetime.fromisoformat(f"2024-01-{day[-2:]} {clock}")


@given(number=st.integers(1, 200), seconds=st.integers(60, 20000))
def test_no_two_slots_meet(number: int, seconds: int) -> None:
    """However long the work: each slot ends before the next begins, also over the end of the shortest month."""
    period: Period = "monthly"
    if not slots.fit(number, seconds, period):
        return
    begins = [_begin(slots.calendar(place, seconds, period)) for place in range(number)]

    ends = [begin + timedelta(seconds=seconds) for begin in begins]
    assert begins == sorted(begins)
    assert all(end < begin for end, begin in zip(ends, begins[1:], strict=False))
    assert ends[-1] <= begins[0] + timedelta(seconds=PERIOD_SECONDS[period])


def test_data_are_good(example: Fleet) -> None:
    """The settings of group_data have nothing against them."""
    assert not list(nonsense(_of(example)))
