"""What the optimizer's data become on an engine's command line, in its environment and in its unit."""

from collections.abc import Iterator
from dataclasses import dataclass

from fleet import precision
from fleet.optimizer import CACHE_ROOT, Optimizer, kv_cache_without_flash_attention
from fleet.size import bytes_of

_GB = 10**9
_GIB = 2**30


@dataclass(frozen=True)
class Cache:
    """One cache of compiled code.

    Attributes:
        name: its directory below the service's.
        variable: how the engine is told where it is.
        bound: the variable that bounds it, and how many of its units make a byte; empty where nothing does.
        keep: what must be said for it to be kept, and what says that nothing is kept.
        share: its share of the service's room.
        executed: whether the engine runs machine code from it (ExecPaths=).
    """

    name: str
    variable: str
    bound: tuple[str, int] | None = None
    keep: tuple[tuple[str, str], ...] = ()
    drop: tuple[tuple[str, str], ...] = ()
    share: float = 0.25
    executed: bool = False


CACHES = {
    # docs.mesa3d.org/envvars.html: a size without a unit is in GB, with K, M or G in those.
    "ollama": (
        Cache(
            "mesa",
            "MESA_SHADER_CACHE_DIR",
            ("MESA_SHADER_CACHE_MAX_SIZE", 2**20),
            drop=(("MESA_SHADER_CACHE_DISABLE", "true"),),
            share=1.0,
        ),
    ),
    "comfyui": (
        # intel.github.io/llvm/EnvironmentVariables.html: MB, and off unless it is told otherwise.
        Cache(
            "sycl",
            "SYCL_CACHE_DIR",
            ("SYCL_CACHE_MAX_SIZE", 2**20),
            keep=(("SYCL_CACHE_PERSISTENT", "1"),),
            drop=(("SYCL_CACHE_PERSISTENT", "0"),),
        ),
        # intel/compute-runtime, programmers-guide/COMPILER_CACHE.md: bytes. A directory that does not exist turns it
        # off without a word (shared/source/compiler_interface/default_cache_config.cpp).
        Cache(
            "neo",
            "NEO_CACHE_DIR",
            ("NEO_CACHE_MAX_SIZE", 1),
            keep=(("NEO_CACHE_PERSISTENT", "1"),),
            drop=(("NEO_CACHE_PERSISTENT", "0"),),
        ),
        # docs.pytorch.org, torch.compile caching; nothing bounds these two but the daily cleanup.
        # Both hold shared objects that are loaded.
        Cache("triton", "TRITON_CACHE_DIR", executed=True),
        Cache(
            "inductor",
            "TORCHINDUCTOR_CACHE_DIR",
            keep=(("TORCHINDUCTOR_FX_GRAPH_CACHE", "1"),),
            drop=(("TORCH_COMPILE_DISABLE", "1"),),
            executed=True,
        ),
    ),
}
"""Engine to what it compiles."""


@dataclass(frozen=True)
class Options:
    """What an engine is given beside its own data.

    Attributes:
        flags: words behind its command.
        environment: variables.
        cache_directories: CacheDirectory= of its unit, the service's own first.
        exec_paths: ExecPaths= beside the service's own.
        memory_high, swap_max: MemoryHigh= and MemorySwapMax= of its unit in bytes; None for no MemoryHigh=.
    """

    flags: tuple[str, ...]
    environment: dict[str, str]
    cache_directories: tuple[str, ...]
    exec_paths: tuple[str, ...]
    memory_high: int | None
    swap_max: int


def of(name: str, engine: str, memory_max: str, optimizer: Optimizer | None) -> Options:
    """What the optimizer makes of a service.

    Args:
        name: the service's.
        engine: what it is.
        memory_max: its MemoryMax=.
        optimizer: the node's; None for none.
    """
    if optimizer is None or not optimizer.enable:
        return Options((), {}, (name,), (), None, 0)
    limit = bytes_of(memory_max) or 0
    high = int(limit * optimizer.memory.swap_threshold)
    flags = [*_precision(name, engine, optimizer), *_memory_flags(name, engine, limit, optimizer)]
    return Options(
        tuple(flags),
        {**_compiled(name, engine, optimizer), **dict(_memory_variables(name, engine, optimizer))},
        tuple(directories(name, engine, optimizer)),
        tuple(_executed(name, engine, optimizer)),
        high if high < limit else None,
        limit - high,
    )


