"""What a fleet may look like, told by the program that writes the front page's data."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fleet import desired
from fleet.model import Fleet
from ipex_node.gateway import numbers, question, settings, view
from ipex_node.gateway.objectives import Budget
from ipex_node.gateway.rotation import Heard, Rotation
from ipex_node.gateway.settings import GatewaySettings
from ipex_node.paths import Paths

NOW = 1_790_000_000.0
"""The moment of every story."""
RECORDED = Path(__file__).parents[1] / "recorded"
MARKUP = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
BUDGETS = (
    Budget("availability", "comfyui", 0.74),
    Budget("availability", "ollama", 0.9311),
    Budget("latency", "ollama", 0.58),
)
_PAGES = {"gpu-01": "a770-i915.prom", "gpu-02": "b580-xe.prom", "gpu-03": "two-gpus.prom"}
_SILENT = Heard(silence="no answer within 0.7 s")


class Told:
    """A gateway that has heard things.

    Args:
        root: Where its settings may lie.
        fleet: Its fleet.
        names: Its GPU nodes; the fleet's own without it.
    """

    def __init__(self, root: Path, fleet: Fleet, names: list[str] | None = None) -> None:
        self.settings = _settings(root, fleet, names)
        self._rotation = Rotation(self.settings.members(), 2, 2, 0.5)
        self._known = {node: view.Known() for node in self.settings.nodes}
        for place, node in enumerate(self.settings.nodes):
            self.hears(node, in_flight={"ollama": (place + 2) % 4, "comfyui": place % 2})
            page = RECORDED / _PAGES.get(node, "a770-i915.prom")
            self._known[node].gpus, self._known[node].gpus_at = numbers.read(page.read_bytes()), NOW - 4

    def hears(self, node: str, **answer: Any) -> None:
        """Take in an answer of a node's agent, often enough to act on it."""
        services = dict.fromkeys(self.settings.nodes[node].services, True)
        said = {"ready": True, "reason": "", "services": services, "generation": "4f1c09aa83d2b7e6", **answer}
        self._hears(node, question._heard(said))
        self._known[node].heard_at = NOW - 1

    def hears_nothing(self, node: str, seconds: int) -> None:
        """Take in that a node has been silent so long."""
        self._known[node].heard_at, self._known[node].silence = NOW - seconds, True
        self._known[node].gpus_at = NOW - seconds
        self._hears(node, _SILENT)

    def never_heard(self, node: str) -> None:
        """Take in that a node has never said anything."""
        self._known[node] = view.Known()
        self._hears(node, _SILENT)

    def gpus(self, node: str, page: bytes) -> None:
        """Take in a page of metrics."""
        self._known[node].gpus = numbers.read(page)

    def data(self, budgets: tuple[Budget, ...] | None = BUDGETS) -> dict[str, Any]:
        """Return what the page is given."""
        found: dict[str, Any] = json.loads(
            json.dumps(view.fleet(self.settings, self._rotation, self._known, budgets, NOW), allow_nan=False)
        )
        return found

    def _hears(self, node: str, heard: Heard) -> None:
        if not heard.silence:
            self._known[node].heard, self._known[node].silence = heard, False
        for _ in range(3):
            self._rotation.hear(node, heard)


def _settings(root: Path, fleet: Fleet, names: list[str] | None) -> GatewaySettings:
    files = desired.generation(fleet["gateway-01"], fleet).files
    raw = json.loads(next(file.content for file in files if file.path == settings.SETTINGS))
    if names is not None:
        backend = {**raw["nodes"]["gpu-01"], "services": ["ollama", "comfyui"]}
        raw["nodes"] = dict.fromkeys(names, backend)
    path = root / settings.SETTINGS.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(raw))
    return settings.load(Paths(root))


def healthy(root: Path, fleet: Fleet) -> dict[str, Any]:
    """All is well."""
    return Told(root, fleet).data()


def condemned(root: Path, fleet: Fleet) -> dict[str, Any]:
    """The health monitor of one node has taken an engine out."""
    told = Told(root, fleet)
    out = {"ollama": "ollama:generates: no token within 180 s"}
    told.hears("gpu-02", services={"ollama": False, "comfyui": True}, out=out, in_flight={"ollama": 0, "comfyui": 1})
    return told.data((*BUDGETS[:2], Budget("latency", "ollama", -0.2)))


def draining(root: Path, fleet: Fleet) -> dict[str, Any]:
    """One node asks to be left out, for a reason that an operator has given."""
    told = Told(root, fleet)
    told.hears("gpu-02", ready=False, reason="draining: new fans", in_flight={"ollama": 2, "comfyui": 0})
    return told.data()


def silent(root: Path, fleet: Fleet) -> dict[str, Any]:
    """No node answers any more; one never has."""
    told = Told(root, fleet)
    told.hears_nothing("gpu-01", 90)
    told.hears_nothing("gpu-02", 4000)
    told.never_heard("gpu-03")
    return told.data(None)


def empty(root: Path, fleet: Fleet) -> dict[str, Any]:
    """A fleet without GPU nodes."""
    return Told(root, fleet, []).data(None)


def hundred(root: Path, fleet: Fleet) -> dict[str, Any]:
    """A hundred nodes, a few of them not well."""
    told = Told(root, fleet, [f"gpu-{number:03}" for number in range(1, 101)])
    told.hears("gpu-017", ready=False, reason="activating")
    told.hears("gpu-042", services={"ollama": True, "comfyui": False})
    told.hears_nothing("gpu-063", 7300)
    return told.data()


def hostile(root: Path, fleet: Fleet) -> dict[str, Any]:
    """Names and words that are markup."""
    told = Told(root, fleet, [f"gpu-{MARKUP}", "gpu-02"])
    out = {"ollama": MARKUP}
    told.hears(
        f"gpu-{MARKUP}",
        ready=False,
        reason=f"draining: {MARKUP * 9}",
        generation=MARKUP,
        services={"ollama": False},
        out=out,
    )
    markup = MARKUP.replace('"', "'")
    told.gpus(f"gpu-{MARKUP}", f'ipex_gpu_info{{gpu="card0",pci_id="{markup}",driver="{markup}"}} 1\n'.encode())
    return told.data()


STORIES: Mapping[str, Callable[[Path, Fleet], dict[str, Any]]] = {
    story.__name__: story for story in (healthy, condemned, draining, silent, empty, hundred, hostile)
}
