"""The IPEX flake at a pinned revision, and where Nix fetches from."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Flake:
    """The IPEX flake at a pinned revision.

    Attributes:
        url: a flake URL that names one revision, in Nix's own syntax.
        nar_hash: the hash Nix refuses anything else by (`locked.narHash` of `nix flake metadata --json`).
    """

    url: str
    nar_hash: str

    def output(self, package: str) -> str:
        """The flake reference of one package, pinned."""
        separator = "&" if "?" in self.url else "?"
        return f"{self.url}{separator}narHash={quote(self.nar_hash, safe='')}#{package}"


@dataclass(frozen=True)
class Nix:
    """Where Nix fetches from, in nix.conf's own terms; None keeps Nix's own default.

    Attributes:
        substituters: binary caches, first asked first; an empty list builds everything on the node.
        trusted_public_keys: keys whose signatures are believed.
    """

    substituters: tuple[str, ...] | None = None
    trusted_public_keys: tuple[str, ...] | None = None


def profile_of(package: str) -> str:
    """The Nix profile in which a package's generations are kept."""
    return f"/nix/var/nix/profiles/ipex/{package}"
