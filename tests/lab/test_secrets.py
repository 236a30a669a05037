"""Every secret of the lab is looked for on every node, in all that a deploy prints, and in all that it leaves here."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet import desired, load, secrets_file
from lab import secrets
from tests.lab_fleet import INVENTORY, Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

MARKS = "/run/secret-marks"
"""What is looked for, on a node; readable to `nobody`, who looks, and left out of what is looked into."""
# Shown to everybody who connects.
PUBLIC = {"tls.certificate", "tls.client_ca", "backup.known_hosts"}
# Debian's own files are in /usr, the kernel's in /proc and /sys.
PLACES = "/boot /dev/shm /etc /home /lab /mnt /nix/var /opt /root /run /srv /tmp /usr/local /var"
NOBODY = "setpriv --reuid nobody --regid nogroup --clear-groups"
# Copies that only root reaches: directories closed by staging and by a transaction.
COPIES = ("/var/lib/ipex/generations/", "/var/lib/ipex/transaction/")


# The first line of every unencrypted OpenSSH key for Ed25519, host keys too: its format's name and no secret.
_OPENSSH = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            yield from () if name in {"id", "created"} else _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
    else:
        lines = (line for line in str(value).splitlines() if len(line) > 15 and "-----" not in line)
        yield from (line for line in lines if not line.startswith(_OPENSSH))


def marks() -> list[str]:
    """Every line of every secret of the lab, hashes of credentials, and the plain credentials themselves."""
    tables = secrets_file.opened(secrets.SOURCE)
    found = [secrets.MARK, *(line for path in secrets.KEYS.iterdir() for line in _texts(path.read_text()))]
    for table, values in tables.items():
        for name, value in values.items():
            found += [] if f"{table}.{name}" in PUBLIC else _texts(value)
    return sorted(set(found))


@pytest.fixture(scope="module")
def marked(lab: Lab) -> Iterator[Lab]:
    """The lab, with what is looked for on every node."""
    names = [node for role in ("gpu_nodes", "gateways", "monitors") for node in lab.names(role)]
    lines = "\n".join(marks())
    for name in names:
        lab.output(name, f"install -m 0640 -g nogroup /dev/stdin {MARKS} <<'END'\n{lines}\nEND")
    yield lab
    for name in names:
        lab.output(name, f"rm -f {MARKS}")


def _holding(lab: Lab, node: str, user: str = "") -> set[str]:
    """The files in which a user of the node finds a mark."""
    find = f"find {PLACES} -xdev -path {MARKS} -prune -o -type f -readable -print0 2>/dev/null"
    found = lab.run(node, f"{user} sh -c '{find} | xargs -0 -r grep -lasF -f {MARKS} --'", seconds=300).stdout
    return set(found.split())


def _declared(node: str) -> set[str]:
    fleet = load.from_file(str(INVENTORY))
    texts = [mark.encode() for mark in marks()]
    files = desired.generation(fleet[node], fleet).files
    return {file.path for file in files if file.secret and any(text in file.content for text in texts)}


@pytest.mark.parametrize("role", ["gpu_nodes", "gateways", "monitors"])
def test_a_secret_lies_where_it_is_declared_and_nobody_else_reads_it(marked: Lab, role: str) -> None:
    """Root finds it in its file and in closed copies; `nobody` finds it nowhere at all."""
    for node in marked.names(role):
        found = {path for path in _holding(marked, node) if not path.startswith(COPIES)}

        assert found == _declared(node), node
        assert _holding(marked, node, NOBODY) == set(), node
        assert marked.output(node, "stat -c %a:%U /var/lib/ipex/generations") == "700:root"


def test_a_mark_would_be_found(marked: Lab) -> None:
    """By root and by `nobody`, where somebody has left it open."""
    monitor = marked.names("monitors")[0]
    assert _declared(monitor)
    marked.output(monitor, f"head -1 {MARKS} > /var/tmp/left-open && chmod 0644 /var/tmp/left-open")
    try:
        assert _holding(marked, monitor, NOBODY) == {"/var/tmp/left-open"}  # noqa: S108 - the node's
    finally:
        marked.output(monitor, "rm /var/tmp/left-open")


@pytest.mark.parametrize("place", ["journalctl --no-pager --quiet --output=cat", "cat /proc/[0-9]*/cmdline", "dmesg"])
def test_no_journal_and_no_command_line_holds_one(marked: Lab, place: str) -> None:
    """On no node."""
    for role in ("gpu_nodes", "gateways", "monitors"):
        for node in marked.names(role):
            assert marked.run(node, f"{place} 2>/dev/null | grep -acF -f {MARKS}").stdout.strip() == "0", node


def test_a_deploy_that_brings_secrets_shows_none(marked: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At its most talkative; neither its files here nor a process here or there hold one while it runs."""
    monitor, ended = marked.names("monitors")[0], threading.Event()
    path = next(iter(sorted(_declared(monitor))))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    texts = [mark.encode() for mark in marks()]
    seen: list[str] = []
    watching = [
        threading.Thread(target=_watch_here, args=(texts, ended, seen)),
        threading.Thread(target=_watch_there, args=(marked, monitor, seen)),
    ]
    marked.output(monitor, f"rm -f /run/ended; echo >> {path}")
    for thread in watching:
        thread.start()
    run = marked.deploy("-y", "-vvv", "--debug", "--limit", monitor)
    ended.set()
    marked.output(monitor, "touch /run/ended")
    for thread in watching:
        thread.join()

    assert run.returncode == 0, run.stdout
    assert f"mend {path}: edited" in run.stdout
    assert not [text for text in texts if text in run.stdout.encode()]
    assert seen == []
    left = [one for one in tmp_path.rglob("*") if one.is_file()]
    assert left
    assert not [one for one in left if any(text in one.read_bytes() for text in texts)]
    assert path in _holding(marked, monitor)


def _watch_here(texts: list[bytes], ended: threading.Event, seen: list[str]) -> None:
    """Look at what processes of this machine say of themselves, until the deploy has ended."""
    while not ended.wait(0.1):
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    content = (process / name).read_bytes()
                except OSError:
                    continue  # it has ended
                if process.name != str(os.getpid()) and any(text in content for text in texts):
                    seen.append(f"{process}/{name}")


def _watch_there(lab: Lab, node: str, seen: list[str]) -> None:
    """The same on the node, until it is told that the deploy has ended."""
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"
    done = lab.run(node, f"until [ -e /run/ended ]; do {look}; sleep 0.1; done | grep -acF -f {MARKS}", seconds=500)
    if done.stdout.strip() != "0":
        seen.append(f"{node}: {done.stdout}{done.stderr}")
