"""The models of a node's Ollama services, seen and removed through their own API."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ipex_node.cleanup.plan import Model
from ipex_node.client import Client
from ipex_node.failure import failed

if TYPE_CHECKING:
    from ipex_node.settings import Service

_SECONDS = 30.0
"""Longest wait for an answer: a removal deletes files of many gigabytes."""


def listed(service: Service) -> list[Model]:
    """Return the models a service has (Ollama's docs/api.md, GET /api/tags).

    Raises:
        FailedError: It does not answer, or not in Ollama's words.
    """
    answer = _client(service).get_json("/api/tags")
    try:
        return [Model(str(one["name"]), int(one.get("size") or 0), service.name) for one in answer["models"] or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise failed(f"{service.name}: GET /api/tags", "answers no list of models") from error


def remove(service: Service, name: str) -> None:
    """Let a service remove a model (Ollama's docs/api.md, DELETE /api/delete).

    Raises:
        FailedError: It does not.
    """
    _client(service).delete("/api/delete", {"model": name})


def _client(service: Service) -> Client:
    return Client(f"http://127.0.0.1:{service.port}", time.monotonic() + _SECONDS)
