"""Text in a person's editor, with nothing of it on a disk."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from fleet.secrets_file import SecretsError

# What vim would keep of it elsewhere: swap, registers and history, backups, undo.
_VIM = ("-n", "-i", "NONE", "-c", "silent! set nobackup nowritebackup noundofile")
_IN_MEMORY = {"tmpfs", "ramfs"}


def edited(text: str, check: Callable[[str], None]) -> str:
    """The text as a person leaves it; opened again while something is wrong with it.

    Args:
        text: what to begin with.
        check: raises SecretsError with all that is wrong.

    Raises:
        SecretsError: there is no memory to hold it, the editor failed, or the person gave up.
    """
    # As an exception, so that what follows `finally` is done.
    before = {number: signal.signal(number, lambda *_: sys.exit(1)) for number in (signal.SIGTERM, signal.SIGHUP)}
    directory = Path(tempfile.mkdtemp(prefix="ipex-secrets-", dir=memory()))
    path = directory / "secrets.toml"
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        while True:
            _open(path)
            text = path.read_text()
            try:
                check(text)
            except SecretsError as error:
                _ask_again(error)
            else:
                return text
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def memory() -> Path:
    """A directory that is not on a disk.

    Raises:
        SecretsError: this machine has none.
    """
    for name in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - that it is memory is looked up
        if name and Path(name).is_dir() and os.access(name, os.W_OK) and _is_in_memory(Path(name)):
            return Path(name)
    what = "this machine has no directory in memory ($XDG_RUNTIME_DIR, /dev/shm)"
    raise SecretsError((what, "Change one secret at a time: python -m tools.secrets set INVENTORY NAME"))


def _is_in_memory(path: Path) -> bool:
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return False
    places = [(Path(words[1]), words[2]) for words in mounts if path.resolve().is_relative_to(words[1])]
    return max(places, key=lambda place: len(place[0].parts), default=(path, ""))[1] in _IN_MEMORY


def _open(path: Path) -> None:
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    program = Path(shutil.which(command[0]) or command[0]).resolve().name
    flags = _VIM if program.startswith(("vim", "nvim")) else ()
    try:
        done = subprocess.run([*command, *flags, str(path)], check=False)
    except OSError as error:
        raise SecretsError((f"{command[0]} cannot be started: {error.strerror}", "Set EDITOR to yours.")) from None
    if done.returncode:
        raise SecretsError((f"{command[0]} ended with status {done.returncode}", "Nothing was changed; try again."))


def _ask_again(error: SecretsError) -> None:
    for what, _ in error.problems:
        print(what, file=sys.stderr)
    try:
        input("Enter opens it again; Ctrl-C gives up: ")
    except EOFError:
        raise SecretsError(*error.problems) from None
