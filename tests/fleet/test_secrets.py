"""Secrets: where they come from, that they never show themselves, and what is said of a bad file."""

import tomllib
from pathlib import Path

import pyrage
import pytest

from fleet.generation import File, Generation, Part
from fleet.plan import unknown_secrets
from fleet.secrets import Secret, Secrets, missing
from fleet.secrets_file import SecretsError, SecretsFile, read, understood

TEXT = """
[alertmanager]
slack_url = "https://example.com/MARKED"

[clients.chat-frontend]
keys = [{id = "1a2b3c4d", hash = "AAAAAAAAAAAAAAAAAAAAAA", created = 2026-11-26}]
password = "{SSHA}bWFya2Vk"
"""


@pytest.fixture
def source(tmp_path: Path) -> SecretsFile:
    """A file that its identity opens."""
    mine = pyrage.x25519.Identity.generate()
    (tmp_path / "identity.txt").write_text(f"# created: today\n# public key: {mine.to_public()}\n{mine}\n")
    (tmp_path / "lab.age").write_bytes(pyrage.encrypt(TEXT.encode(), [mine.to_public()]))
    return SecretsFile(str(tmp_path / "lab.age"), str(tmp_path / "identity.txt"))


def test_a_file_is_opened_and_variables_win(source: SecretsFile) -> None:
    """Both ways lead to the same name."""
    assert read(source, {}).get("alertmanager.slack_url").reveal() == "https://example.com/MARKED"
    assert read(source, {}).credentials("chat-frontend").keys[0].id == "1a2b3c4d"
    other = read(source, {"IPEX_SECRET_ALERTMANAGER_SLACK_URL": "https://example.com/other", "HOME": "/root"})
    assert other.get("alertmanager.slack_url").reveal() == "https://example.com/other"


def test_without_a_file_or_an_identity_nothing_is_known(source: SecretsFile, tmp_path: Path) -> None:
    """So everything can still be rendered; a deploy is refused where it would need one."""
    for known in (read(None, {}), read(SecretsFile(source.file, str(tmp_path / "nobody")), {})):
        assert not known.has("alertmanager.slack_url")
        content = f"url: {known.get('alertmanager.slack_url').reveal()}\n".encode()
        generation = Generation("monitor-01", (Part(files=(File("/x", content, mode="0640", secret=True),)),))
        problem = next(unknown_secrets(generation))
        assert missing(content) == ("alertmanager.slack_url",)
        assert "monitor-01" in problem.where
        assert "alertmanager.slack_url" in problem.what


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{:>40}".format, lambda one: f"{one!s} {one!r}"])
def test_a_secret_never_shows_itself(show: object) -> None:
    """Not printed, not formatted, not as part of what holds it."""
    secret = Secret("probe.key", "MARKED")
    assert "MARKED" not in show(secret)  # type: ignore[operator]
    assert "MARKED" not in repr(Secrets({"probe.key": "MARKED"}))
    file = File("/x", b"MARKED", mode="0600", secret=True)
    assert "MARKED" not in repr(file)
    assert b"MARKED" not in file.shown()


def test_a_secret_file_that_others_could_read_is_refused() -> None:
    """By the one type that all files pass."""
    with pytest.raises(ValueError, match="others could read"):
        File("/x", b"", mode="0644", secret=True)


def test_a_wrong_identity_and_a_damaged_file_are_said_without_a_value(source: SecretsFile) -> None:
    """Each with what to do."""
    stranger = Path(source.identity).with_name("stranger.txt")
    stranger.write_text(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(SecretsError, match=r"lab\.age cannot be opened"):
        read(SecretsFile(source.file, str(stranger)), {})
    Path(source.file).write_bytes(Path(source.file).read_bytes()[:-20])
    with pytest.raises(SecretsError, match="cannot be opened"):
        read(source, {})
    Path(source.identity).write_text("nothing")
    with pytest.raises(SecretsError, match="holds no age identity"):
        read(source, {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[alertmanager]\nSlack = "MARKED"', "alertmanager.Slack is no name"),
        ("[alertmanager]\nslack_url = 5", "alertmanager.slack_url is no text"),
        ('[clients.x]\nkeys = [{id = "MARKED", hash = "short"}]', "clients.x holds no keys"),
        ('[clients.x]\npassword = "MARKED"', "clients.x holds no keys"),
        ('clients = "MARKED"', "clients is no table"),
    ],
)
def test_all_that_is_wrong_is_said_at_once_and_no_value(text: str, said: str) -> None:
    """A person mends it by the words alone."""
    with pytest.raises(SecretsError) as caught:
        understood(tomllib.loads(text), {})
    assert said in str(caught.value)
    assert "MARKED" not in str(caught.value.problems)
