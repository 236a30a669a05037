"""The software bill of materials of a release: `make sbom`, or `python -m tools.sbom [--inventory FILE] [--ask]`.

Writes CycloneDX 1.6 to build/sbom: `controller.cdx.json`, the locked packages that run on the controller and in tests,
with their hashes; `fleet.cdx.json`, what the fleet's nodes get: Debian packages by role, the outputs of the flake and
its own pinned inputs. With --ask the nodes say which versions of the packages they have, and every path of the Nix
store that their generations need.
"""

import argparse
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from fleet import desired, load
from fleet.model import Fleet

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "sbom"
_PROGRAMS = Path(sys.executable).parent
# /nix/store/HASH-NAME-VERSION: the version begins with the first digit behind a dash.
_STORE = re.compile(r"/nix/store/(?P<hash>[a-z0-9]{32})-(?P<name>.+?)(?:-(?P<version>\d[^-]*(?:-[^-]+)*))?$")
_DEBIAN = "dpkg-query -W -f '${binary:Package} ${Version} ${Architecture}\\n'"
# The packages of every generation that the node still keeps for going back, too: they are on its disk.
_NIX = "nix-store --query --requisites $(find /var/lib/ipex -type l -lname '/nix/store/*' -exec readlink {} +)"


def main() -> int:
    """Write both; 1 where a node that is asked does not answer."""
    parser = argparse.ArgumentParser(prog="python -m tools.sbom", description=__doc__)
    parser.add_argument("--inventory", default="inventory/example.py", help="the fleet; default: the example's")
    parser.add_argument("--ask", action="store_true", help="ask its nodes for versions and store paths")
    options = parser.parse_args()
    BUILD.mkdir(parents=True, exist_ok=True)
    controller(BUILD / "controller.cdx.json")
    fleet = load.from_file(options.inventory)
    components = {str(one.purl): one for one in (*declared(fleet), *pinned(ROOT / "flake.lock"))}
    silent: set[str] = set()
    if options.ask:
        found, silent = ask(options.inventory, fleet)
        components |= {str(one.purl): one for one in found}
    write(BUILD / "fleet.cdx.json", components.values())
    for path in sorted(BUILD.glob("*.cdx.json")):
        print(f"{path.relative_to(ROOT)}: {len(json.loads(path.read_text())['components'])} components")
    if silent:
        print(f"No answer from {', '.join(sorted(silent))}: the bill is not whole", file=sys.stderr)
    return int(bool(silent))


def controller(path: Path) -> None:
    """Write the locked Python packages, with their hashes, by cyclonedx-py."""
    command = [str(_PROGRAMS / "cyclonedx-py"), "requirements", "requirements.lock", "--pyproject", "pyproject.toml"]
    options = ["--short-PURLs", "--output-reproducible", "--sv", "1.6", "--of", "JSON", "-o", str(path)]
    subprocess.run([*command, *options], cwd=ROOT, check=True, stderr=subprocess.DEVNULL)


def declared(fleet: Fleet) -> Iterator[Component]:
    """Yield what the nodes of a fleet are given: Debian's packages, without versions, and outputs of its flake."""
    for node in fleet.nodes:
        generation = desired.generation(node, fleet)
        for name in generation.packages:
            yield debian(name)
        for pin in (pin for part in generation.parts for pin in part.closures.values()):
            source, _, output = pin.partition("#")
            yield _component(
                output.rpartition(".")[2], None, PackageURL("generic", None, output, None, {"flake": source})
            )


def pinned(lock: Path) -> Iterator[Component]:
    """Yield the inputs of our own flake, by revision."""
    for node in json.loads(lock.read_text())["nodes"].values():
        if locked := node.get("locked"):
            purl = PackageURL("github", locked["owner"], locked["repo"], locked["rev"])
            yield _component(locked["repo"], locked["rev"], purl)


def ask(inventory: str, fleet: Fleet) -> tuple[list[Component], set[str]]:
    """Ask every node what it has; return that, and the nodes that gave no answer."""
    packages, store = _lines(inventory, _DEBIAN), _lines(inventory, _NIX)
    found = [debian(*line.split()) for lines in packages.values() for line in lines if len(line.split()) == 3]
    found += [one for lines in store.values() for line in lines if (one := nix(line))]
    return found, {node.name for node in fleet.nodes} - set(packages)


def _lines(inventory: str, command: str) -> dict[str, list[str]]:
    run = [str(_PROGRAMS / "pyinfra"), "-y", inventory, "exec", "--", command]
    printed = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=False).stdout
    lines: dict[str, list[str]] = {}
    for node, line in re.findall(r"^\[([^\]]+)\]\s+(\S.*)$", printed, re.MULTILINE):
        lines.setdefault(node, []).append(line)
    return lines


def debian(name: str, version: str | None = None, architecture: str | None = None) -> Component:
    """A package of Debian's."""
    name = name.partition(":")[0]
    about = {"arch": architecture} if architecture else None
    return _component(name, version, PackageURL("deb", "debian", name, version, about))


def nix(path: str) -> Component | None:
    """A path of the Nix store; none where it is something else."""
    match = _STORE.match(path)
    if not match:
        return None
    purl = PackageURL("generic", "nix", match["name"], match["version"], {"store_hash": match["hash"]})
    return _component(match["name"], match["version"], purl)


def _component(name: str, version: str | None, purl: PackageURL) -> Component:
    return Component(name=name, version=version, purl=purl, type=ComponentType.LIBRARY, bom_ref=str(purl))


def write(path: Path, components: Iterable[Component]) -> None:
    """Write a bill of these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    bom = Bom(components=components)
    bom.metadata.component = Component(name=project["name"], version=project["version"], type=ComponentType.APPLICATION)
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
