"""A lab engine that writes down every byte it is sent: `recording_engine.py RECORD ENGINE [ARGUMENT...]`.

It is a program of its own, and not a tap before the engine: when it is killed, its connections break as an engine's do.
A line of the record is JSON: the connection's number, and what came on it (latin-1). It is written before the engine
sees those bytes, so whoever has had an answer finds the request in the record.
"""

import asyncio
import importlib
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "lab" / "flake"))

http: Any = importlib.import_module("engines.http")

_NUMBERS = itertools.count()
_RECORD = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


class Recording(http.Protocol):  # type: ignore[misc]
    """The engines' protocol, with a record."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Number the connection."""
        self._number = next(_NUMBERS)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Write down what came, then let the engine have it."""
        line = json.dumps({"connection": self._number, "data": data.decode("latin-1")}) + "\n"
        os.write(_RECORD, line.encode())
        super().data_received(data)


async def _anything(request: Any) -> Any:
    """Answer like a program of the monitors that knows every path."""
    return http.Response({"method": request.method, "path": request.path})


def _monitor() -> int:
    host, _, port = sys.argv[1].rpartition(":")
    server = http.Server(_anything, body_limit=1024 * 1024)
    asyncio.run(server.run([host], int(port), lambda _port: None))
    return 0


if __name__ == "__main__":
    http.Protocol = Recording
    _, _, engine, *arguments = sys.argv
    sys.argv[1:] = arguments
    sys.exit(_monitor() if engine == "monitor" else importlib.import_module(f"engines.{engine}").main())
