"""What a gateway makes of the answers of nodes that are ill, or not what they seem."""

import asyncio
import json

import pytest

from ipex_node.gateway import question
from ipex_node.gateway.rotation import Heard
from ipex_node.gateway.settings import Backend


def heard(monkeypatch: pytest.MonkeyPatch, body: bytes) -> Heard:
    """Ask a node that answers this."""

    async def get(*_: object) -> tuple[int, bytes]:
        await asyncio.sleep(0)
        return 200, body

    monkeypatch.setattr(question, "get", get)
    return asyncio.run(question.ask(Backend("127.0.0.1", 9090, ("ollama",)), "g", out=False))[0]


@pytest.mark.parametrize("body", [b"[" * 60_000, b"[]", b"1", b"", b'{"ready": true, "services": []}', b"\xff"])
def test_any_answer_is_at_worst_a_silence(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    """One node's answer, as deep as it fits, must not end what follows all the others."""
    said = heard(monkeypatch, body)
    assert said.silence.startswith("no answer that can be understood")
    assert len(said.silence) <= 300


def test_a_nodes_words_are_fit_for_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """They stand in this gateway's journal, and a terminal shows them."""
    body = {"ready": False, "reason": f"draining: \x1b[2J{'x' * 9000}", "services": {"ollama": True}}
    said = heard(monkeypatch, json.dumps(body).encode())
    assert said.reason.startswith("draining: ")
    assert said.reason.isprintable()
    assert len(said.reason) == 300
