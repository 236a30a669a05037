"""`python -m tools.secrets`, as an operator types it, on an environment of its own."""

import io
import re
import stat
from pathlib import Path

import pytest

from fleet import load, secrets_file
from fleet.secrets import hashed
from fleet.secrets_file import SecretsFile
from tools import secrets, secrets_editor

MARK = "MARKED-SECRET-31aa"


class Environment:
    """An inventory whose data name a file of secrets and an identity in a directory of their own."""

    def __init__(self, place: Path, said: pytest.CaptureFixture[str]) -> None:
        self.source = SecretsFile(str(place / "made" / "own.age"), str(place / "mine" / "identity.txt"))
        self.inventory = "inventory/example.py"
        self._said = said

    def run(self, command: str, *words: str) -> tuple[int, str, str]:
        """One command's status, standard output and standard error."""
        status = secrets.main([command, self.inventory, *words])
        said = self._said.readouterr()
        return status, said.out, said.err

    def text(self) -> str:
        """The file, decrypted."""
        return secrets_file.decrypted(self.source)


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Environment:
    """The example fleet with a file of secrets."""
    made = Environment(tmp_path, capsys)
    monkeypatch.setattr("fleet.load.secrets_source", lambda _: made.source)
    read = secrets_file.read
    monkeypatch.setattr("fleet.load.read", lambda _: read(made.source, {}))
    return made


def _feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_init_makes_what_nobody_has_to_know_and_says_what_is_left(environment: Environment) -> None:
    """Identity for this user alone, file without a readable word; a second run changes nothing."""
    status, said, _ = environment.run("init")
    identity, file = Path(environment.source.identity), Path(environment.source.file)
    password = secrets_file.read(environment.source, {}).get("grafana.admin_password").reveal()

    assert status == 0, said
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    assert stat.S_IMODE(identity.parent.stat().st_mode) == 0o700
    assert len(password) == 24
    assert b"grafana" not in file.read_bytes()
    assert password not in said
    assert "set inventory/example.py alertmanager.slack_url" in said
    before = file.read_bytes()
    assert environment.run("init")[0] == 0
    assert file.read_bytes() == before