def directories(name: str, engine: str, optimizer: Optimizer) -> Iterator[str]:
    """The directories of a service's caches below /var/cache: each must exist before the engine looks for it."""
    own = f"{optimizer.compilation_cache.removeprefix(CACHE_ROOT)}/{name}"
    yield own
    if optimizer.auto_compile:
        yield from (f"{own}/{cache.name}" for cache in CACHES.get(engine, ()))


def _executed(name: str, engine: str, optimizer: Optimizer) -> Iterator[str]:
    if optimizer.auto_compile:
        found = (cache.name for cache in CACHES.get(engine, ()) if cache.executed)
        yield from (f"{optimizer.compilation_cache}/{name}/{cache}" for cache in found)


def pool(name: str, memory_max: str, optimizer: Optimizer) -> int:
    """What a service may keep in the machine's memory, in bytes."""
    given = optimizer.memory.memory_pool.get(name)
    return bytes_of(given) or 0 if given else int((bytes_of(memory_max) or 0) * optimizer.memory.swap_threshold)


def _compiled(name: str, engine: str, optimizer: Optimizer) -> dict[str, str]:
    found: dict[str, str] = {}
    for cache in CACHES.get(engine, ()):
        if not optimizer.auto_compile:
            found |= dict(cache.drop)
            continue
        found |= {**dict(cache.keep), cache.variable: f"{optimizer.compilation_cache}/{name}/{cache.name}"}
        if cache.bound:
            variable, unit = cache.bound
            size = int(optimizer.cache_gb * _GB * cache.share) // unit
            found[variable] = f"{size}M" if variable.startswith("MESA") else str(size)
    return found


def _precision(name: str, engine: str, optimizer: Optimizer) -> Iterator[str]:
    wanted = optimizer.quantization.precision.get(name)
    if optimizer.quantization.enable and wanted:
        found = precision.of(engine, wanted)
        if isinstance(found, precision.Can):
            yield from found.flags


def _memory_flags(name: str, engine: str, limit: int, optimizer: Optimizer) -> Iterator[str]:
    """ComfyUI's own words (comfy/cli_args.py): GB, in 2^30 bytes as its model_management.py reckons."""
    if engine != "comfyui":
        return
    memory = optimizer.memory
    # It drops what it keeps when less than so much of its memory is left; it knows the limit of its control group.
    room = limit - pool(name, f"{limit}", optimizer)
    if room > 0:
        yield from ("--cache-ram", f"{room / _GIB:.1f}")
    if not memory.unified_memory:
        yield "--gpu-only"
    if name in memory.gpu_reserve:
        yield from ("--reserve-vram", f"{(bytes_of(memory.gpu_reserve[name]) or 0) / _GIB:.1f}")


def _memory_variables(name: str, engine: str, optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    """Ollama's own words (envconfig/config.go), and those of the Vulkan backend below it (ggml-vulkan.cpp)."""
    if engine != "ollama":
        return
    if optimizer.memory.unified_memory:
        # GPUs that share the machine's memory are used, and a full one may take some of it: being set is enough.
        yield from (("OLLAMA_IGPU_ENABLE", "1"), ("GGML_VK_ALLOW_SYSMEM_FALLBACK", "1"))
    if name in optimizer.memory.gpu_reserve:
        yield "OLLAMA_GPU_OVERHEAD", str(bytes_of(optimizer.memory.gpu_reserve[name]))


def contradictions(name: str, command: str, environment: dict[str, str], options: Options) -> Iterator[tuple[str, str]]:
    """What a service's own data and the optimizer both say, or say against each other, with its cure."""
    words = {word.partition("=")[0] for word in command.split()}
    for flag in options.flags:
        if flag.startswith("--") and flag in words:
            yield f"services.{name}.command has {flag}, which the optimizer sets", "Take one of them out."
    for variable in sorted(set(environment) & set(options.environment)):
        yield f"services.{name}.environment has {variable}, which the optimizer sets", "Take one of them out."
    if kv_cache_without_flash_attention(environment):
        kind = environment["OLLAMA_KV_CACHE_TYPE"]
        yield (
            f"services.{name}.environment has OLLAMA_KV_CACHE_TYPE={kind} without flash attention",
            "Set OLLAMA_FLASH_ATTENTION to 1, or write f16: Ollama would keep f16 without a word.",
        )
