"""What keeps a channel from naming a release, and an environment from taking one."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fleet import channels
from fleet.channels import ChannelError
from fleet.flake import Flake
from fleet.release import Evidence, Release, Rule, Soak, SuiteRun, foreign, is_older, missing

NOW = 1_800_000_000.0
DAY = 86400
RELEASE = Release(
    version="1.4.0",
    author="ada@example.com",
    made="2027-01-15T08:00:00+00:00",
    flake=Flake("github:you/flake/0123456789012345678901234567890123456789", f"sha256-{'A' * 43}="),
    tool="0123456789abcdef",
)
RULE = Rule(
    after="beta",
    suites=("unit", "integration"),
    environments=("staging",),
    soak_days=7,
    error_budget_left=0.25,
    baseline=True,
    approvals=1,
)
SOAK = Soak(
    asked=NOW - 60,
    versions={"gpu-01": "1.4.0", "monitor-01": "1.4.0"},
    since=NOW - 8 * DAY,
    budgets={"availability": 0.6},
    measured=True,
)
GOOD = Evidence(
    named=frozenset({"dev", "beta"}),
    suites={suite: SuiteRun(RELEASE.tool, passed=True, target="inventory/lab.py") for suite in ("unit", "integration")},
    environments={"staging": SOAK},
    approvers=frozenset({"grace@example.com"}),
    authors=frozenset({"ada@example.com"}),
)


def lacking(evidence: Evidence = GOOD, **soak: Any) -> list[str]:
    """What is missing for stable."""
    if soak:
        changed = dataclasses.replace(SOAK, **soak)
        evidence = dataclasses.replace(evidence, environments={"staging": changed})
    return [problem.what for problem in missing(RELEASE, "stable", RULE, evidence, NOW)]


def test_a_release_with_all_of_it_may_be_promoted() -> None:
    """Nothing is missing."""
    assert lacking() == []


def test_everything_that_is_missing_is_said_at_once() -> None:
    """A release of which nothing is known lacks each thing the rule asks for."""
    assert lacking(Evidence()) == [
        "beta does not name 1.4.0",
        "the suite unit has not been run",
        "the suite integration has not been run",
        "staging has not been asked how it does",
        "0 of 1 approvals are there",
    ]


@pytest.mark.parametrize(
    ("soak", "said"),
    [
        ({"asked": NOW - 2 * 3600, "since": NOW - 9 * DAY}, "what staging said is 2.0 hours old"),
        ({"versions": {"gpu-01": "1.3.9", "gpu-02": ""}}, "staging: gpu-01, gpu-02 run another release"),
        ({"unreached": ("gpu-02",)}, "staging: gpu-02 did not answer"),
        ({"since": NOW - 60 - 7 * DAY + 1}, "staging has run it for 7.0 days, not 7 days"),
        ({"since": 0.0}, "staging has run it for 0.0 hours, not 7 days"),
        ({"since": NOW + DAY}, "staging has run it for 0.0 hours, not 7 days"),
        ({"failures": ("gpu-01 has quarantined f00: hangs",)}, "staging: gpu-01 has quarantined f00: hangs"),
        ({"budgets": {}}, "staging says nothing of its error budgets"),
        ({"budgets": {"latency": None}}, "staging: what is left of latency's error budget is not known"),
        ({"budgets": {"latency": 0.1}}, "staging: 10% of latency's error budget are left, not 25%"),
        ({"measured": False}, "staging has no baseline to compare with"),
        (
            {"slower": ("gpu-01 ollama: 31.0 instead of 40.2 tokens/s",)},
            "staging is slower: gpu-01 ollama: 31.0 instead of 40.2 tokens/s",
        ),
    ],
)
def test_an_environment_that_is_not_well_with_it_keeps_it_back(soak: dict[str, Any], said: str) -> None:
    """Each with its own reason, and no other."""
    assert lacking(**soak) == [said]


def test_a_soak_ends_to_the_second() -> None:
    """Seven days, as the environment's own clock has them, are enough."""
    assert lacking(since=SOAK.asked - 7 * DAY) == []


