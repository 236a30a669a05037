"""What each engine makes of a precision, and why it makes nothing of some. A table; nothing else decides it.

Sources: ollama/ollama at fb3076099, fs/ggml/type.go (ParseFileType) and server/create.go (quantisation of F16, BF16 and
F32 only), docs/import.mdx; Comfy-Org/ComfyUI at 03294572, comfy/cli_args.py; intel/llm-scaler#512 (no int8 kernels for
XPU).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Can:
    """What an engine does for a precision.

    Attributes:
        flags: what its command line gains.
        quantize: what Ollama is told to quantise a model to (POST /api/create); empty where it keeps what it is given.
        note: what an operator should know.
    """

    flags: tuple[str, ...] = ()
    quantize: str = ""
    note: str = ""


@dataclass(frozen=True)
class Cannot:
    """Why an engine does nothing for it, and what to do instead."""

    why: str
    cure: str


PRECISIONS = ("int4", "int8", "fp8", "bf16", "fp16")
TABLE: Mapping[tuple[str, str], Can | Cannot] = {
    ("ollama", "int4"): Can(quantize="q4_K_M", note="about a quarter of the size; Ollama's own recommendation"),
    ("ollama", "int8"): Can(quantize="q8_0", note="about half the size, next to no loss"),
    ("ollama", "fp8"): Cannot("its quantiser has no fp8 (fs/ggml/type.go)", "Write int8: it takes as much memory."),
    ("ollama", "bf16"): Can(note="models run as they are: from BF16 sources"),
    ("ollama", "fp16"): Can(note="models run as they are: from F16 sources"),
    ("comfyui", "int4"): Cannot(
        "its core has no quantiser and no int4 weights", "Take a GGUF checkpoint by a custom node, or write fp8."
    ),
    ("comfyui", "int8"): Cannot("there are no int8 kernels for XPU", "Write fp8: as small, computed in bf16."),
    ("comfyui", "fp8"): Can(
        flags=("--fp8_e4m3fn-unet", "--fp8_e4m3fn-text-enc"), note="kept in fp8, computed in bf16 or fp16"
    ),
    ("comfyui", "bf16"): Can(flags=("--bf16-unet", "--bf16-vae"), note="what Arc computes fastest without overflow"),
    ("comfyui", "fp16"): Can(
        flags=("--fp16-unet",), note="the VAE keeps its own precision: in fp16 images may be black"
    ),
}
_UNQUANTISED = re.compile(r"(?:^|[-_.])(fp16|f16|bf16|fp32|f32)$", re.IGNORECASE)


def of(engine: str, precision: str) -> Can | Cannot:
    """What the engine makes of it."""
    found = TABLE.get((engine, precision))
    if found:
        return found
    if precision not in PRECISIONS:
        return Cannot("no such precision is known", f"Write one of {', '.join(PRECISIONS)}.")
    return Cannot(f"nothing is known of precisions of {engine}", "Leave the service out.")


def source_fault(source: str) -> Cannot | None:
    """Why a model cannot be quantised from this one; None where its tag says that it can.

    Ollama refuses to quantise what is quantised already, and a library's tag without a word of it is (Q4_K_M or Q4_0).
    """
    tag = source.partition(":")[2]
    if _UNQUANTISED.search(tag):
        return None
    return Cannot(
        f"{source} is not known to be unquantised, and Ollama quantises F16, BF16 and F32 models only",
        "Name a tag that ends in fp16, bf16 or f32, such as llama3.2:3b-instruct-fp16.",
    )


def refusals(engines: Mapping[str, str], precision: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What cannot be done: which service's precision and why, with its cure.

    Args:
        engines: service to engine.
        precision: service to precision.
    """
    for service, wanted in precision.items():
        where = f"optimizer.quantization.precision.{service}"
        if service not in engines:
            yield f"{where}: no such service", f"Known services: {', '.join(sorted(engines))}."
            continue
        found = of(engines[service], wanted)
        if isinstance(found, Cannot):
            yield f"{where} is {wanted!r}, which {engines[service]} cannot do: {found.why}", found.cure
