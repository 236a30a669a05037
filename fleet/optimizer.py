"""How models run better on a GPU node: the brief's model optimizer, as data."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

Period = Literal["daily", "weekly", "monthly"]
PERIOD_SECONDS = {"daily": 86400, "weekly": 604800, "monthly": 28 * 86400}
"""The shortest each may be."""
CACHE_ROOT = "/var/cache/"
"""What CacheDirectory= is relative to (systemd.exec(5))."""
DEFAULTS = {
    "OLLAMA_NUM_PARALLEL": "1",
    "OLLAMA_KV_CACHE_TYPE": "f16",
    "OLLAMA_FLASH_ATTENTION": "1",
    "OLLAMA_MAX_LOADED_MODELS": "0",
    "OLLAMA_CONTEXT_LENGTH": "0",
    "OLLAMA_GPU_OVERHEAD": "0",
}
"""What Ollama takes without being told (ollama/ollama at fb3076099, envconfig/config.go). What is tuned stands here, so
that the declared setting is one of the grid's."""
MOST_SETTINGS = 24
"""Settings of a tuning: each costs two restarts of an engine on a node that serves nobody meanwhile."""
_SIZE = r"[1-9][0-9]*[KMGT]?"


@dataclass(frozen=True)
class Quantization:
    """In which precision models are kept and computed.

    Attributes:
        enable: whether precision and models mean anything.
        precision: service to precision; a service that is not named chooses by itself. What an engine can really do
            stands in fleet/precision.py.
        calibration_dataset: always None: no engine of the fleet takes one.
        models: Ollama's models that a node makes itself, each with the unquantised model it is made from.
    """

    enable: bool
    precision: Mapping[str, str]
    calibration_dataset: str | None
    models: Mapping[str, str]


@dataclass(frozen=True)
class Memory:
    """How engines share the machine's memory with the GPU's; sizes in systemd's spelling.

    Attributes:
        unified_memory: whether an engine may use the machine's memory where the GPU's is full or is the same.
        memory_pool: what an engine may keep in the machine's memory for later; a service that is not named has the
            swap_threshold's share of its memory_max.
        swap_threshold: share of memory_max above which the kernel reclaims and swaps; what is left may be swapped.
        gpu_reserve: memory of the GPU that a service leaves to others.
    """

    unified_memory: bool
    memory_pool: Mapping[str, str]
    swap_threshold: float
    gpu_reserve: Mapping[str, str]


@dataclass(frozen=True)
class Schedule:
    """When the optimizer works by itself.

    Attributes:
        model_update, cache_cleanup, performance_tuning: how often.
        spread: how far the nodes are spread behind that time (RandomizedDelaySec=, always the same for one node);
            tunings have slots instead, one node after the other.
    """

    model_update: Period
    cache_cleanup: Period
    performance_tuning: Period
    spread: str


@dataclass(frozen=True)
class Tuning:
    """Which settings are measured, and what must come of it.

    Attributes:
        grid: variables of Ollama's environment with the values that are tried, in all combinations.
        clients: requests at a time.
        rounds: measurements of one setting; their median counts.
        tokens: what each request asks for.
        gain: share by which a setting must be faster than the declared one to be proposed.
        loss: share by which a release may be slower than the one before it on the same GPU; more is a regression.
        apply: whether tasks/tune.py takes over what it proposes: inventory/ENV.tuned.json, and a deploy.
    """

    grid: Mapping[str, tuple[str, ...]]
    clients: int
    rounds: int
    tokens: int
    gain: float
    loss: float
    apply: bool

    def settings(self) -> tuple[dict[str, str], ...]:
        """All combinations that Ollama can run: a quantised KV cache needs flash attention (docs/faq.mdx)."""
        names = sorted(self.grid)
        every = (dict(zip(names, values, strict=True)) for values in product(*(self.grid[name] for name in names)))
        return tuple(one for one in every if not kv_cache_without_flash_attention(one))

    def longest_seconds(self, probe_seconds: int, drain_seconds: int) -> int:
        """How long a whole tuning may take: each setting, and the declared one at its beginning and end."""
        return drain_seconds + (len(self.settings()) + 2) * 2 * probe_seconds + 300


