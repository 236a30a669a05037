"""The lab's store of backups: a user on the monitors who can do nothing but sftp, locked into one directory."""

from pathlib import Path

from lab import keys
from lab.roster import MONITOR_ADDRESS

USER = "ipex-backup"
HOME = "/srv/backup"
"""Root's own, as sshd wants it of a ChrootDirectory=; below it, ipex/ belongs to the user."""

_SSHD = f"""HostKey /etc/ssh/ssh_host_backup_key
Match User {USER}
  ChrootDirectory {HOME}
  ForceCommand internal-sftp
  DisableForwarding yes
"""
_FILES = {
    "etc/sysusers.d/backup.conf": f'u {USER} - "the lab\'s store of backups" {HOME} /usr/sbin/nologin\n',
    "etc/tmpfiles.d/backup.conf": f"d {HOME} 0755 root root -\nd {HOME}/ipex 0700 {USER} {USER} -\n",
    "etc/ssh/sshd_config.d/zz-backup.conf": _SSHD,
}


def place(disk: Path) -> None:
    """Put the store onto a disk that does not run."""
    for name, text in _FILES.items():
        _write(disk / name, text)
    _write(disk / f"etc/ssh/authorized_keys/{USER}", f"restrict {keys.BACKUP.with_suffix('.pub').read_text()}")
    _write(disk / "etc/ssh/ssh_host_backup_key", keys.BACKUP_HOST.read_text(), 0o600)
    _write(disk / "etc/ssh/ssh_host_backup_key.pub", keys.BACKUP_HOST.with_suffix(".pub").read_text())


def secrets() -> dict[str, str]:
    """What nodes need to reach it: names as the secrets file has them."""
    host_key = " ".join(keys.BACKUP_HOST.with_suffix(".pub").read_text().split()[:2])
    return {
        "backup.password": "MARKED-SECRET-9b2e-backup",
        "backup.ssh_key": keys.BACKUP.read_text(),
        "backup.known_hosts": f"{MONITOR_ADDRESS} {host_key}",
    }


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
