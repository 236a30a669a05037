"""ACME, where a test needs it: declared in data, and Debian's pebble as the authority."""

import dataclasses
import os
import shutil
import signal
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fleet.model import Fleet
from fleet.tls import Acme

_PORT, _MANAGEMENT_PORT = 14000, 15000
_START_SECONDS = 20


def declared(fleet: Fleet, acme: Acme) -> Fleet:
    """The fleet, with gateways that get their certificates from an authority."""
    nodes = []
    for node in fleet.nodes:
        gateway = node.gateway
        if gateway:
            gateway = dataclasses.replace(gateway, tls=dataclasses.replace(gateway.tls, acme=acme))
        nodes.append(dataclasses.replace(node, gateway=gateway))
    return dataclasses.replace(fleet, nodes=tuple(nodes))


@dataclass(frozen=True)
class Authority:
    """A running pebble.

    Attributes:
        directory: the URL of its directory.
        trusted: the certificate of that URL, and the root of those that it issues; PEM.
        log: what it has written.
    """

    directory: str
    trusted: str
    log: Path


@contextmanager
def authority(folder: Path, address: str, names: dict[str, str]) -> Iterator[Authority]:
    """Run pebble as long as the block lasts; every name is validated anew each time, at port 80.

    Args:
        folder: an empty one for its files.
        address: where it listens.
        names: name to the address at which it looks that name up; it runs with an /etc/hosts of its own.
    """
    program = shutil.which("pebble")
    assert program, "pebble is missing: `make proofs` installs it"
    certificate, key = folder / "directory.pem", folder / "directory.key"
    words = f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=pebble -keyout {key}"
    words += f" -out {certificate} -addext subjectAltName=IP:{address}"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    (folder / "hosts").write_text("".join(f"{at} {name}\n" for name, at in names.items()))
    (folder / "pebble.json").write_text(_configuration(address, certificate, key))
    log = folder / "pebble.log"
    command = f"mount --bind {folder}/hosts /etc/hosts && exec {program} -config {folder}/pebble.json"
    settings = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", command], env={**os.environ, **settings}, stdout=output, stderr=output
        )
        try:
            root = _root(f"https://{address}:{_MANAGEMENT_PORT}/roots/0", certificate, process)
            yield Authority(f"https://{address}:{_PORT}/dir", certificate.read_text() + root, log)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(10)


def _configuration(address: str, certificate: Path, key: Path) -> str:
    return f"""{{"pebble": {{
        "listenAddress": "{address}:{_PORT}", "managementListenAddress": "{address}:{_MANAGEMENT_PORT}",
        "certificate": "{certificate}", "privateKey": "{key}", "httpPort": 80, "tlsPort": 443,
        "ocspResponderURL": "", "externalAccountBindingRequired": false}}}}"""


def _root(url: str, certificate: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait until it answers; another root is made at each start."""
    context, deadline = ssl.create_default_context(cafile=certificate), time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2, context=context) as answer:  # noqa: S310 - https alone
                return str(answer.read().decode())
        except OSError:
            assert process.poll() is None, "pebble has ended"
            assert time.monotonic() < deadline, "pebble does not answer"
            time.sleep(0.1)
