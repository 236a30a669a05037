"""The Debian 13 tree that lies under every node's disk: built once with mmdebstrap, then cached."""

import hashlib
import shutil
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from lab.state import CACHE, LabError

SUITE = "trixie"
"""Debian 13, the fleet's reference system."""

PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "udev", "libnss-systemd", "procps", "iproute2", "iputils-ping"),
    *("openssh-server", "sudo", "python3", "ca-certificates", "curl", "less", "netbase", "xz-utils", "kmod"),
)
"""What a minimal Debian server has. nginx, Prometheus and Nix are the deploy's to install."""

CUSTOMIZE = """
set -eu
root=$1
# Identity belongs to a node, not to the tree.
rm -f "$root"/etc/ssh/ssh_host_* "$root"/etc/hostname "$root"/var/lib/dbus/machine-id
: > "$root"/etc/machine-id
rm -f "$root"/etc/resolv.conf
: > "$root"/etc/resolv.conf

chroot "$root" useradd --create-home --uid 1000 --gid operator --shell /bin/bash operator
echo 'operator ALL=(ALL) NOPASSWD: ALL' > "$root"/etc/sudoers.d/operator
chmod 0440 "$root"/etc/sudoers.d/operator

# The real debugfs and tracefs are the machine's; a console nobody looks at only slows the boot;
# the timers would hold apt's lock at random moments; sshd-keygen would add keys known_hosts lacks.
for unit in sys-kernel-debug.mount sys-kernel-tracing.mount console-getty.service getty@tty1.service \\
  apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer \\
  sshd-keygen.service systemd-pstore.service ldconfig.service systemd-journal-catalog-update.service; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

mkdir -p "$root"/etc/systemd/journald.conf.d "$root"/etc/ssh/authorized_keys
printf '[Journal]\\nStorage=volatile\\nRuntimeMaxUse=32M\\nForwardToConsole=no\\n' \\
  > "$root"/etc/systemd/journald.conf.d/lab.conf
cat > "$root"/etc/ssh/sshd_config.d/lab.conf <<'SSHD'
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys/%u .ssh/authorized_keys
PasswordAuthentication no
UseDNS no
MaxSessions 100
MaxStartups 100:30:200
SSHD

# The disk is a directory: nothing is gained by syncing each file of a package.
echo force-unsafe-io > "$root"/etc/dpkg/dpkg.cfg.d/lab
printf 'Acquire::Languages "none";\\nAcquire::Retries "0";\\n' > "$root"/etc/apt/apt.conf.d/90lab
echo LANG=C.UTF-8 > "$root"/etc/default/locale
"""
"""Run by mmdebstrap with the tree's path once the packages are installed."""


def path() -> Path:
    """Return where the tree of this very recipe is cached; another recipe has another path."""
    recipe = "\n".join([SUITE, *PACKAGES, CUSTOMIZE])
    return CACHE / f"tree-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def build() -> Path:
    """Build the tree if it is not cached, and return it.

    Raises:
        LabError: mmdebstrap failed.
    """
    tree = path()
    if tree.is_dir():
        return tree
    unfinished = tree.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [
        # A mount namespace of its own: what an interrupted build had mounted below the tree is gone with it,
        # so that removing the unfinished tree can never reach this machine's /dev.
        *(
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
        ),
        *(f"--customize-hook={CUSTOMIZE}", SUITE, str(unfinished), *archives()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise LabError(f"mmdebstrap could not build the Debian tree:\n{_without_recipe(done.stderr)[-2000:].strip()}")
    unfinished.chmod(0o755)
    unfinished.rename(tree)
    return tree


def prune() -> None:
    """Remove trees of earlier recipes and their layers; only while no node and no mirror runs on one."""
    name = path().name.removeprefix("tree-")
    for old in (*CACHE.glob("tree-*"), *CACHE.glob("mirror-*")):
        if old.name.partition("-")[2] != name:
            shutil.rmtree(old)


def _without_recipe(message: str) -> str:
    """Drop the text of the hook, which mmdebstrap repeats in full around the one line that matters."""
    return message.replace(CUSTOMIZE, "CUSTOMIZE")


def archives() -> list[str]:
    """Return apt source lines for the machine's own Debian mirror, empty for mmdebstrap's default one.

    The mirror is taken only if it carries SUITE: a frozen or partial mirror may not.
    """
    main, security = _machine_mirrors()
    if main is None or security is None:
        return []
    if not (_carries(main, SUITE) and _carries(security, f"{SUITE}-security")):
        return []
    return [
        f"deb {main} {SUITE} main",
        f"deb {main} {SUITE}-updates main",
        f"deb {security} {SUITE}-security main",
    ]


def _machine_mirrors() -> tuple[str | None, str | None]:
    listed = subprocess.run(
        [
            *("apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE) $(CODENAME)"),
            *("Created-By: Packages", "Origin: Debian"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    main = security = None
    for line in listed.stdout.splitlines():
        uri, *suites = line.split()
        if any(suite.endswith("-security") for suite in suites):
            security = security or uri
        elif not any("-" in suite for suite in suites):
            main = main or uri
    return main, security


def _carries(uri: str, suite: str) -> bool:
    if not uri.startswith(("http://", "https://")):
        return False
    question = urllib.request.Request(f"{uri.rstrip('/')}/dists/{suite}/InRelease", method="HEAD")  # noqa: S310  # checked above
    try:
        with urllib.request.urlopen(question, timeout=20):  # noqa: S310  # checked above
            return True
    except (urllib.error.URLError, OSError):
        return False
