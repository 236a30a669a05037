"""Whether somebody who may has signed something: OpenSSH's signatures (ssh-keygen(1), -Y verify)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from ipex_node.world import Run

SIGNERS = "/etc/ipex/allowed_signers"
"""Who may sign what (ssh-keygen(1), ALLOWED SIGNERS)."""
FLEET = "ipex-fleet"
"""What is published for nodes: signed by a controller. Signer and namespace are called the same."""
CLOSURES = "ipex-closures"
"""Which store path a flake's output is: signed by the builder. Signer and namespace are called the same."""


def verify(run: Run, content: bytes, signature: bytes, namespace: str, signers: Path) -> None:
    """Check that a signature is of this content and by whoever may sign in this namespace.

    Args:
        run: Runs a command.
        content: What was signed.
        signature: The detached signature, armoured.
        namespace: FLEET or CLOSURES.
        signers: The file of allowed signers.

    Raises:
        FailedError: It is not, or nobody can say.
    """
    if not signers.is_file():
        raise failed(str(signers), "is missing: no signature can be believed", "deploy again")
    with tempfile.TemporaryDirectory(prefix="ipex-signature-") as directory:
        signed, seal = Path(directory, "signed"), Path(directory, "signature")
        signed.write_bytes(content)
        seal.write_bytes(signature)
        words = ("-Y", "verify", "-f", str(signers), "-I", namespace, "-n", namespace, "-s", str(seal))
        # ssh-keygen reads what was signed from standard input.
        done = run(["sh", "-c", 'exec ssh-keygen "$@" < "$0"', str(signed), *words])
    if done.returncode == 127:
        raise failed("ssh-keygen", done.complaint, "install openssh-client")
    if done.returncode != 0:
        raise failed(
            f"signature ({namespace})",
            f"is not one that this node believes: {done.complaint}",
            "sign it again with the fleet's own key; if that has changed, deploy once, so that nodes learn the new one",
        )
