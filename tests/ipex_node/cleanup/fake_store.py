"""A Nix store in a directory: links are its roots, and what no root needs is garbage."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ipex_node.world import Completed, World
from tests.ipex_node.fake_node import FakeNode


@dataclass
class FakeStore:
    """Answers nix-store on a fake node, and leaves all other commands to the node.

    Attributes:
        node: The node.
        needs: Store path to the paths it needs.
        asked: Every question to nix-store.
        broken: Whether nix-store fails.
    """

    node: FakeNode
    needs: dict[str, list[str]] = field(default_factory=dict)
    asked: list[list[str]] = field(default_factory=list)
    broken: bool = False

    @property
    def world(self) -> World:
        """The node's world, with this store in it."""
        return World(self.node.world.paths, self.run)

    def add(self, name: str, *needs: str) -> str:
        """Put a store path with a little content into the store."""
        path = self.node.on("/nix/store") / name
        path.mkdir(parents=True)
        (path / "content").write_bytes(b"x" * 4096)
        self.needs[str(path)] = list(needs)
        return str(path)

    def names(self) -> set[str]:
        """Name what is in the store."""
        return {path.name for path in self.node.on("/nix/store").glob("*")}

    def run(self, command: Sequence[str], *, show: bool = False) -> Completed:
        """Stand for nix-store."""
        if command[0] != "nix-store":
            return self.node.run(command, show=show)
        self.asked.append(list(command[1:]))
        if self.broken:
            return Completed(1, "", "error: cannot connect to socket")
        if command[1] == "--query":
            return Completed(0, _lines(self._closure(command[3:])), "")
        if command[-1] == "--print-roots":
            return Completed(0, _lines(f"{link} -> {path}" for link, path in self._roots().items()), "")
        dead = self._paths() - self._closure(self._roots().values())
        if command[-1] == "--gc":
            for path in dead:
                shutil.rmtree(path)
        return Completed(0, _lines(dead), "finding garbage collector roots...")

    def _paths(self) -> set[str]:
        return {str(path) for path in self.node.on("/nix/store").glob("*")}

    def _roots(self) -> dict[str, str]:
        """Follow the links that Nix knows: profiles' generations, and what `nix build --out-link` has made."""
        state = self.node.on("/var/lib/ipex/generations")
        links = [*self.node.on("/nix/var/nix/profiles").rglob("*-link"), *state.glob("*/closures/*")]
        found = {str(link): str(link.readlink()) for link in links}
        return {link: path for link, path in found.items() if Path(path).exists()}

    def _closure(self, paths: Iterable[str]) -> set[str]:
        open_ends, closure = list(paths), set[str]()
        while open_ends:
            path = open_ends.pop()
            if path not in closure:
                closure.add(path)
                open_ends += self.needs.get(path, [])
        return closure


def _lines(words: Iterable[str]) -> str:
    return "".join(f"{word}\n" for word in sorted(words))
