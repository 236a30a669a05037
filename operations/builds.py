"""Build once: the depot's node realises what it does not have, before any node takes a closure from there."""

import base64
import io
import json
import tarfile
from collections.abc import Generator

from pyinfra.api.command import QuoteString
from pyinfra.api.operation import operation

from fleet import depot
from fleet.desired import nix
from fleet.desired.program import ipex_node
from fleet.plan import Work
from operations.node_command import NodeCommand
from operations.survey import Survey

# What no cache has may be compiled for hours.
_SECONDS = 12 * 3600

# Standard input holds the program and the request with its keys: in memory, for root alone, for as long as it runs.
_RUN = """set -eu
umask 077
directory=$(mktemp -d /run/ipex-request.XXXXXX)
trap 'rm -rf "$directory"' EXIT
base64 -d | tar -xzpf - -C "$directory" --no-same-owner
umask 022
"$directory/ipex-node" build "$directory/request.json"
"""


def once(work: Work, run: Survey) -> None:
    """Let the depot's node build what nodes of this run will need; nothing on any other node."""
    if work.node.serves_depot and run.closures:
        _built(name="Build closures", content=_content(work, run), _timeout=_SECONDS)


def _content(work: Work, run: Survey) -> bytes:
    kept, secrets = work.node.depot, run.fleet.secrets
    if kept is None:
        raise ValueError(work.node.name)
    conf = next(file.content for file in work.generation.files if file.path == nix.CONFIGURATION)
    request = {
        "references": run.closures,
        "cache_key": secrets.get(depot.CACHE_KEY).reveal(),
        "closure_key": secrets.get(depot.CLOSURE_KEY).reveal(),
        "nix_conf": conf.decode(),
        "cache_gb": kept.cache_gb,
        "free_gb": kept.free_gb,
        "nodes": [node.name for node in run.fleet.nodes],
        "needed": {name: list(said.status.get("held", ())) for name, said in run.answers.answers.items()},
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content, mode in (
            ("ipex-node", ipex_node(), 0o700),
            ("request.json", json.dumps(request).encode(), 0o600),
        ):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@operation()
def _built(content: bytes) -> Generator[NodeCommand, None, None]:
    yield NodeCommand("sh", "-c", QuoteString(_RUN), _stdin=base64.encodebytes(content).decode())
