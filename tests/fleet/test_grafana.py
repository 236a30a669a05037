"""Grafana on a monitor, in each of the ways data allow."""

import configparser
import dataclasses
from typing import Any

import pytest

from fleet import checks, load
from fleet.desired import grafana
from fleet.generation import Part
from fleet.model import Fleet


def part(fleet: Fleet, **changes: Any) -> Part:
    """What the fleet's first monitor gets, with other data."""
    monitor = fleet.with_role("monitors")[0]
    assert monitor.grafana
    assert monitor.prometheus
    return grafana.part(monitor, dataclasses.replace(monitor.grafana, **changes), monitor.prometheus, fleet)


def content(made: Part, name: str) -> str:
    """A file whose path ends so."""
    return next(file.content.decode() for file in made.files if file.path.endswith(name))


def settings(made: Part) -> configparser.ConfigParser:
    """Grafana's settings, read as it reads them."""
    read = configparser.ConfigParser(interpolation=None)
    read.read_string(content(made, "/grafana.ini"))
    return read


def test_absent_everything_is_written_and_nothing_runs(example: Fleet) -> None:
    """The same data source and dashboards as where it is installed; no package, closure, unit or probe."""
    absent, installed = part(example, installed="absent"), part(example)

    assert (absent.packages, dict(absent.closures), absent.units, absent.validators, absent.probes) == (
        (),
        {},
        (),
        (),
        (),
    )
    left_out = {file.path for file in installed.files} - {file.path for file in absent.files}
    assert left_out == {
        "/etc/systemd/system/grafana-server.service",
        "/etc/ipex/secrets/grafana/admin_password",
    }


def test_the_lab_goes_without_and_its_port_is_free() -> None:
    """By declaration: it reaches neither a binary cache nor Grafana's repository."""
    monitor = load.from_file("inventory/lab.py").with_role("monitors")[0]

    assert monitor.grafana
    assert not monitor.grafana.listens
    assert "grafana" not in {owner for _, owner in monitor.ports()}


def test_from_the_flake_it_is_pinned_like_the_engines(example: Fleet) -> None:
    """The same revision, a profile of its own, and a unit that is told when the profile changes."""
    made = part(example)
    (profile,) = made.closures

    assert made.closures[profile] == example["monitor-01"].flake.output("grafana")
    assert profile in made.units[0].inputs
    assert f"ExecStart={profile}/bin/grafana server --homepath {profile}/share/grafana" in content(made, ".service")


def test_from_a_package_it_is_the_packages_own_program(example: Fleet) -> None:
    """No closure, no Nix; the unit has the package's name, so that only one of the two ever runs."""
    made = part(example, installed="apt")

    assert made.packages == ("grafana",)
    assert not made.closures
    assert "/etc/nix/nix.conf" not in {file.path for file in made.files}
    assert "ExecStart=/usr/share/grafana/bin/grafana server --homepath /usr/share/grafana" in content(made, ".service")


def test_a_gpu_node_that_is_a_monitor_has_one_nix_conf(example: Fleet) -> None:
    """Its engines bring it already."""
    monitor = example["monitor-01"]
    assert monitor.grafana
    assert monitor.prometheus
    both = dataclasses.replace(monitor, roles=("gpu_nodes", "monitors"))

    made = grafana.part(both, monitor.grafana, monitor.prometheus, example)

    assert "/etc/nix/nix.conf" not in {file.path for file in made.files}


def test_nobody_gets_in_without_a_password(example: Fleet) -> None:
    """Anonymous users and new accounts are off, and the password is a secret that root alone reads."""
    made = part(example)
    read = settings(made)

    assert read["auth.anonymous"]["enabled"] == "false"
    assert read["users"]["allow_sign_up"] == "false"
    assert read["security"]["admin_password"] == (
        "$__file{/run/credentials/grafana-server.service/admin_password}"  # noqa: S105 - where it stands, not what it is
    )
    assert "LoadCredential=admin_password:/etc/ipex/secrets/grafana/admin_password" in content(made, ".service")
    password = next(file for file in made.files if file.path == "/etc/ipex/secrets/grafana/admin_password")
    assert (password.mode, password.owner, password.group, password.secret) == ("0600", "root", "root", True)


def test_it_tells_nobody_outside(example: Fleet) -> None:
    """No reports, no news, no plugins from elsewhere."""
    read = settings(part(example))

    asked = [read[section][key] for section in ("analytics", "news", "snapshots") for key in read[section]]
    assert set(asked) == {"false"}
    assert read["plugins"]["preinstall_disabled"] == "true"


@pytest.mark.parametrize(
    ("admitted", "allowed"),
    [
        ((), "localhost 203.0.113.21 203.0.113.22"),
        (("192.0.2.0/24", "2001:db8::/32"), "localhost 203.0.113.21 203.0.113.22 192.0.2.0/24 2001:db8::/32"),
    ],
)
def test_it_listens_to_gateways_and_to_whom_data_admit(example: Fleet, admitted: tuple[str, ...], allowed: str) -> None:
    """On every address, behind the unit's own filter; it knows itself by the gateway's address."""
    made = part(example, admitted=admitted, port=3131)

    assert (settings(made)["server"]["http_addr"], settings(made)["server"]["http_port"]) == ("", "3131")
    assert settings(made)["server"]["root_url"] == "https://ai-services.local/grafana/"
    assert f"IPAddressAllow={allowed}" in content(made, ".service").splitlines()
    assert "SocketBindAllow=tcp:3131" in content(made, ".service").splitlines()
    assert made.probes[0]["url"] == "http://127.0.0.1:3131"


def test_the_data_source_is_this_nodes_prometheus(example: Fleet) -> None:
    """With the uid that the dashboards begin with, and nobody edits it."""
    source = content(part(example), "datasources/ipex-fleet.yml")

    assert "uid: ipex-prometheus" in source
    assert "url: http://127.0.0.1:9091" in source
    assert "editable: false" in source


def test_a_new_dashboard_restarts_nothing(example: Fleet) -> None:
    """Grafana looks for dashboards by itself."""
    made = part(example)

    assert not [path for path in made.units[0].inputs if path.startswith(grafana.DASHBOARDS)]
    assert f"path: {grafana.DASHBOARDS}" in content(made, "dashboards/ipex-fleet.yml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"package": "../grafana"}, "package"),
        ({"admitted": ("everybody",)}, "admitted"),
    ],
)
def test_nonsense_is_refused(example: Fleet, changes: dict[str, Any], said: str) -> None:
    """With its address, before any node is contacted."""
    monitor = example["monitor-01"]
    assert monitor.grafana
    odd = dataclasses.replace(monitor, grafana=dataclasses.replace(monitor.grafana, **changes))

    problems = checks.run(dataclasses.replace(example, nodes=(*example.nodes[:-1], odd)))

    assert [problem.what for problem in problems] == [f"grafana.{said} is {changes[said]!r}"]
