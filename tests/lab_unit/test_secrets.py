"""The lab's secrets: made once, added to by others, with plain keys that fit the hashes."""

import stat
from pathlib import Path

import pytest

from fleet import load, secrets_file
from fleet.secrets import hashed
from fleet.secrets_file import SecretsFile
from lab import secrets

CLIENTS = 'access = {"clients": {"chat-frontend": {"may": ["use"]}, "alice": {"may": ["look"]}}}\n'


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretsFile:
    """A place of their own for them, and two clients."""
    source = SecretsFile(str(tmp_path / "secrets.age"), str(tmp_path / "identity.txt"))
    (tmp_path / "gateways.py").write_text(CLIENTS)
    monkeypatch.setattr(secrets, "SOURCE", source)
    monkeypatch.setattr(secrets, "KEYS", tmp_path / "keys")
    monkeypatch.setattr(secrets, "_CLIENTS", tmp_path / "gateways.py")
    monkeypatch.delenv("SUDO_UID", raising=False)
    return source


def test_what_is_there_stays_and_what_is_new_comes_to_it(source: SecretsFile) -> None:
    """A second `up` changes nothing of a running lab's nodes; others add what they have made."""
    secrets.create({})
    first = secrets_file.opened(source)
    secrets.create({"tls.key": "-----BEGIN\nline\n", "probe.key": "another"})
    second = secrets_file.read(source, {})

    assert second.get("probe.key").reveal() == first["probe"]["key"]
    assert second.get("tls.key").reveal() == "-----BEGIN\nline\n"
    assert second.clients == secrets_file.understood(first, {}).clients


def test_each_client_has_a_key_and_a_password_that_fit(source: SecretsFile) -> None:
    """In files for the lab's owner alone, also after a second `up`."""
    secrets.create({})
    secrets.create({})
    known = secrets_file.read(source, {})

    assert set(known.clients) == {"chat-frontend", "alice"}
    for name, proofs in known.clients.items():
        path = secrets.KEYS / name
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [key.hash for key in proofs.keys] == [hashed(path.read_text().strip())]
        assert proofs.password
        assert (secrets.KEYS / f"{name}.password").exists()
    assert stat.S_IMODE(secrets.KEYS.stat().st_mode) == 0o700


def test_the_labs_data_name_the_file() -> None:
    """One place, said twice: the lab is known to its data only by it."""
    assert load.secrets_source("inventory/lab.py") == secrets.SOURCE
