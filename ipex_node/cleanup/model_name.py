"""Names of Ollama's models: one model may be written in several ways."""

from __future__ import annotations

HOST = "registry.ollama.ai"
"""Whose models are meant where a name says no host."""


def full_name(name: str) -> str:
    """Return a model's name with all that Ollama completes: host, namespace and tag, in lower case.

    Ollama asks for a model without regard to case. Source: ollama/ollama, types/model/name.go, ParseName,
    DefaultName and EqualFold.
    """
    host, namespace, model, tag = parts(name.lower())
    return f"{host}/{namespace}/{model}:{tag}"


def parts(name: str) -> tuple[str, str, str, str]:
    """Return host, namespace, model and tag of a name, completed as Ollama does; letters stay as they are written."""
    *places, last = name.strip().rpartition("://")[2].split("/")
    model, _, tag = last.partition(":")
    return "/".join(places[:-1]) or HOST, places[-1] if places else "library", model, tag or "latest"
