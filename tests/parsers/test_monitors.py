"""Everything a monitor gets, in every environment, judged by the programs that will read it."""

from pathlib import Path

import pytest

from fleet import desired, load
from fleet.generation import Generation
from tests.lab_fleet import Lab

pytestmark = pytest.mark.lab

ENVIRONMENTS = ("prod", "staging", "lab", "example")
_PLACE = "/run/monitors-test"
# What a monitor's own files are judged by; staging's monitor is a gateway, too, and units have test_exposure.py.
_ASKED = {"amtool", "prometheus-blackbox-exporter", "promtool"}


def generations(environment: str) -> list[Generation]:
    """What the monitors of an environment get."""
    fleet = load.from_file(f"inventory/{environment}.py")
    return [desired.generation(node, fleet) for node in fleet.with_role("monitors")]


def judged(lab: Lab, generation: Generation, folder: Path) -> dict[str, tuple[int, str]]:
    """Each program's exit status, and all it said, on the lab's monitor, which has all of them."""
    for file in generation.files:
        place = folder / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.content)
    monitor = lab.names("monitors")[0]
    lab.output(monitor, f"rm -rf {_PLACE}")
    lab.push(monitor, folder, _PLACE)
    found = {}
    for words in generation.manifest["validators"]:
        if words[0] in _ASKED:
            done = lab.run(monitor, " ".join(words).replace("{root}", _PLACE))
            found[words[0]] = done.returncode, done.stdout + done.stderr
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_environment_is_understood(lab: Lab, tmp_path: Path, environment: str) -> None:
    """Scrape jobs, targets, rules, routes, messages and probes; and promtool has read the rules, too."""
    for generation in generations(environment):
        found = judged(lab, generation, tmp_path / generation.node)

        assert set(found) == _ASKED
        assert {program: said for program, (status, said) in found.items() if status} == {}
        assert "3 rule files found" in found["promtool"][1]
        assert "1 templates" in found["amtool"][1]


def test_what_is_not_understood_is_noticed(lab: Lab, tmp_path: Path) -> None:
    """A rule that is no PromQL, and a route to nobody."""
    (generation,) = generations("lab")
    judged(lab, generation, tmp_path)
    monitor, at = lab.names("monitors")[0], f"{_PLACE}/etc/prometheus"
    lab.output(monitor, f"sed -i 's/vector(1)/vector(/' {at}/rules/alerts.yml")
    lab.output(monitor, f"sed -i 's/receiver: ticket/receiver: nowhere/' {at}/alertmanager.yml")

    assert lab.run(monitor, f"promtool check config {at}/prometheus.yml").returncode != 0
    assert lab.run(monitor, f"amtool check-config {at}/alertmanager.yml").returncode != 0
