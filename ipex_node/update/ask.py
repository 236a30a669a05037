"""A node's side of the semaphore: ask for a turn, give it back."""

from __future__ import annotations

import json
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

from ipex_node import border, loopback
from ipex_node.update.semaphore import ASK, HEADER, RETURN
from ipex_node.update.turns import Refusal

if TYPE_CHECKING:
    from ipex_node.update.turns import Word

_SECONDS = 15.0
"""The semaphore asks all nodes whether they are ready before it answers."""
SILENT = "silent"
"""The kind of a refusal that nobody has said: no word is no turn."""


def turn(semaphore: tuple[str, int], node: str, role: str, serial: int) -> Refusal | None:
    """Ask for a turn; one that is held already is renewed. Nothing is said where it is granted."""
    return _said(semaphore, ASK, {"id": node, "group": role, "serial": serial})


def give_back(
    semaphore: tuple[str, int], params: tuple[str, str, int], word: Word, record: dict[str, Any]
) -> Refusal | None:
    """Give a turn back.

    Args:
        semaphore: Address and port.
        params: The node, its role, and the publication.
        word: What became of it.
        record: What the record of rollouts keeps of it.
    """
    node, role, serial = params
    question = {"id": node, "group": role, "serial": serial, "word": word, "record": record}
    return _said(semaphore, RETURN, question)


def _said(semaphore: tuple[str, int], path: str, params: dict[str, Any]) -> Refusal | None:
    connection = loopback.Connection(*semaphore, time.monotonic() + _SECONDS)
    body = json.dumps({"client_params": params})
    try:
        connection.request("POST", path, body, {HEADER: "true", "Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read(65536)
        if answer.status == 200:
            return None
        said = border.parse(text)
        return Refusal(border.words(str(said["kind"])), border.words(str(said["value"])))
    except (OSError, HTTPException) as error:
        return Refusal(SILENT, f"the semaphore at {semaphore[0]} port {semaphore[1]} does not answer: {error}")
    except (ValueError, KeyError, TypeError) as error:
        return Refusal(SILENT, f"the semaphore at {semaphore[0]} port {semaphore[1]} is not understood: {error!r}")
    finally:
        connection.close()
