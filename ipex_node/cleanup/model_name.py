"""Names of Ollama's models: one model may be written in several ways."""

from __future__ import annotations


def full_name(name: str) -> str:
    """Return a model's name with all that Ollama completes: host, namespace and tag, in lower case.

    Ollama asks for a model without regard to case. Source: ollama/ollama, types/model/name.go, ParseName,
    DefaultName and EqualFold.
    """
    *places, last = name.strip().lower().rpartition("://")[2].split("/")
    model, _, tag = last.partition(":")
    namespace = places[-1] if places else "library"
    host = "/".join(places[:-1]) or "registry.ollama.ai"
    return f"{host}/{namespace}/{model}:{tag or 'latest'}"