def test_a_suite_counts_for_the_tool_it_was_run_with() -> None:
    """Not for another, and not where it failed."""
    other, failed = SuiteRun("f" * 16, passed=True), SuiteRun(RELEASE.tool, passed=False)
    evidence = dataclasses.replace(GOOD, suites={"unit": other, "integration": failed})

    assert lacking(evidence) == [
        "the suite unit was run with another tool than this release's",
        "the suite integration has failed",
    ]


def test_nobody_approves_their_own_work() -> None:
    """Neither who made the release nor who wrote a commit of it."""
    evidence = dataclasses.replace(GOOD, approvers=frozenset({"ada@example.com"}))

    assert lacking(evidence) == ["0 of 1 approvals are there (ada@example.com wrote part of it and does not count)"]


def test_versions_are_compared_as_semver_has_it() -> None:
    """By number, with a pre-release before its release; what is no version is neither older nor newer."""
    assert is_older("1.9.0", "1.10.0")
    assert is_older("2.0.0-rc.1", "2.0.0")
    assert not is_older("2.0.0", "2.0.0")
    assert not is_older("main", "2.0.0")


def test_an_environment_takes_what_its_channel_names_and_nothing_else() -> None:
    """Neither another tool, nor other models, nor anything while the channel names nothing."""
    assert list(foreign(RELEASE, "stable", RELEASE.tool, "")) == []
    assert [what for what, _ in foreign(None, "stable", RELEASE.tool, "")] == ["the channel stable names no release"]
    release = dataclasses.replace(RELEASE, models="abc")
    assert [what for what, _ in foreign(release, "stable", "f" * 16, "def")] == [
        f"this working tree (tool {'f' * 16}) is not release 1.4.0 of channel stable (tool {RELEASE.tool})",
        "models.lock is not that of release 1.4.0 of channel stable",
    ]


def test_a_channels_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And every mistake in it is told, with the file's name."""
    (tmp_path / "rules.toml").write_text((channels.FOLDER / "rules.toml").read_text())
    (tmp_path / "stable.toml").write_text(channels.text(RELEASE))
    assert channels.named("stable", tmp_path) == RELEASE
    assert channels.named("beta", tmp_path) is None

    (tmp_path / "stable.toml").write_text(channels.text(RELEASE).replace("tool", "tol").replace('"1.4.0"', "1"))
    with pytest.raises(ChannelError) as error:
        channels.named("stable", tmp_path)
    assert {problem.what for problem in error.value.problems} >= {"tool is missing", "version is 1, not text"}
    with pytest.raises(ChannelError, match="is 'nightly'"):
        channels.named("nightly", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[channels.beta]\nafter = "dev"\nsuites = []\n', "channels.beta.after is 'dev'"),
        ("[channels.dev]\nsuites = []\n[channels.beta]\nsuites = []\n", "channels.beta.after is missing"),
        ("[channels.dev]\nsuites = []\nsoak_days = 1\n", "channels.dev asks for a soak and names no environments"),
        ("[channels.dev]\nsuites = []\napprovals = -1\n", "channels.dev.approvals is -1"),
        ('[channels.dev]\nsuites = ["smoke"]\n', "channels.dev.suites[0] is 'smoke', not one of unit, integration"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """Each with its address."""
    (tmp_path / "rules.toml").write_text(text)

    with pytest.raises(ChannelError) as error:
        channels.rules(tmp_path)

    assert any(said in problem.what for problem in error.value.problems)


def test_the_tools_digest_is_of_the_tool_alone(tmp_path: Path) -> None:
    """It changes with a template, and neither with an operator's data nor with what Python leaves."""
    for name in ("templates/a.j2", "group_data/all.py", "fleet/__pycache__/a.pyc", "deploy.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    digest = channels.tool_digest.__wrapped__
    before = digest(tmp_path)
    (tmp_path / "group_data/all.py").write_text("2")
    (tmp_path / "fleet/__pycache__/a.pyc").write_text("2")
    assert digest(tmp_path) == before
    (tmp_path / "templates/a.j2").write_text("2")
    assert digest(tmp_path) != before
