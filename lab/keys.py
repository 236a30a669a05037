"""The lab's ssh identity: one key into every node, and host keys made outside, so that nothing is trusted blindly."""

import os
import shutil
import subprocess
from pathlib import Path

from lab.state import STATE

SSH = STATE / "ssh"
KEY = SSH / "id_ed25519"
KNOWN_HOSTS = SSH / "known_hosts"
BACKUP = SSH / "backup"
"""The key with which nodes reach the backups' store, and no more."""
BACKUP_HOST = SSH / "backup_host"
"""The store's own host key, on whichever monitor."""


def create() -> None:
    """Make the lab's key pair if there is none; whoever called sudo may read it too."""
    SSH.mkdir(parents=True, exist_ok=True)
    if not KEY.exists():
        _generate(KEY, "ipex-lab")
    # The store's host key is of another kind than the nodes' own, so that ssh asks for it.
    for key, kind in ((BACKUP, "ed25519"), (BACKUP_HOST, "ecdsa")):
        if not key.exists():
            _generate(key, key.name, kind)
    if not KNOWN_HOSTS.exists():
        KNOWN_HOSTS.write_text("")
        KNOWN_HOSTS.chmod(0o644)
    if owner := os.environ.get("SUDO_UID"):
        # ssh refuses a key that others can read, so it belongs to the person; root reads it anyway.
        shutil.chown(KEY, int(owner))


def public_key() -> str:
    """Return the line for a node's authorized_keys."""
    return KEY.with_suffix(".pub").read_text()


def host_key(directory: Path, name: str) -> str:
    """Make a node's host key in its /etc/ssh, and return the public half ("type base64")."""
    path = directory / "ssh_host_ed25519_key"
    if not path.exists():
        _generate(path, name)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def know(host_keys: dict[str, str]) -> None:
    """Replace the entries of these names and addresses in known_hosts.

    Args:
        host_keys: "name,address" to the public host key.
    """
    lines = {line.split()[0]: line for line in KNOWN_HOSTS.read_text().splitlines()}
    lines |= {hosts: f"{hosts} {key}" for hosts, key in host_keys.items()}
    fresh = KNOWN_HOSTS.with_suffix(".new")
    fresh.write_text("".join(f"{line}\n" for line in lines.values()))
    fresh.chmod(0o644)
    fresh.replace(KNOWN_HOSTS)


def ssh_command(address: str) -> list[str]:
    """Return the ssh command, without a remote one, that logs in as root with strict checking."""
    # -F /dev/null: the person's own ssh configuration must not decide how the lab is reached.
    return [
        *("ssh", "-F", "/dev/null", "-i", str(KEY), "-o", "IdentitiesOnly=yes"),
        *("-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", "StrictHostKeyChecking=yes"),
        *("-o", "LogLevel=ERROR", "-o", "ConnectTimeout=10", f"root@{address}"),
    ]


def _generate(path: Path, comment: str, kind: str = "ed25519") -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", comment, "-f", str(path)],
        check=True,
        capture_output=True,
    )
