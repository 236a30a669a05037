"""Secrets that do not belong here: keys, tokens, passwords, in the tree and its whole history, by detect-secrets."""

import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from detect_secrets.core.scan import scan_line
from detect_secrets.settings import transient_settings

from tools.security.finding import Finding, Result

# All that know what they look for. Entropy alone finds each hash that this repository pins.
_DETECTORS = (
    *("AWSKeyDetector", "ArtifactoryDetector", "AzureStorageKeyDetector", "BasicAuthDetector", "CloudantDetector"),
    *("DiscordBotTokenDetector", "GitHubTokenDetector", "GitLabTokenDetector", "IbmCloudIamDetector"),
    *("IbmCosHmacDetector", "JwtTokenDetector", "KeywordDetector", "MailchimpDetector", "NpmDetector"),
    *("OpenAIDetector", "PrivateKeyDetector", "PypiTokenDetector", "SendGridDetector", "SlackDetector"),
    *("SoftlayerDetector", "SquareOAuthDetector", "StripeDetector", "TelegramBotTokenDetector", "TwilioKeyDetector"),
)
# Hashes of packages, nothing else.
_SKIPPED = {"requirements.lock"}


def check(root: Path) -> Result:
    """Look at every line that was ever added, and at what is not committed yet."""
    shallow = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    history = _git(root, "log", "-p", "--all", "--no-color", "--unified=0", "--no-textconv", "--format=")
    lines = {*added(history), *added(_git(root, "diff", "--no-color", "--unified=0", "HEAD"))}
    findings = tuple(dict.fromkeys(found(sorted(lines))))
    unchecked = "this clone is shallow: its history is not here" if shallow else ""
    return Result("secrets", findings, unchecked, f"{len(lines)} lines, of the tree and of all history")


def added(diff: str) -> Iterator[tuple[str, str]]:
    """Yield each line that a diff adds, with its file."""
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/")
        elif line.startswith("+") and not line.startswith("+++") and path not in _SKIPPED:
            yield path, line[1:]


def found(lines: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Yield what looks like a secret; never the secret itself."""
    with transient_settings({"plugins_used": [{"name": name} for name in _DETECTORS]}):
        for path, line in lines:
            for secret in scan_line(line):
                yield Finding("secrets", f"{path} {secret.type}", "looks like one; if it is, it must be changed first")


def _git(root: Path, *words: str) -> str:
    run = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, errors="replace", check=True)
    return run.stdout
