"""restic, which keeps encrypted copies elsewhere. What it must not show on a command line it is given by files.

Source: restic's manual, "Scripting" (exit statuses 10 to 12 and --json) and "Preparing a new repository".
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipex_node import border
from ipex_node.failure import FailedError, Failure, failed

if TYPE_CHECKING:
    from ipex_node.backups.settings import Repository

_SECONDS = 6 * 3600.0
"""Longest one command may take: a first backup over a slow line."""
_NO_REPOSITORY, _LOCKED, _WRONG_PASSWORD = 10, 11, 12
# Older than 0.17 it ends with 1 whatever it was, and only its words tell.
_WORDS = {
    "Is there a repository at the following location?": _NO_REPOSITORY,
    "unable to open config file": _NO_REPOSITORY,
    "wrong password or no key found": _WRONG_PASSWORD,
    "repository is already locked": _LOCKED,
}


class NoRepositoryError(FailedError):
    """There is nothing at the place, or what is there is no repository."""


class Restic:
    """Runs restic on one repository.

    Args:
        repository: How it is reached.
        node: Whose repository it is.
        cache: Where restic keeps what it need not ask for twice.
    """

    def __init__(self, repository: Repository, node: str, cache: Path) -> None:
        self._url = repository.of(node)
        self._options = [word for option in repository.options for word in ("-o", option)]
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
            "RESTIC_REPOSITORY": self._url,
            "RESTIC_PASSWORD_FILE": repository.password_file,
            "RESTIC_CACHE_DIR": str(cache),
            **{name: _secret(file) for name, file in repository.environment.items()},
        }

    @property
    def url(self) -> str:
        """Restic's name of the repository."""
        return self._url

    def create(self) -> None:
        """Make the repository.

        Raises:
            FailedError: It cannot be made, or there is one.
        """
        self._run("init")

    def backup(self, tree: Path, host: str) -> dict[str, Any]:
        """Keep a tree, and return restic's summary of it.

        A file counts as unchanged by its size, its time and its inode: the tree is made of second names, whose making
        alone changes their ctime.
        """
        words = ("--json", "--ignore-ctime", "--host", host, "--tag", "ipex", "--", str(tree))
        return _last(self._run("backup", *words))

    def snapshots(self) -> list[dict[str, Any]]:
        """Return what is kept, the oldest first."""
        found = border.parse(self._run("snapshots", "--json", "--tag", "ipex") or "[]")
        return sorted(found or [], key=lambda one: str(one["time"]))

    def restore(self, snapshot: str, folder: str, target: Path) -> None:
        """Give back a folder of a snapshot, every byte read again and compared."""
        self._run("restore", f"{snapshot}:{folder}", "--target", str(target), "--verify")

    def paths(self, snapshot: str, folder: str) -> list[dict[str, Any]]:
        """Return what lies in a folder of a snapshot, with its sub-folders; nothing where it does not exist."""
        lines = self._run("ls", "--json", "--recursive", snapshot, folder).splitlines()
        found = [border.parse(line) for line in lines if line.startswith("{")]
        return [one for one in found if one.get("struct_type") == "node" and str(one["path"]).startswith(f"{folder}/")]

    def forget(self, keep: dict[str, int]) -> None:
        """Remove what retention does not keep."""
        words = (word for period, number in keep.items() for word in (f"--keep-{period}", str(number)))
        self._run("forget", "--tag", "ipex", "--group-by", "host", *words, "--keep-last", "1", "--prune")

    def check(self, part: int, parts: int) -> None:
        """Read one of so many equal parts of all that is kept, and compare.

        Raises:
            FailedError: It is not what was given.
        """
        self._run("check", f"--read-data-subset={part}/{parts}")

    def _run(self, *words: str) -> str:
        command = ["restic", "--quiet", *self._options, *words]
        if "--json" in words:
            command.remove("--quiet")
        try:
            done = subprocess.run(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError:
            raise failed(
                "restic", "is not installed on this node", "deploy again: it is a package of the node"
            ) from None
        except subprocess.TimeoutExpired:
            raise failed(self._url, f"restic {words[0]} did not end in {_SECONDS / 3600:.0f} hours") from None
        if done.returncode:
            raise self._error(words[0], done.returncode, done.stderr or done.stdout)
        return done.stdout

    def _error(self, verb: str, status: int, said: str) -> FailedError:
        code = next((code for words, code in _WORDS.items() if words in said), status)
        last = border.words(" / ".join(_complaints(said)[-4:]) or f"exit status {status}")
        if code == _NO_REPOSITORY:
            cure = "see whether its place is mounted and reachable; a new one is made by: ipex-node backup --new"
            return NoRepositoryError(Failure(self._url, f"there is no repository: {last}", cure))
        if code == _WRONG_PASSWORD:
            cure = "give the secret backup.password the value with which the repository was made, then deploy"
            return failed(self._url, "the password is not the repository's", cure)
        if code == _LOCKED:
            cure = "wait for it; where that process is long dead: restic unlock, with the node's own settings"
            return failed(self._url, f"somebody else works on the repository: {last}", cure)
        return failed(self._url, f"restic {verb}: {last}", "see whether its place can be reached and has room")


def _complaints(said: str) -> list[str]:
    return [_message(line) for line in said.strip().splitlines() if line.strip()]


def _message(line: str) -> str:
    """Read one line, which is JSON where restic was asked for that."""
    try:
        found = border.parse(line)
        return str(found.get("message") or found.get("error", {}).get("message") or line)
    except (ValueError, AttributeError):
        return line


def _last(lines: str) -> dict[str, Any]:
    """Return the last JSON object of an output: restic's summary."""
    last = next((line for line in reversed(lines.splitlines()) if line.startswith("{")), "{}")
    found: dict[str, Any] = border.parse(last)
    return found


def _secret(file: str) -> str:
    try:
        return Path(file).read_text().strip()
    except OSError as error:
        raise failed(
            file, f"cannot be read: {error.strerror}", "deploy again: it is a secret of the fleet's"
        ) from error