@dataclass(frozen=True)
class Optimizer:
    """The model optimizer of a GPU node.

    Attributes:
        enable: whether anything of it is done.
        auto_compile: whether engines keep what they have compiled for the GPU, and may compile models (torch.compile).
        compilation_cache: where, a directory of its own below /var/cache.
        cache_gb: what the caches of one engine may take (10^9 bytes), those of the release before it beside that.
        cache_days: after how long without use a compiled file goes.
    """

    enable: bool
    auto_compile: bool
    compilation_cache: str
    cache_gb: int
    cache_days: int
    quantization: Quantization
    memory: Memory
    schedule: Schedule
    tuning: Tuning


def kv_cache_without_flash_attention(environment: Mapping[str, str]) -> bool:
    """Whether Ollama would quietly keep f16. Source: ollama/ollama, docs/faq.mdx, OLLAMA_KV_CACHE_TYPE."""
    quantised = environment.get("OLLAMA_KV_CACHE_TYPE", "f16") != "f16"
    return quantised and environment.get("OLLAMA_FLASH_ATTENTION", "1").lower() in {"0", "false"}


def nonsense(optimizer: Optimizer) -> Iterator[tuple[str, str]]:
    """What of it cannot be meant on any node, each with its cure."""
    memory, spread, place = optimizer.memory, optimizer.schedule.spread, optimizer.compilation_cache
    sizes = sorted({*memory.memory_pool.values(), *memory.gpu_reserve.values()})
    own = re.fullmatch(rf"{CACHE_ROOT}[a-z0-9][a-z0-9-]*", place)
    good_sizes = all(re.fullmatch(_SIZE, size) for size in sizes)
    share = 0 < memory.swap_threshold <= 1
    for fits, name, value, cure in (
        (own, "compilation_cache", place, "Write a directory of its own like /var/cache/ipex-models."),
        (optimizer.cache_gb >= 1, "cache_gb", optimizer.cache_gb, "Write 1 or more."),
        (optimizer.cache_days >= 1, "cache_days", optimizer.cache_days, "Write 1 or more."),
        (share, "memory.swap_threshold", memory.swap_threshold, "Write a share like 0.8; 1.0 for none."),
        (good_sizes, "memory's sizes", sizes, "Write them like 4G."),
        (re.fullmatch(r"[0-9]+(s|min|h|d)", spread), "schedule.spread", spread, "Write it like 2h."),
        *_of_tuning(optimizer.tuning),
    ):
        if not fits:
            yield f"optimizer.{name} is {value!r}", cure


def _of_tuning(tuning: Tuning) -> Iterator[tuple[object, str, object, str]]:
    names, values = sorted(tuning.grid), [value for some in tuning.grid.values() for value in some]
    known = set(names) <= set(DEFAULTS)
    spelt = all(re.fullmatch(r"[A-Za-z0-9_.-]+", value) for value in values)
    number = len(tuning.settings())
    yield known, "tuning.grid", names, f"Name some of {', '.join(DEFAULTS)}."
    yield spelt, "tuning.grid", values, "Write values of letters, digits and dots."
    yield 0 < number <= MOST_SETTINGS, "tuning.grid", f"{number} settings", f"Try 1 to {MOST_SETTINGS} of them."
    yield 1 <= tuning.clients <= 64, "tuning.clients", tuning.clients, "Write 1 to 64."
    yield 1 <= tuning.rounds <= 20, "tuning.rounds", tuning.rounds, "Write 1 to 20."
    yield 1 <= tuning.tokens <= 4096, "tuning.tokens", tuning.tokens, "Write 1 to 4096."
    yield 0 < tuning.gain < 1, "tuning.gain", tuning.gain, "Write a share like 0.1."
    yield 0 < tuning.loss < 1, "tuning.loss", tuning.loss, "Write a share like 0.1."
