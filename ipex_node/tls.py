"""TLS to a server that is reached by its address and known by its name."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ipex_node.failure import failed

if TYPE_CHECKING:
    import socket
    from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """How a server must prove who it is.

    Attributes:
        context: What is trusted.
        name: The server's.
    """

    context: ssl.SSLContext
    name: str

    def wrap(self, connection: socket.socket, deadline: float) -> ssl.SSLSocket:
        """Speak TLS on a connection until a moment of `time.monotonic()`.

        Raises:
            OSError: The server does not prove that it is the one.
        """
        secured = self.context.wrap_socket(connection, server_hostname=self.name)
        assert isinstance(secured, _Line)  # noqa: S101 - the context makes no other
        secured.deadline = deadline
        return secured


class _Line(ssl.SSLSocket):
    """Reads until a deadline, as loopback's does without TLS."""

    deadline = 0.0

    def recv_into(self, *words: Any) -> int:  # noqa: ANN401 - as the socket's own
        """Take what comes before the deadline."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)
        return super().recv_into(*words)


def trusting(chain: Path, name: str) -> Tls:
    """Trust what the system trusts, and the certificates of a file; the first may be the server's own.

    Raises:
        FailedError: The file is missing or holds no certificate.
    """
    context = ssl.create_default_context()
    context.sslsocket_class = _Line
    # A chain ends at an intermediate as a rule: that is trusted like a root.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    # On from Python 3.13 on: refuses what many a private CA has issued, and every browser takes.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        context.load_verify_locations(chain)
    except OSError as error:
        raise failed(str(chain), f"cannot be used: {error}", "deploy this gateway again") from error
    return Tls(context, name)
