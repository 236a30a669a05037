"""Signatures of the controller's: OpenSSH's, as `ipex_node.signature` verifies them."""

import os
import subprocess
import tempfile
from pathlib import Path

from fleet.load import RefusedError
from fleet.secrets import Secret


def signed(content: bytes, key: Secret, namespace: str) -> bytes:
    """Return a detached signature, armoured.

    Args:
        content: what is signed.
        key: an OpenSSH private key without a passphrase; it lies in a file of its own for the moment of signing.
        namespace: what it is signed for (ipex_node.signature.FLEET).

    Raises:
        RefusedError: ssh-keygen is missing here, or cannot use the key.
    """
    with tempfile.TemporaryDirectory(prefix="ipex-signing-", dir=os.environ.get("XDG_RUNTIME_DIR")) as directory:
        path = Path(directory, "key")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{key.reveal().strip()}\n")
        try:
            done = subprocess.run(
                ["ssh-keygen", "-q", "-Y", "sign", "-f", str(path), "-n", namespace],
                input=content,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise RefusedError("ssh-keygen is not installed on this machine: install openssh-client") from None
    if done.returncode != 0:
        complaint = done.stderr.decode(errors="replace").strip()
        raise RefusedError(f"ssh-keygen could not sign with the secret {key.name}: {complaint}")
    return done.stdout
