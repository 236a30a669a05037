import json
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LOCKED = json.loads((REPOSITORY / "flake.lock").read_text())["nodes"]["nixpkgs"]


def test_nixpkgs_is_pinned_by_revision_and_hash() -> None:
    """Both are there in full, so that every node gets the same tree or none."""
    locked = LOCKED["locked"]
    assert re.fullmatch(r"[0-9a-f]{40}", locked["rev"])
    assert re.fullmatch(r"sha256-[A-Za-z0-9+/]{43}=", locked["narHash"])


def test_the_lock_belongs_to_the_input() -> None:
    """A lock for another URL than flake.nix names would be resolved anew, to whatever is newest."""
    original = LOCKED["original"]
    url = f"{original['type']}:{original['owner']}/{original['repo']}/{original['ref']}"
    assert f'inputs.nixpkgs.url = "{url}";' in (REPOSITORY / "flake.nix").read_text()
