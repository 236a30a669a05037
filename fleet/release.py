"""Releases, the channels that name them, and what a release needs before a channel may name it. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from semver import Version

from fleet.flake import Flake
from fleet.problems import Problem

Suite = Literal["unit", "integration", "performance", "security"]
_DAY_SECONDS = 86400
_FRESH_SECONDS = 3600
"""What an environment has said of itself may be so old: after that it may have changed."""


@dataclass(frozen=True)
class Release:
    """What an environment runs.

    Attributes:
        version: semantic version (semver.org), such as 1.4.0.
        author: who made it: an e-mail address, as git has it.
        made: when, in ISO 8601 with UTC.
        flake: the IPEX flake at a pinned revision.
        tool: digest of what makes generations of data (`fleet.channels.tool_digest`).
        models: digest of models.lock; empty where there is none.
    """

    version: str
    author: str
    made: str
    flake: Flake
    tool: str
    models: str = ""


@dataclass(frozen=True)
class Rule:
    """What a channel asks of a release.

    Attributes:
        after: the channel that must name it already; None for the first.
        suites: those that must have passed with this very tool.
        environments: those that must run it.
        soak_days: for how long they must have, without a failure since.
        error_budget_left: the share of every objective's error budget that must be left there.
        baseline: whether nothing there may have become slower.
        approvals: how many people who have written nothing of it must have signed it.
    """

    suites: tuple[Suite, ...]
    after: str | None = None
    environments: tuple[str, ...] = ()
    soak_days: int | float = 0
    error_budget_left: int | float = 0
    baseline: bool = False
    approvals: int = 0


@dataclass(frozen=True)
class Told:
    """Who is told of a promotion."""

    slack: str = ""
    email: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rules:
    """What stands in channels/rules.toml; the order of the channels is the way of a release."""

    channels: Mapping[str, Rule]
    notifications: Told = field(default_factory=Told)


@dataclass(frozen=True)
class SuiteRun:
    """How a suite ended.

    Attributes:
        tool: digest of the tool it was run with.
        passed: whether all of it passed.
        target: the inventory whose nodes were asked.
    """

    tool: str
    passed: bool
    target: str = ""


@dataclass(frozen=True)
class Soak:
    """What an environment says of itself (tasks/evidence.py).

    Attributes:
        asked: when, in seconds since 1970.
        versions: the release of each node that was reached; empty for one that follows no channel.
        since: when the last of them took it, in seconds since 1970; 0 where it is not known.
        unreached: nodes that did not answer.
        failures: what has failed since: rollbacks, quarantined generations, each in words.
        budgets: what is left of each objective's error budget, a share; None where it is not known.
        slower: what has become slower than the stored baseline, each in words.
        measured: whether there is a baseline to compare with on every GPU node.
    """

    asked: float
    versions: Mapping[str, str]
    since: float
    unreached: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()
    budgets: Mapping[str, float | None] = field(default_factory=dict)
    slower: tuple[str, ...] = ()
    measured: bool = False


@dataclass(frozen=True)
class Evidence:
    """All that is known of a release.

    Attributes:
        named: the channels that name it already.
        suites: each suite's last run.
        environments: what each environment said last.
        approvers: who has signed it, by a valid signature.
        authors: who has written it.
    """

    named: frozenset[str] = frozenset()
    suites: Mapping[str, SuiteRun] = field(default_factory=dict)
    environments: Mapping[str, Soak] = field(default_factory=dict)
    approvers: frozenset[str] = frozenset()
    authors: frozenset[str] = frozenset()


def missing(release: Release, channel: str, rule: Rule, evidence: Evidence, now: float) -> tuple[Problem, ...]:
    """Everything that keeps a channel from naming a release, each with what to do; nothing where it may.

    Args:
        release: the candidate.
        channel: the channel that is to name it.
        rule: what that asks.
        evidence: what is known.
        now: seconds since 1970.
    """
    found = [*_way(release, rule, evidence), *_suites(release, rule, evidence)]
    for name in rule.environments:
        found += _soak(release, name, rule, evidence.environments.get(name), now)
    found += _approvals(channel, rule, evidence)
    return tuple(Problem(channel, what, cure) for what, cure in found)


def _way(release: Release, rule: Rule, evidence: Evidence) -> Iterator[tuple[str, str]]:
    if rule.after and rule.after not in evidence.named:
        yield (
            f"{rule.after} does not name {release.version}",
            f"`python -m tools.release promote {rule.after}` comes first.",
        )


def _suites(release: Release, rule: Rule, evidence: Evidence) -> Iterator[tuple[str, str]]:
    for suite in rule.suites:
        run, cure = evidence.suites.get(suite), f"`python -m tools.release suite {suite}`."
        if run is None:
            yield f"the suite {suite} has not been run", cure
        elif run.tool != release.tool:
            yield f"the suite {suite} was run with another tool than this release's", cure
        elif not run.passed:
            yield f"the suite {suite} has failed", f"Mend what failed, make a new release, then {cure}"


def _soak(release: Release, name: str, rule: Rule, soak: Soak | None, now: float) -> Iterator[tuple[str, str]]:
    ask = f"`pyinfra inventory/{name}.py tasks/evidence.py`."
    if soak is None:
        yield f"{name} has not been asked how it does", ask
        return
    if now - soak.asked > _FRESH_SECONDS:
        yield f"what {name} said is {_hours(now - soak.asked)} old", f"Ask again: {ask}"
    if others := sorted(node for node, version in soak.versions.items() if version != release.version):
        yield f"{name}: {', '.join(others)} run another release", f"Deploy {release.version} there."
    if soak.unreached:
        yield f"{name}: {', '.join(soak.unreached)} did not answer", f"Bring them back, then ask again: {ask}"
    # A time in the future is a clock that is wrong, and no soak.
    lasted = max(0.0, soak.asked - soak.since) if soak.since else 0.0
    if lasted < rule.soak_days * _DAY_SECONDS:
        yield f"{name} has run it for {_hours(lasted)}, not {rule.soak_days} days", "Wait, then ask again."
    for failure in soak.failures:
        yield f"{name}: {failure}", "Find out why; a mended release begins anew."
    yield from _budgets(name, rule, soak)
    if rule.baseline:
        if not soak.measured:
            yield (
                f"{name} has no baseline to compare with",
                "Let every GPU node measure one (docs/operate/optimizer.md).",
            )
        for what in soak.slower:
            yield f"{name} is slower: {what}", "Find out why; a mended release begins anew."


def _budgets(name: str, rule: Rule, soak: Soak) -> Iterator[tuple[str, str]]:
    if not rule.error_budget_left:
        return
    if not soak.budgets:
        yield f"{name} says nothing of its error budgets", "Look at its monitor's Prometheus, then ask again."
    for objective, left in soak.budgets.items():
        if left is None:
            yield f"{name}: what is left of {objective}'s error budget is not known", "Give it traffic, then ask again."
        elif left < rule.error_budget_left:
            what = f"{left:.0%} of {objective}'s error budget are left, not {rule.error_budget_left:.0%}"
            yield f"{name}: {what}", "Wait until it has recovered; its window is 30 days."


def _approvals(channel: str, rule: Rule, evidence: Evidence) -> Iterator[tuple[str, str]]:
    counted = evidence.approvers - evidence.authors
    if len(counted) < rule.approvals:
        own = sorted(evidence.approvers & evidence.authors)
        aside = f" ({', '.join(own)} wrote part of it and does not count)" if own else ""
        yield (
            f"{len(counted)} of {rule.approvals} approvals are there{aside}",
            f"Let somebody else of channels/approvers run `python -m tools.release approve {channel}`.",
        )


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"


def nonsense(rules: Rules) -> Iterator[tuple[str, str]]:
    """What of the rules cannot be meant, each with its cure."""
    before: list[str] = []
    for name, rule in rules.channels.items():
        where = f"channels.{name}"
        if rule.after and rule.after not in before:
            yield (
                f"{where}.after is {rule.after!r}",
                f"Name a channel that stands above it: {', '.join(before) or 'none'}.",
            )
        if before and not rule.after:
            yield f"{where}.after is missing", "Only the first channel takes new releases."
        for key, fits, wanted in (
            ("soak_days", rule.soak_days >= 0, "0 or more"),
            ("error_budget_left", 0 <= rule.error_budget_left <= 1, "a share from 0 to 1"),
            ("approvals", rule.approvals >= 0, "0 or more"),
        ):
            if not fits:
                yield f"{where}.{key} is {getattr(rule, key)!r}", f"Write {wanted}."
        if not rule.environments and (rule.soak_days or rule.error_budget_left or rule.baseline):
            yield f"{where} asks for a soak and names no environments", "Say where it must have run."
        before.append(name)


def foreign(release: Release | None, channel: str, tool: str, models: str) -> Iterator[tuple[str, str]]:
    """Why an environment that follows a channel must not be deployed from this working tree; each with its cure.

    Args:
        release: what the channel names.
        channel: its name.
        tool: digest of this working tree's tool.
        models: digest of this working tree's models.lock.
    """
    if release is None:
        yield (
            f"the channel {channel} names no release",
            f"Promote one: `python -m tools.release explain {channel}` says what is missing.",
        )
        return
    fetch = f"`git checkout v{release.version} && git checkout - -- channels` fetches it."
    if tool != release.tool:
        its = f"release {release.version} of channel {channel} (tool {release.tool})"
        yield f"this working tree (tool {tool}) is not {its}", fetch
    if release.models and models != release.models:
        yield f"models.lock is not that of release {release.version} of channel {channel}", fetch


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another; what is no version is neither."""
    if not (Version.is_valid(version) and Version.is_valid(than)):
        return False
    return Version.parse(version) < Version.parse(than)