def test_a_value_comes_by_standard_input_and_is_shown_to_nobody_who_has_not_asked(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`show` tells names and nodes, `get` the value; comments of the file stay."""
    environment.run("init")
    assert environment.run("show")[0] == 1
    for name in (
        *("alertmanager.slack_url", "alertmanager.smtp_password", "tls.certificate", "tls.key"),
        *("backup.known_hosts", "backup.password", "backup.ssh_key"),
    ):
        _feed(monkeypatch, f"{MARK}\n")
        status, said, complaints = environment.run("set", name)
        assert (status, MARK in said + complaints) == (0, False)
    status, said, _ = environment.run("show")

    assert status == 0, said
    assert re.search(r"alertmanager\.slack_url +file +monitor-01\n", said)
    assert MARK not in said
    assert environment.run("get", "alertmanager.slack_url")[1] == f"{MARK}\n"
    assert environment.text().startswith("# Secrets of inventory/example.py")


def test_several_lines_stay_several_lines(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate's key is one secret."""
    environment.run("init")
    _feed(monkeypatch, f"-----BEGIN KEY-----\n{MARK}\\\n-----END KEY-----\n")
    environment.run("set", "tls.key")

    assert environment.run("get", "tls.key")[1] == f"-----BEGIN KEY-----\n{MARK}\\\n-----END KEY-----\n"


def test_a_key_is_shown_once_and_kept_as_a_hash(environment: Environment) -> None:
    """Two at once are a rotation, and taking one away leaves the other."""
    environment.run("init")
    keys = [environment.run("key", "chat-frontend")[1].strip() for _ in range(2)]
    kept = secrets_file.read(environment.source, {}).credentials("chat-frontend").keys

    assert all(re.fullmatch(r"ipex_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", key) for key in keys)
    assert [one.hash for one in kept] == [hashed(key) for key in keys]
    assert not [key for key in keys if key in environment.text()]
    assert environment.run("revoke", "chat-frontend", kept[0].id)[0] == 0
    assert secrets_file.read(environment.source, {}).credentials("chat-frontend").keys == kept[1:]
    status, _, complaint = environment.run("revoke", "chat-frontend", kept[0].id)
    assert (status, f"has no key {kept[0].id}" in complaint, kept[1].id in complaint) == (1, True, True)


def test_a_password_is_shown_once_and_kept_salted(environment: Environment) -> None:
    """As an htpasswd file holds it."""
    environment.run("init")
    password = environment.run("password", "alice")[1].strip()
    kept = secrets_file.read(environment.source, {}).credentials("alice").password

    assert kept
    assert kept.startswith("{SSHA}")
    assert len(password) == 24
    assert password not in environment.text()
    assert "client alice                     password" in environment.run("show")[1]


def test_an_unknown_client_gets_nothing(environment: Environment) -> None:
    """A slip in the name would be a key that opens nothing."""
    environment.run("init")
    status, said, complaint = environment.run("key", "chat-fronted")

    assert (status, said) == (1, "")
    assert "there is no client chat-fronted" in complaint
    assert "known: alice, chat-frontend, operator" in complaint


def test_a_colleague_is_let_in_by_those_who_are_in(environment: Environment, tmp_path: Path) -> None:
    """A new identity opens nothing, says what to do, and opens all once its key is a recipient."""
    environment.run("init")
    mine = environment.source
    theirs = SecretsFile(mine.file, str(tmp_path / "theirs" / "identity.txt"))
    environment.source = theirs
    status, said, complaint = environment.run("init")
    public = re.search(r"age1\w+", said)
    assert public
    assert (status, "cannot be opened with" in complaint) == (1, True)
    assert "secrets.recipients" in complaint

    environment.source = SecretsFile(mine.file, mine.identity, (public[0],))
    assert environment.run("recipients")[0] == 0
    environment.source = theirs
    assert secrets_file.read(theirs, {}).has("grafana.admin_password")


@pytest.mark.parametrize("command", [("edit",), ("set", "a.b"), ("get", "a.b"), ("key", "alice"), ("recipients",)])
def test_without_a_file_each_command_says_how_to_make_one(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """In words, with no traceback, and nothing is made."""
    _feed(monkeypatch, MARK)
    status, _, complaint = environment.run(*command)

    assert status == 1
    assert "init" in complaint or "is not known" in complaint
    assert not Path(environment.source.file).exists()


def _editor(monkeypatch: pytest.MonkeyPatch, place: Path, script: str) -> Path:
    seen = place / "seen"
    program = place / "editor"
    program.write_text(
        f'#!/bin/sh\n{{ echo "$1"; stat -c %a "$1" "$(dirname "$1")"; cat "$1"; }} >> {seen}\n{script}\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(program))
    return seen


def test_an_edit_is_in_memory_alone_and_leaves_nothing(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Readable to this user, in a directory of its own, gone afterwards."""
    environment.run("init")
    seen = _editor(monkeypatch, tmp_path, f"""printf '[alertmanager]\\nslack_url = "{MARK}"\\n' >> "$1" """)
    status, said, _ = environment.run("edit")
    path, file_mode, directory_mode, *_ = seen.read_text().splitlines()

    assert (status, file_mode, directory_mode) == (0, "600", "700")
    assert Path(path).is_relative_to(secrets_editor.memory())
    assert not Path(path).parent.exists()
    assert MARK not in said
    assert environment.run("get", "alertmanager.slack_url")[1] == f"{MARK}\n"


@pytest.mark.parametrize(
    "script", [f'echo "slack_url = {MARK}" >> "$1"', "exit 1", f'echo "x = {MARK}" >"$1"; kill -TERM $PPID']
)
def test_an_edit_that_fails_changes_nothing_and_leaves_nothing(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str
) -> None:
    """No TOML, an editor that fails, a terminal that is closed."""
    environment.run("init")
    before = environment.text()
    seen = _editor(monkeypatch, tmp_path, script)
    _feed(monkeypatch, "")
    try:
        status, said, complaint = environment.run("edit")
    except SystemExit as ended:
        status, said, complaint = int(str(ended.code)), "", ""

    assert status == 1
    assert MARK not in said + complaint
    assert environment.text() == before
    assert not Path(seen.read_text().splitlines()[0]).parent.exists()


def test_a_recipient_that_is_none_is_said(environment: Environment) -> None:
    """Before the file is touched."""
    environment.run("init")
    before = Path(environment.source.file).read_bytes()
    environment.source = SecretsFile(environment.source.file, environment.source.identity, ("age1nobody",))
    status, _, complaint = environment.run("recipients")

    assert (status, "'age1nobody', which is no public key" in complaint) == (1, True)
    assert Path(environment.source.file).read_bytes() == before


def test_an_environment_without_a_file_in_its_data_is_said(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With where it belongs."""
    monkeypatch.setattr("fleet.load.secrets_source", lambda _: None)

    assert "name file and identity in group_data/" in environment.run("show")[2]
    environment.inventory = "inventory/nowhere.py"
    assert "is no inventory file" in environment.run("show")[2]


def test_the_data_of_every_environment_say_where_secrets_are() -> None:
    """Read without opening anything."""
    found = {name: load.secrets_source(f"inventory/{name}.py") for name in ("prod", "staging", "lab", "example")}

    assert {name: source.file if source else None for name, source in found.items()} == {
        "prod": "secrets/prod.age",
        "staging": "secrets/staging.age",
        "lab": "/var/lib/ipex-lab/secrets.age",
        "example": None,
    }
