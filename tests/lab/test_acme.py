"""ACME on real gateways: pebble issues, nginx shows, and whichever gateway the question meets, it is answered."""

import contextlib
import http.client
import json
import runpy
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography import x509

from lab import gateways, roster
from tests.acme import Authority, authority
from tests.lab_fleet import ROOT, Lab

pytestmark = [pytest.mark.lab, pytest.mark.proof]

_CHALLENGES = "/var/lib/ipex-acme/webroot/.well-known/acme-challenge"


@dataclass(frozen=True)
class Issued:
    """The lab, its gateways' certificates issued.

    Attributes:
        lab: the lab.
        authority: the pebble that has issued them.
        before: by gateway, what nginx' main process was, before anything was declared.
    """

    lab: Lab
    authority: Authority
    before: dict[str, str] = field(default_factory=dict)

    def certificate(self, gateway: str) -> x509.Certificate:
        """What a gateway shows; it must be signed by pebble, for the fleet's name."""
        trusted = ssl.create_default_context(cadata=self.authority.trusted)
        with (
            socket.create_connection((self.lab.node(gateway).address, 443), 5) as plain,
            trusted.wrap_socket(plain, server_hostname=gateways.name()) as line,
        ):
            shown = line.getpeercert(binary_form=True)
        assert shown
        return x509.load_der_x509_certificate(shown)

    def process(self, gateway: str) -> str:
        """The main process of nginx, and since when it runs."""
        return _process(self.lab, gateway)


def _process(lab: Lab, gateway: str) -> str:
    return lab.output(gateway, "systemctl show --property MainPID,ExecMainStartTimestamp nginx")


