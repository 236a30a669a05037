"""One question to an engine on loopback that costs at most a few seconds, whatever the engine does."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from typing import Any

_SECONDS = 2.0
"""For the whole answer: one that drips in byte by byte ends, too."""
_LIMIT = 8 * 1024 * 1024


def ask(port: int, path: str) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the JSON of a 200 answer; none for anything else."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    alarm = threading.Timer(_SECONDS, _hang_up, (connection,))
    try:
        connection.connect()
        alarm.start()
        connection.request("GET", path)
        answer = connection.getresponse()
        return json.loads(answer.read(_LIMIT)) if answer.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError):
        return None
    finally:
        alarm.cancel()
        connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        connection.sock.shutdown(socket.SHUT_RDWR)
