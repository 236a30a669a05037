"""Take a closure from the depot: never evaluated, never built, believed by its signatures alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import signature
from ipex_node.depot.settings import GB, Settings, name_of
from ipex_node.failure import failed

if TYPE_CHECKING:
    from ipex_node.world import World

_SECONDS = 20.0
_MOST_BYTES = 65536
STORE = "/nix/store"
STORE_PATH = re.compile(r"/nix/store/[0-9a-z]{32}-[0-9A-Za-z+._?=-]+")
_RELEASE = "deploy again without --limit: the depot's node builds what it has not"


def take(world: World, depot: Settings, reference: str, out_link: Path, root: Path) -> str:
    """Bring a closure from the depot into the store, rooted, and return its store path.

    Args:
        world: The node.
        depot: Where the depot is.
        reference: A flake reference with its attribute, as the builder was given it.
        out_link: Link to the result; Nix registers it as a root.
        root: The staged generation's files: its own nix.conf and signers hold for this call.

    Raises:
        FailedError: The depot does not have it, it is not signed, or it cannot be copied. The store has no path that
            is not whole and signed, and the next attempt goes on with those it has.
    """
    told = _told(world, depot, reference, root / signature.SIGNERS.lstrip("/"))
    path = str(told["path"])
    if not os.path.lexists(path):
        require_room(Path("/nix"), int(told["bytes"]), depot.free_gb)
    cache = f"{depot.source}/cache"
    options = {
        "substituters": cache,
        "extra-substituters": "",
        "require-sigs": "true",
        "max-jobs": "0",
        "builders": "",
        "fallback": "false",
        # What was missing a moment ago may be there now.
        "narinfo-cache-negative-ttl": "0",
        "narinfo-cache-positive-ttl": "0",
    }
    words = [word for name, value in options.items() for word in ("--option", name, value)]
    environment = ["env", f"NIX_USER_CONF_FILES={root / 'etc/nix/nix.conf'}"]
    features = ["--extra-experimental-features", "nix-command"]
    command = [*environment, "nix", *features, "build", *words, "--out-link", str(out_link), path]
    done = world.run(command, show=True)
    if done.returncode == 127:
        raise failed("nix", done.complaint, "install nix-bin and nix-setup-systemd")
    if done.returncode != 0:
        raise failed(
            reference,
            f"could not be taken from the depot {depot.source}:\n{done.complaint}",
            "deploy again, which goes on where this ended; where a signature or a hash is wrong, run `ipex-node "
            "depot-check` on the depot's node, which takes what is damaged out",
        )
    return os.path.realpath(out_link)


def require_room(place: Path, wanted: int, spare_gb: int) -> None:
    """Refuse what would fill a file system.

    Args:
        place: Somewhere on it.
        wanted: Bytes that are about to be written.
        spare_gb: What must stay free behind that (10^9 bytes).

    Raises:
        FailedError: There is not so much room.
    """
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < wanted + spare_gb * GB:
        raise failed(
            str(place),
            f"{free / GB:.1f} GB are free; {wanted / GB:.1f} are needed, and {spare_gb} must stay free (depot.free_gb)",
            "free some (ipex-node cleanup --dry says what may go), then deploy again: nothing has been changed",
        )


def _told(world: World, depot: Settings, reference: str, signers: Path) -> dict[str, Any]:
    """Ask which store path a reference is, and believe it only if the builder has signed that."""
    address = f"{depot.source}/closures/{name_of(reference)}.json"
    text = fetched(address)
    signature.verify(world.run, text, fetched(f"{address}.sig"), signature.CLOSURES, signers)
    told: dict[str, Any] = json.loads(text)
    if told.get("reference") != reference or not STORE_PATH.fullmatch(str(told.get("path"))):
        raise failed(address, "is signed, and speaks of something else", _RELEASE)
    return told


def fetched(address: str) -> bytes:
    """Fetch a small file from the depot.

    Raises:
        FailedError: It is not there, too long, or the depot does not answer.
    """
    try:
        with urllib.request.urlopen(address, timeout=_SECONDS) as answer:  # noqa: S310 - http or file, from settings
            content: bytes = answer.read(_MOST_BYTES + 1)
    except (urllib.error.URLError, OSError) as error:
        raise failed(address, f"cannot be had from the depot: {error}", _RELEASE) from error
    if len(content) > _MOST_BYTES:
        raise failed(address, f"is longer than {_MOST_BYTES} bytes", _RELEASE)
    return content
