"""ACME in data: what is refused, and what lands on gateways and monitors with it and without."""

import dataclasses
import re
from typing import Any

import pytest

from fleet import desired, plan, promises
from fleet.model import Fleet
from fleet.secrets import Secrets
from fleet.tls import Acme, nonsense
from tests.acme import declared

ACME = Acme("https://acme.example.com/directory", "operators@example.com")
_UNITS = "/etc/systemd/system"
_SERVER = "/etc/nginx/ipex/server.conf"


def _with(fleet: Fleet, acme: Acme = ACME, secrets: dict[str, str] | None = None, without: str = "") -> Fleet:
    nodes = (dataclasses.replace(node, floating=None) for node in fleet.nodes if node.name != without)
    known = Secrets({"probe.key": "x", **(secrets or {})})
    return declared(Fleet(fleet.environment, tuple(nodes), known), acme)


def _files(fleet: Fleet, node: str) -> dict[str, str]:
    return {file.path: file.content.decode(errors="replace") for file in desired.generation(fleet[node], fleet).files}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"directory": "http://acme.example.com/directory"}, "gateway.tls.acme.directory is"),
        ({"directory": "acme.example.com"}, "gateway.tls.acme.directory is"),
        ({"directory": "https://acme.example.com/$(reboot)"}, "gateway.tls.acme.directory is"),
        ({"directory": "https://acme.example.com/ --path /"}, "gateway.tls.acme.directory is"),
        ({"email": "operators"}, "gateway.tls.acme.email is"),
        ({"email": "operators@example.com; reboot"}, "gateway.tls.acme.email is"),
        ({"renew_days": 0}, "gateway.tls.acme.renew_days is 0"),
        ({"renew_days": 366}, "gateway.tls.acme.renew_days is 366"),
    ],
)
def test_what_cannot_be_meant_is_refused(example: Fleet, change: dict[str, Any], what: str) -> None:
    """Nothing that a shell would take apart reaches the client's script; as it is, it has no fault."""
    gateway = _with(example)["gateway-01"].gateway
    assert gateway
    found = list(nonsense(dataclasses.replace(gateway.tls, acme=dataclasses.replace(ACME, **change))))

    assert len(found) == 1
    assert found[0][0].startswith(what)
    assert not list(nonsense(gateway.tls))


@pytest.mark.parametrize(("days", "found"), [(22, 0), (21, 2)])
def test_a_certificate_is_renewed_before_somebody_is_told_that_it_ends(example: Fleet, days: int, found: int) -> None:
    """The alert comes three weeks ahead: with as many days every renewal would be one. Each gateway is named."""
    fleet = _with(example, dataclasses.replace(ACME, renew_days=days))
    told = [problem.what for problem in promises.problems(fleet) if "certificate_ahead" in problem.what]

    assert len(told) == found
    assert all(f"when {days} days are left" in one for one in told)


@pytest.mark.parametrize("directory", ["https://10.0.0.5:9000/acme/acme/directory", "https://[2001:db8::1]/dir"])
def test_a_private_authority_may_be_an_address(example: Fleet, directory: str) -> None:
    """With a port and a path of its own."""
    gateway = _with(example, dataclasses.replace(ACME, directory=directory))["gateway-01"].gateway
    assert gateway

    assert not list(nonsense(gateway.tls))


def test_without_acme_nothing_of_it_lands(example: Fleet) -> None:
    """No unit, no program, no package, no place to answer the authority, and nothing hidden that is not there."""
    for node in example.nodes:
        generation = desired.generation(node, example)
        assert "lego" not in generation.packages
        for file in generation.files:
            assert "acme" not in file.path
            assert file.path == "/usr/local/bin/ipex-node" or b"acme" not in file.content, file.path


def test_the_secrets_pair_is_neither_needed_nor_landed(example: Fleet) -> None:
    """Nothing is missing on the gateways and the monitor but what has no part in TLS."""
    fleet = _with(example)

    for node in fleet.nodes:
        generation = desired.generation(node, fleet)
        assert not {path for path in _files(fleet, node.name) if path.startswith("/etc/nginx/ipex/tls/")}
        assert not [problem for problem in plan.unknown_secrets(generation) if "tls." in problem.what]


def test_nginx_shows_what_the_client_leaves(example: Fleet) -> None:
    """From the folder that the staged configuration is checked in, too; verification trusts it and the one before."""
    files = _files(_with(example), "gateway-01")

    shown = re.findall(r"^ssl_certificate(?:_key)? (.*);$", files["/etc/nginx/ipex/tls.conf"], re.MULTILINE)
    assert shown == ["../../var/lib/ipex-acme/gateway.pem"] * 2
    assert '"authority": "/var/lib/ipex-acme/trusted.pem"' in files["/etc/ipex/node.json"]
    assert "mv /var/lib/ipex-acme/gateway.pem.new /var/lib/ipex-acme/gateway.pem" in files[_client()]


def _client() -> str:
    return "/usr/local/lib/ipex/acme-client"


