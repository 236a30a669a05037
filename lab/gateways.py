"""How programs on this machine reach the lab's gateways: by address, under the fleet's name, with a client's key."""

import functools
import http.client
import runpy
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path

from lab import authority
from lab.secrets import KEYS
from lab.state import LabError

USER, VIEWER, OPERATOR = "chat-frontend", "alice", "operator"
"""Clients of group_data/gateways.py: who may use the engines, who may look at the fleet as well, who may do all."""

_DATA = Path(__file__).parents[1] / "group_data/gateways.py"


@functools.cache
def name() -> str:
    """The gateways' public name."""
    return str(runpy.run_path(str(_DATA))["gateway"]["server_name"])


def key(client: str) -> str:
    """The API key of one of the lab's clients.

    Raises:
        LabError: It has none.
    """
    path = KEYS / client
    try:
        return path.read_text().strip()
    except FileNotFoundError as error:
        raise LabError(f"{path} is missing: run `python -m lab up`") from error


def trusted() -> ssl.SSLContext:
    """Trust the lab's CA and nobody else."""
    return ssl.create_default_context(cafile=authority.CA)


class Connection(http.client.HTTPSConnection):
    """A connection to a gateway.

    Attributes:
        trusted: The lab's CA; may be given a certificate of the client's, too.

    Args:
        address: The gateway's IP address.
        client: Whose key is sent; nobody's when empty.
        timeout: Longest silence in seconds.
    """

    def __init__(self, address: str, client: str = USER, timeout: float = 60) -> None:
        self.trusted = trusted()
        super().__init__(name(), timeout=timeout, context=self.trusted)
        self._address = address
        self._sent = {"Authorization": f"Bearer {key(client)}"} if client else {}

    def connect(self) -> None:
        """Connect to the address, and expect the name."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = self.trusted.wrap_socket(plain, server_hostname=self.host)

    def ask(
        self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Ask one question with the client's key; the answer's body is still to be read."""
        self.request(method, path, body, {**self._sent, **(headers or {})})
        return self.getresponse()