@pytest.fixture(scope="module")
def issued(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """ACME declared and deployed, one run of the client on each gateway; at the end, the lab's own certificate."""
    before = {name: _process(lab, name) for name in lab.gateways}
    names = {gateways.name(): roster.FLOATING_ADDRESS}
    with (
        authority(tmp_path_factory.mktemp("pebble"), roster.MACHINE_ADDRESS, names) as pebble,
        pytest.MonkeyPatch.context() as shell,
    ):
        shell.setenv("IPEX_SECRET_TLS_ACME_CA", pebble.trusted)
        try:
            run = lab.deploy("-y", "--data", f"gateway={json.dumps(_data(pebble.directory))}")
            assert run.returncode == 0, run.stdout
            for name in lab.gateways:
                lab.output(name, "systemctl start ipex-acme")
            yield Issued(lab, pebble, before)
        finally:
            shell.delenv("IPEX_SECRET_TLS_ACME_CA")
            back = lab.deploy("-y")
            for name in lab.gateways:
                # Another pebble is another authority at the same address.
                lab.output(name, "rm -rf /var/lib/ipex-acme")
    assert back.returncode == 0, back.stdout


def _data(directory: str) -> dict[str, Any]:
    data: dict[str, Any] = runpy.run_path(str(ROOT / "group_data/gateways.py"))["gateway"]
    acme = {"directory": directory, "email": "operators@example.com"}
    return {**data, "tls": {**data["tls"], "acme": acme}}


def test_both_gateways_show_a_certificate_of_the_authority(issued: Issued) -> None:
    """Each its own; nginx was told of it and has not been started anew."""
    for name in issued.lab.gateways:
        _await(lambda name=name: bool(issued.certificate(name)))  # type: ignore[misc]
    shown = {issued.certificate(name).serial_number for name in issued.lab.gateways}

    assert len(shown) == len(issued.lab.gateways)
    assert {name: issued.process(name) for name in issued.lab.gateways} == issued.before


def test_the_key_is_nobodys_but_nginx(issued: Issued) -> None:
    """Its group reads it, another user does not even see it; the account's key is the client's alone."""
    gateway = issued.lab.gateway

    assert issued.lab.output(gateway, "stat -c %U:%G:%a /var/lib/ipex-acme/gateway.pem") == "ipex-acme:www-data:640"
    assert issued.lab.run(gateway, "runuser -u nobody -- ls /var/lib/ipex-acme").returncode != 0
    assert issued.lab.run(gateway, "runuser -u www-data -- ls /var/lib/ipex-acme/lego/*/accounts").returncode != 0


def test_a_renewal_reaches_users_by_a_reload(issued: Issued) -> None:
    """On the gateway that renews, and on no other; by the unit that the timer runs, told that it is time."""
    for gateway in issued.lab.gateways:
        _await(lambda gateway=gateway: bool(issued.certificate(gateway)))  # type: ignore[misc]
        before = {name: issued.certificate(name).serial_number for name in issued.lab.gateways}
        _renew(issued.lab, gateway)
        _await(lambda gateway=gateway, old=before[gateway]: issued.certificate(gateway).serial_number != old)  # type: ignore[misc]
        changed = [name for name in before if issued.certificate(name).serial_number != before[name]]

        assert changed == [gateway]
    assert {name: issued.process(name) for name in issued.lab.gateways} == issued.before


def _renew(lab: Lab, gateway: str) -> None:
    """Run the unit, sandbox and all, with the word that makes it renew now."""
    drop_in = "/run/systemd/system/ipex-acme.service.d"
    lines = "[Service]\\nExecStart=\\nExecStart=/usr/local/lib/ipex/acme-client --force\\n"
    lab.output(gateway, f"mkdir -p {drop_in} && printf '{lines}' > {drop_in}/now.conf && systemctl daemon-reload")
    try:
        lab.output(gateway, "systemctl start ipex-acme")
    finally:
        lab.output(gateway, f"rm -r {drop_in} && systemctl daemon-reload")


def test_a_run_before_its_time_renews_nothing(issued: Issued) -> None:
    """And nginx is told nothing."""
    gateway = issued.lab.gateway
    file = "stat -c '%i %Y' /var/lib/ipex-acme/gateway.pem"
    before = issued.lab.output(gateway, file)

    issued.lab.output(gateway, "systemctl start ipex-acme")

    assert issued.lab.output(gateway, file) == before


def test_a_question_is_answered_at_either_gateway(issued: Issued) -> None:
    """Of a challenge that one of them has begun; of one that nobody has begun, 404 and no end without an answer."""
    for begun in issued.lab.gateways:
        issued.lab.output(begun, f"mkdir -p {_CHALLENGES} && echo of-{begun} > {_CHALLENGES}/asked")
        try:
            answers = {name: _asked(issued.lab, name, "asked") for name in issued.lab.gateways}
        finally:
            issued.lab.output(begun, f"rm {_CHALLENGES}/asked")

        assert answers == dict.fromkeys(issued.lab.gateways, (200, f"of-{begun}\n"))
    assert {_asked(issued.lab, name, "never")[0] for name in issued.lab.gateways} == {404}


def _asked(lab: Lab, gateway: str, token: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(lab.node(gateway).address, 80, timeout=10)
    connection.request("GET", f"/.well-known/acme-challenge/{token}", headers={"Host": gateways.name()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_a_gateway_without_any_certificate_starts(issued: Issued) -> None:
    """With one of its own, which nobody trusts, until the authority's is there again."""
    gateway = issued.lab.gateway
    issued.lab.output(gateway, "systemctl stop nginx && rm /var/lib/ipex-acme/gateway.pem")
    issued.lab.output(gateway, "systemctl restart ipex-acme-placeholder && systemctl start nginx")
    _await(lambda: _is_untrusted(issued, gateway))
    issued.lab.output(gateway, "systemctl start ipex-acme")

    _await(lambda: bool(issued.certificate(gateway)))


def _is_untrusted(issued: Issued, gateway: str) -> bool:
    try:
        issued.certificate(gateway)
    except ssl.SSLCertVerificationError:
        return True
    return False


def _await(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while True:
        # Until nginx has read the new one it shows the old.
        with contextlib.suppress(OSError):
            if condition():
                return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