def test_a_question_that_arrives_at_the_wrong_gateway_finds_the_right_one(example: Fleet) -> None:
    """Once: who is asked by another gateway asks nobody."""
    server = _files(_with(example), "gateway-01")[_SERVER]

    assert re.findall(r"upstream ipex-acme \{\n(.*)\n\}", server) == ["    server 203.0.113.22:80;"]
    assert "try_files $uri @ipex-acme;" in server
    elsewhere = server.partition("location @ipex-acme {")[2].partition("\n    }")[0]
    assert elsewhere.index("if ($http_x_ipex_acme)") < elsewhere.index("proxy_pass http://ipex-acme;")
    assert "proxy_set_header X-Ipex-Acme 1;" in elsewhere


def test_one_gateway_asks_nobody(example: Fleet) -> None:
    """There is no upstream without a server, which nginx would refuse."""
    server = _files(_with(example, without="gateway-02"), "gateway-01")[_SERVER]

    assert "try_files $uri =404;" in server
    assert "@ipex-acme" not in server
    assert "upstream ipex-acme" not in server


def test_a_certificate_is_there_before_nginx_reads_it(example: Fleet) -> None:
    """The part comes before nginx', so that nginx' own check of the staged files finds one; so do the units."""
    fleet = _with(example)
    manifest = desired.generation(fleet["gateway-01"], fleet).manifest
    programs = [" ".join(words) for words in manifest["validators"]]
    placeholder = "sh {root}/usr/local/lib/ipex/acme-placeholder {root}/var/lib/ipex-acme"

    assert programs.index(placeholder) < next(at for at, words in enumerate(programs) if words.startswith("nginx -t"))
    assert list(manifest["units"]).index("ipex-acme-placeholder.service") < list(manifest["units"]).index(
        "nginx.service"
    )


def test_the_client_may_reload_nothing(example: Fleet) -> None:
    """It has no root; another unit, which it cannot reach but by leaving another certificate, tells nginx."""
    files = _files(_with(example), "gateway-01")
    client, reload = (files[f"{_UNITS}/{name}.service"].splitlines() for name in ("ipex-acme", "ipex-acme-reload"))

    assert {"User=ipex-acme", "CapabilityBoundingSet=", "NoNewPrivileges=yes"} <= set(client)
    assert "systemctl" not in files[_client()]
    assert "PathChanged=/var/lib/ipex-acme/gateway.pem" in files[f"{_UNITS}/ipex-acme-reload.path"]
    assert [line for line in reload if line.endswith("exec systemctl try-reload-or-restart nginx.service'")]


def test_another_authority_is_asked_at_once(example: Fleet) -> None:
    """Its certificates lie elsewhere; and the timer, which runs the client, starts anew with the script."""
    other = _with(example, dataclasses.replace(ACME, directory="https://other.example.com/directory"))
    both = [_with(example), other]
    units = desired.generation(other["gateway-01"], other).manifest["units"]

    places = [re.findall(r"--path (\S+)", _files(fleet, "gateway-01")[_client()]) for fleet in both]
    assert places == [
        ["/var/lib/ipex-acme/lego/acme.example.com-directory"],
        ["/var/lib/ipex-acme/lego/other.example.com-directory"],
    ]
    assert _client() in units["ipex-acme.timer"]["inputs"]


def test_gateways_ask_at_minutes_of_their_own(example: Fleet) -> None:
    """Which stay the same with every deploy."""
    fleet = _with(example)
    calendars = [
        re.findall("OnCalendar=(.*)", _files(fleet, name)[f"{_UNITS}/ipex-acme.timer"])
        for name in ("gateway-01", "gateway-02")
    ]

    assert calendars[0] != calendars[1]
    assert all(re.fullmatch(r"\*-\*-\* 00/6:[0-5][0-9]", one) for (one,) in calendars)


def test_monitors_trust_the_systems_authorities(example: Fleet) -> None:
    """They are given no certificate."""
    files = _files(_with(example), "monitor-01")

    assert "/etc/prometheus/gateway.pem" not in files
    assert "ca_file" not in files["/etc/prometheus/blackbox.yml"]


def test_a_private_authority_is_trusted_by_client_and_monitors(example: Fleet) -> None:
    """By its certificate, a secret like the others of TLS."""
    fleet = _with(example, secrets={"tls.acme_ca": "a certificate"})
    gateway, monitor = _files(fleet, "gateway-01"), _files(fleet, "monitor-01")

    assert gateway["/etc/ipex/acme-ca.pem"] == monitor["/etc/prometheus/gateway.pem"] == "a certificate\n"
    assert "export LEGO_CA_CERTIFICATES=/etc/ipex/acme-ca.pem" in gateway[_client()]
    assert "ca_file: /etc/prometheus/gateway.pem" in monitor["/etc/prometheus/blackbox.yml"]


def test_keepalived_sees_none_of_it(example: Fleet) -> None:
    """It runs as nginx' user, and has no use for a key."""
    unit = _files(declared(example, ACME), "gateway-01")[f"{_UNITS}/keepalived.service"]

    assert re.search(r"^InaccessiblePaths=.* -/var/lib/ipex-acme$", unit, re.MULTILINE)
