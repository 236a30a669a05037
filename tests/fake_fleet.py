"""The example fleet's fake nodes, told what to answer, and the real command line run on them."""

import json
import logging
import os
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pyinfra
from click.testing import CliRunner
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine
from pyinfra_cli.cli import cli

from fleet import desired, load, plan, secrets_file
from fleet.model import Fleet

# What a node with an Arc A770 says of it.
ARC = ("gpu 0000:03:00.0 56a0 i915 renderD128", "render 660 root render /dev/dri/renderD128")
MARK = "MARKED-SECRET-7d04"
"""Stands in each secret of the example fleet whose file nobody may see."""
SECRETS = {
    f"IPEX_SECRET_{name.upper().replace('.', '_')}": value
    for name, value in {
        "alertmanager.slack_url": f"https://hooks.example.com/{MARK}-slack",
        "alertmanager.smtp_password": f"{MARK}-smtp",
        "grafana.admin_password": f"{MARK}-grafana",
        "probe.key": f"ipex_0123abcd_{MARK}-probe".ljust(57, "x"),
        "backup.password": f"{MARK}-backup",
        "backup.ssh_key": f"-----BEGIN OPENSSH PRIVATE KEY-----\n{MARK}-backup\n-----END OPENSSH PRIVATE KEY-----",
        "backup.known_hosts": f"backup.example.com ssh-ed25519 {MARK}",
        "tls.key": f"-----BEGIN PRIVATE KEY-----\n{MARK}-tls\n-----END PRIVATE KEY-----",
        # No secret: everybody who connects is shown it.
        "tls.certificate": "-----BEGIN CERTIFICATE-----\nexample\n-----END CERTIFICATE-----",
        # Of these every node is told the public half.
        "depot.cache_key": secrets_file.new_cache_key(),
        "depot.closure_key": secrets_file.new_signing_key(),
        "depot.fleet_key": secrets_file.new_signing_key(),
    }.items()
}
"""The example fleet's secrets, by the variable of the shell that holds each."""
# What a monitor answers unless a test says otherwise.
_MONITOR = {
    "lock acquire": '{"ok": true, "failures": [], "lock": {}, "broken": null}',
    "lock release": '{"ok": true, "failures": []}',
    "record append": '{"ok": true, "failures": [], "digest": "0", "previous": "0"}',
}


@dataclass
class Run:
    """What one run of pyinfra printed and did.

    Attributes:
        status: its exit status.
        output: all it printed, without colours.
        commands: the commands each node was sent, in order, by node name.
        stdout: its standard output alone.
    """

    status: int
    output: str
    commands: dict[str, list[str]]
    stdout: str = ""

    def order(self, text: str) -> list[str]:
        """The nodes that were sent a command holding this text."""
        return [node for node, commands in self.commands.items() if any(text in command for command in commands)]


@dataclass
class FakeFleet:
    """The example fleet's nodes, which answer what a test tells them to.

    Attributes:
        answers: by node name, what it answers to a command holding a text: (succeeded, lines of standard output).
        unreachable: nodes that refuse the connection.
        given: what commands were given on their standard input: node, command, text.
    """

    fleet: Fleet
    answers: dict[str, dict[str, tuple[bool, list[str]]]] = field(default_factory=dict)
    unreachable: set[str] = field(default_factory=set)
    sent: list[tuple[str, str]] = field(default_factory=list)
    given: list[tuple[str, str, str]] = field(default_factory=list)
    state: "tempfile.TemporaryDirectory[str]" = field(default_factory=tempfile.TemporaryDirectory)

    @property
    def records(self) -> Path:
        """The controller's history of this fleet's rollouts."""
        return Path(self.state.name) / "ipex-fleet" / "example" / "rollouts.jsonl"

    def answer(self, node: str, text: str, *lines: str, succeeded: bool = True) -> None:
        """Let a node answer a command that holds a text."""
        self.answers.setdefault(node, {})[text] = (succeeded, list(lines))

    def is_as_declared(self, **status: Any) -> None:
        """Let every node answer that it is what it should be."""
        generations = {node.name: desired.generation(node, self.fleet) for node in self.fleet.nodes}
        verified = plan.digest(generations.values())
        for name, generation in generations.items():
            known = {"ok": True, "generation": generation.id, "drift": [], "verified": verified}
            known |= {"units": [unit.name for unit in generation.units], **status}
            gpu = [*ARC] if name.startswith("gpu") else []
            packages = [f"package installed {package}" for package in generation.packages]
            machine = ["distribution debian:13", "memory 32768000"]
            self.answer(name, "ipex-question", *machine, *gpu, *packages, json.dumps(known))

    def depot_serves(self) -> None:
        """Let its node answer that it keeps the depot already, so that it need not change before all others."""
        known = {"ok": True, "generation": "0123456789abcdef", "drift": [], "units": ["ipex-depot.service"]}
        self.answer("monitor-01", "ipex-question", "distribution debian:13", "memory 32768000", json.dumps(known))

    def run(self, *arguments: str, deploy: str = "deploy.py") -> Run:
        """Run the real command line on the example inventory."""
        self.sent.clear()
        self.given.clear()
        pyinfra.is_cli = True
        logger = logging.getLogger("pyinfra")
        logger.handlers.clear()
        logger.filters.clear()
        words = [*arguments, "inventory/example.py", deploy]
        home = mock.patch.dict(os.environ, {"XDG_STATE_HOME": self.state.name})
        with home, mock.patch.object(sys, "argv", ["pyinfra", *words]):
            result = CliRunner().invoke(cli, words)
        commands: dict[str, list[str]] = {}
        for node, command in self.sent:
            commands.setdefault(node, []).append(command)
        return Run(result.exit_code, click.unstyle(result.output), commands, result.stdout)

    def respond(self, connector: FakeConnector, command: Any, stdin: str = "") -> tuple[bool, CommandOutput]:
        """Take the place of the connector's own scripted answers."""
        node = load.node_name(connector.host)
        text = command if isinstance(command, str) else command.get_masked_value()
        self.sent.append((node, text))
        if stdin:
            self.given.append((node, text, stdin))
        for part, (succeeded, lines) in self.answers.get(node, {}).items():
            if part in text:
                return succeeded, CommandOutput([OutputLine("stdout", line) for line in lines])
        if activation := re.search(r" (?:activate|rollback) (\w+)", text):
            line = json.dumps({"ok": True, "failures": [], "from": None, "to": activation[1], "steps": []})
            return True, CommandOutput([OutputLine("stdout", line)])
        for part, line in _MONITOR.items():
            if part in text:
                return True, CommandOutput([OutputLine("stdout", line)])
        return connector._lookup_response(text)
