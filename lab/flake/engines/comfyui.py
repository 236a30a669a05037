"""The lab's ComfyUI: starts as the real one starts, and serves its routes (comfyui_routes.py)."""

import argparse
import asyncio
import contextlib
import os
import sqlite3
import sys
from pathlib import Path

from . import faults
from .comfyui_options import options
from .comfyui_queue import PromptQueue
from .comfyui_routes import Routes
from .http import Server, complain

DIRECTORIES = ("input", "output", "temp", "user", "models")


def directories(chosen: argparse.Namespace) -> dict[str, Path]:
    """Create and return ComfyUI's directories by name.

    Raises:
        OSError: one cannot be created or written, or was named and does not exist.
    """
    found = {}
    for name in DIRECTORIES:
        named = getattr(chosen, f"{name}_directory")
        path = Path(named) if named else chosen.base_directory / name
        # The real one creates its own, but insists that a named user or models directory is there.
        if not (named and name in {"user", "models"}):
            path.mkdir(parents=True, exist_ok=True)
        # access(2) also knows a read-only mount.
        if not os.access(path, os.W_OK) and name != "models":
            raise PermissionError(13, "cannot be written", str(path))
        found[name] = path
    return found


def database(url: str | None, user: Path) -> None:
    """Create the SQLite file that ComfyUI keeps its assets in.

    Raises:
        sqlite3.Error: the place cannot be written.
    """
    path = url.removeprefix("sqlite:///") if url else str(user / "comfyui.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS assets (name TEXT PRIMARY KEY, created REAL)")
        connection.commit()


async def serve(chosen: argparse.Namespace, places: dict[str, Path], arguments: list[str]) -> None:
    """Serve until SIGTERM."""
    queue = PromptQueue(places["output"], places["temp"])
    routes = Routes(queue, places, chosen, arguments)
    limit = int(chosen.max_upload_size * 1024 * 1024)
    server = Server(routes.handle, body_limit=limit)
    worker = asyncio.ensure_future(queue.run())

    def started(port: int) -> None:
        print(f"Device: {routes.device()['name']}", flush=True)
        print(f"Starting server\n\nTo see the GUI go to: http://{chosen.listen}:{port}", flush=True)

    try:
        await server.run(chosen.listen.split(","), chosen.port, started)
    finally:
        worker.cancel()


def main() -> int:
    """Run ComfyUI with the arguments of the command line."""
    arguments = sys.argv[1:]
    chosen = options(arguments)
    if faults.current("comfyui").start == "exit":
        return complain("RuntimeError: level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)")
    try:
        places = directories(chosen)
        database(chosen.database_url, places["user"])
        asyncio.run(serve(chosen, places, ["main.py", *arguments]))
    except (OSError, sqlite3.Error) as error:
        return complain(f"{type(error).__name__}: {error}")
    return 0
