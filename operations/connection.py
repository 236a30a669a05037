"""A host's connection after its machine has booted: dead, whether or not anybody has noticed."""

import contextlib

import gevent
from paramiko import SSHException
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.connectors.util import clear_askpass_cache

LOST = (OSError, EOFError, SSHException, PyinfraError, gevent.Timeout)
"""What a lost connection raises; pyinfra passes paramiko's errors of a running command on as they are."""


def drop_dead(host: Host) -> None:
    """Give up a connection that is dead: `connect` does nothing as long as there is one."""
    if host.connected and not _alive(host):
        # Files of a sudo that asks for a password were in /tmp, and may be gone with the boot.
        clear_askpass_cache(host)
        with contextlib.suppress(*LOST):
            host.disconnect()
        host.connected = False


def _alive(host: Host) -> bool:
    """Connections without paramiko (@local, @docker) cannot die of a boot that leaves this program alive."""
    client = getattr(host.connector, "client", None)
    if client is None:
        return True
    transport = client.get_transport()
    return bool(transport and transport.is_active())
