"""Models that a node makes itself, by Ollama's own quantiser, and what is missing of the declared ones.

Ollama quantises F16, BF16 and F32 alone (server/create.go), with POST /api/create {"model", "from", "quantize"}
(docs/api.md); it does that on the processor and needs no calibration data.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipex_node import border
from ipex_node.cleanup.model_name import full_name
from ipex_node.client import Client
from ipex_node.failure import FailedError, Failure, failed
from ipex_node.world import progress

if TYPE_CHECKING:
    from ipex_node.optimizer.settings import Optimizer
    from ipex_node.settings import Service

MAKE_SECONDS = 3600.0
"""Longest time for one model: a pull of its source and the quantiser."""
UNQUANTISED = ("F16", "BF16", "F32")
"""What /api/show says of a model that may be quantised (details.quantization_level)."""


def update(service: Service, optimizer: Optimizer) -> tuple[list[str], list[str], list[Failure]]:
    """Make what is missing and can be made.

    Returns:
        The models that were made, the declared ones that are still missing, and what went wrong.
    """
    url = f"http://127.0.0.1:{service.port}"
    made: list[str] = []
    failures: list[Failure] = []
    for name, source in optimizer.made.items():
        try:
            if full_name(name) not in _names(url):
                make(url, name, source, optimizer.quantize.get(service.name, ""))
                made.append(name)
        except FailedError as error:
            failures += error.failures
    try:
        there = _names(url)
        missing = [name for name in service.models if full_name(name) not in there]
    except FailedError as error:
        missing, failures = [], [*failures, *error.failures]
    return made, missing, failures


def make(url: str, name: str, source: str, quantize: str, seconds: float = MAKE_SECONDS) -> None:
    """Make one model from another.

    Args:
        url: Scheme, address and port of Ollama.
        name: What it is called.
        source: The unquantised model; pulled where it is not there.
        quantize: Ollama's name of the type; empty to keep it as it is.
        seconds: Longest time.

    Raises:
        FailedError: The source is quantised already, or Ollama could not.
    """
    client = Client(url, time.monotonic() + seconds)
    if full_name(source) not in _names(url):
        _stream(client, "/api/pull", {"model": source}, f"{source} cannot be pulled")
    level = str((client.post_json("/api/show", {"model": source}).get("details") or {}).get("quantization_level", ""))
    if quantize and level.upper() not in UNQUANTISED:
        why = f"{source} is quantised already ({level or 'nothing is said of it'}), and that is done once only"
        raise failed(name, why, "name an unquantised source, such as one whose tag ends in fp16")
    progress(f"{name}: {source} as {quantize or level}")
    question = {"model": name, "from": source, **({"quantize": quantize} if quantize else {})}
    _stream(client, "/api/create", question, f"{name} cannot be made from {source}")


def _stream(client: Client, path: str, question: dict[str, str], what: str) -> None:
    last: object = {}
    for _, line in client.stream(path, question):
        last = border.parse(line)
    if not isinstance(last, dict) or last.get("status") != "success":
        raise failed(f"POST {path}", f"{what}: {str(last)[:300]}")


def _names(url: str) -> set[str]:
    found = Client(url, time.monotonic() + 10).get_json("/api/tags").get("models") or []
    return {full_name(str(one.get("name", ""))) for one in found}
