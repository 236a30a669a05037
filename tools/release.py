"""Releases and channels: make a release, see what it lacks, approve it, promote it (docs/operate/releases.md)."""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from semver import Version

from fleet import channels
from fleet.flake import Flake
from fleet.problems import report
from fleet.release import Release, Rules, SuiteRun, missing
from tools import release_approvals, release_evidence, release_news
from tools.release_approvals import ApprovalError

KEPT = Path("build/release")
CHANGELOG = channels.ROOT / "CHANGELOG.md"


class ReleaseError(Exception):
    """What was asked for cannot be done; nothing was changed. Its text is for people."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 not (the reasons are printed), 2 wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(channels.rules(), options))
    except channels.ChannelError as error:
        print(report("channels", error.problems), file=sys.stderr)
    except (ReleaseError, ApprovalError) as error:
        print(error, file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, words, said in _COMMANDS:
        command = commands.add_parser(name, help=said, description=said)
        for word, about in words.items():
            if word == "--dry":
                command.add_argument(word, help=about, action="store_true")
            else:
                command.add_argument(word, help=about)
        command.set_defaults(run=run)
    return parser


def _show(rules: Rules, _: argparse.Namespace) -> int:
    tool = channels.tool_digest()
    for name in rules.channels:
        one = channels.named(name)
        fits = " (this working tree)" if one and one.tool == tool else ""
        print(f"{name:<8} {f'{one.version}  made {one.made} by {one.author}{fits}' if one else 'names no release'}")
    return 0


def _new(rules: Rules, options: argparse.Namespace) -> int:
    first = next(iter(rules.channels))
    before = channels.named(first)
    _require(Version.is_valid(options.version), f"{options.version} is no semantic version: write it like 1.4.0.")
    if before:
        newer = Version.parse(options.version) > Version.parse(before.version)
        _require(newer, f"{options.version} does not come after {before.version}, which {first} names.")
    flake = Flake(options.url, options.nar_hash) if options.url else before.flake if before else None
    if flake is None:
        raise ReleaseError("Name the flake: --url and --nar-hash, as `nix flake metadata --json URL` prints them.")
    made = datetime.now(UTC).isoformat(timespec="seconds")
    release = Release(
        options.version, _git("config", "user.email"), made, flake, channels.tool_digest(), channels.models_digest()
    )
    lines = _news(CHANGELOG.read_text(), "Unreleased")
    _require(bool(lines), "CHANGELOG.md has nothing under Unreleased: say there what changes for operators.")
    print(f"{first}: {release.version}, tool {release.tool}, {len(lines)} lines of changes; tag v{release.version}")
    if options.dry:
        return 0
    _require(not _git("status", "--porcelain"), "The working tree has changes: commit them, then run this again.")
    CHANGELOG.write_text(_dated(CHANGELOG.read_text(), release))
    (channels.FOLDER / f"{first}.toml").write_text(channels.text(release))
    _commit(f"phase4: release {release.version}", CHANGELOG, channels.FOLDER / f"{first}.toml")
    _git("tag", "--annotate", f"v{release.version}", "--message", f"Release {release.version}")
    return 0


def _explain(rules: Rules, options: argparse.Namespace) -> int:
    return 1 if _lacking(rules, options.channel, _candidate(rules, options.channel)) else 0


def _approve(rules: Rules, options: argparse.Namespace) -> int:
    release = _candidate(rules, options.channel)
    key = Path(options.key or "~/.ssh/id_ed25519").expanduser()
    print(release_approvals.statement(release, options.channel).decode(), end="")
    person, path = release_approvals.sign(channels.FOLDER, release, options.channel, key)
    print(f"{person} approves {release.version} for {options.channel}: commit {path}")
    return 0


def _promote(rules: Rules, options: argparse.Namespace) -> int:
    channel = options.channel
    release = _candidate(rules, channel)
    before = channels.named(channel)
    _require(before != release, f"{channel} names {release.version} already.")
    if _lacking(rules, channel, release):
        return 1
    text = release_news.text(release, channel, _news(CHANGELOG.read_text(), release.version))
    print(f"{channel}: {before.version if before else 'nothing'} -> {release.version}")
    if options.dry:
        print(f"Would commit channels/{channel}.toml and tell {release_news.audience(rules.notifications)}:\n\n{text}")
        return 0
    path = channels.FOLDER / f"{channel}.toml"
    path.write_text(channels.text(release))
    _commit(f"phase4: {channel} names release {release.version}", path)
    print(release_news.tell(rules.notifications, f"ipex-fleet {release.version} is {channel}", text, os.environ))
    return 0


def _suite(_: Rules, options: argparse.Namespace) -> int:
    words = ["make", options.suite, *([f"INVENTORY={options.inventory}"] if options.inventory else [])]
    done = subprocess.run(words, check=False, cwd=channels.ROOT)
    run = SuiteRun(channels.tool_digest(), done.returncode == 0, options.inventory or "inventory/lab.py")
    kept = release_evidence.keep_suite(KEPT, options.suite, run)
    print(f"{options.suite} {'passed' if run.passed else 'FAILED'}: {kept}")
    return 0 if run.passed else 1


def _candidate(rules: Rules, channel: str) -> Release:
    """The release that a channel may name next: what the channel before it names."""
    channels.named(channel)  # says which there are
    source = rules.channels[channel].after or channel
    release = channels.named(source)
    if release is None:
        raise ReleaseError(f"{source} names no release: begin with `python -m tools.release new VERSION`.")
    return release


def _lacking(rules: Rules, channel: str, release: Release) -> bool:
    evidence, unusable = release_evidence.gather(channels.FOLDER, KEPT, rules, release, channel)
    for line in unusable:
        print(f"not counted: {line}")
    problems = missing(release, channel, rules.channels[channel], evidence, time.time())
    for problem in problems:
        print(f"{channel}: {problem.what}. {problem.cure}")
    if not problems:
        print(f"{channel}: nothing is missing, {release.version} may be promoted")
    return bool(problems)


def _news(changelog: str, heading: str) -> list[str]:
    """The lines under a heading, whatever stands behind that."""
    section = re.search(rf"^## {re.escape(heading)}\b[^\n]*\n(.*?)(?=^## |\Z)", changelog, re.DOTALL | re.MULTILINE)
    return [line for line in section[1].splitlines() if line.strip()] if section else []


def _dated(changelog: str, release: Release) -> str:
    heading = f"## Unreleased\n\n## {release.version} ({release.made[:10]})\n"
    return changelog.replace("## Unreleased\n", heading, 1)


def _commit(message: str, *paths: Path) -> None:
    _git("commit", "--quiet", "--message", message, "--", *map(str, paths))


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=channels.ROOT)
    if done.returncode:
        raise ReleaseError(f"git {words[0]}: {done.stderr.strip() or 'said nothing'}")
    return done.stdout.strip()


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise ReleaseError(what)


_CHANNEL = {"channel": "dev, beta or stable"}
_DRY = {"--dry": "say what would happen, and change nothing"}
_COMMANDS: tuple[tuple[str, Callable[[Rules, argparse.Namespace], int], Mapping[str, str], str], ...] = (
    ("show", _show, {}, "What each channel names."),
    (
        "new",
        _new,
        {
            "version": "such as 1.4.0",
            "--url": "the flake's URL; the last release's without it",
            "--nar-hash": "its narHash",
            **_DRY,
        },
        "Make a release of this commit: dated in CHANGELOG.md, named by the first channel, tagged.",
    ),
    ("explain", _explain, _CHANNEL, "What a release still lacks for a channel; exit status 0 where nothing."),
    (
        "suite",
        _suite,
        {
            "suite": "unit, integration, performance or security",
            "--inventory": "whose nodes are asked; the lab's without it",
        },
        "Run a suite of tests and keep how it ended.",
    ),
    ("approve", _approve, {**_CHANNEL, "--key": "your SSH key; ~/.ssh/id_ed25519 without it"}, "Sign a release."),
    (
        "promote",
        _promote,
        {**_CHANNEL, **_DRY},
        "Let a channel name the release of the one before it, and tell people.",
    ),
)

if __name__ == "__main__":
    sys.exit(main())
