"""The credentials of these tests' clients, and where a client finds its own."""

import dataclasses
import functools
import ssl
from dataclasses import dataclass
from pathlib import Path

from fleet.secrets import Credentials, Secrets
from fleet.secrets import Key as StoredKey
from tests.gateway import credentials
from tests.gateway.credentials import Authority, Issued, Key

PASSWORD = "a password: of Zoë's"  # noqa: S105 - of a gateway that lives for one test


@dataclass(eq=False)
class Proofs:
    """What proves whom.

    Attributes:
        name: the gateway's.
        directory: where certificates lie as files.
        authority: of the gateway's own certificate, and of the clients'.
        server: the gateway's certificate.
        keys: client to its keys; the second one is there for a rotation.
        certificates: client to its certificate's files.
    """

    name: str
    directory: Path
    authority: Authority
    server: Issued
    keys: dict[str, list[Key]]
    certificates: dict[str, tuple[Path, Path]]

    def key(self, client: str) -> str:
        """A client's key."""
        return self.keys[client][0].plain

    def secrets(self) -> Secrets:
        """All of it, as the secrets file would have it."""
        values = {
            "tls.certificate": (self.server.certificate + self.authority.certificate).decode(),
            "tls.key": self.server.key.decode(),
            "tls.client_ca": self.authority.certificate.decode(),
            "probe.key": self.key("fleet"),
        }
        clients = {
            name: Credentials(
                keys=tuple(StoredKey(id=key.id, hash=key.hash) for key in keys),
                password=credentials.salted(PASSWORD),
            )
            for name, keys in self.keys.items()
            if name != "fleet"
        }
        return Secrets(values, clients)

    def without_first_key(self, client: str) -> Secrets:
        """All of it, once a client's first key has been revoked."""
        fewer = {name: keys[1:] if name == client else keys for name, keys in self.keys.items()}
        return dataclasses.replace(self, keys=fewer).secrets()

    @functools.cache  # noqa: B019 - for as long as the tests run
    def context(self, protocol: str, client: str = "") -> ssl.SSLContext:
        """How a client trusts the gateway, and shows a certificate of its own where it is named.

        Args:
            protocol: as ALPN has it.
            client: whose certificate.
        """
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        context.set_alpn_protocols([protocol])
        if client:
            context.load_cert_chain(*self.certificates[client])
        return context


def made(name: str, directory: Path) -> Proofs:
    """New ones."""
    authority = Authority("these tests' authority")
    clients = (*(client for client in credentials.RIGHTS if client != "idle"), "fleet")
    keys = {client: [credentials.key(), credentials.key()] for client in clients}
    certificates = {
        client: authority.issue(f"CN={client}").files(directory, f"client-{client}") for client in credentials.RIGHTS
    }
    return Proofs(name, directory, authority, authority.issue(name, name), keys, certificates)
