"""The security scan: what it finds, what it excuses, and that no exception outlives its day."""

import datetime as dt
import json
import subprocess
from pathlib import Path

import pytest

from tools.security import __main__ as scan
from tools.security import code, dependencies, leaks, workflows
from tools.security.finding import Excuse, Finding, Result, exceptions, remaining, wrong

pytestmark = pytest.mark.security

ROOT = Path(__file__).parents[2]
TODAY = dt.datetime.now(tz=dt.UTC).date()
EXCUSE = Excuse("secrets", "a.py Private Key", "a mark", dt.date(2026, 12, 1))
# Put together here, so that the scan does not find it in this file.
PLANTED = "-----BEGIN " + "RSA PRIVATE KEY-----"


def test_no_exception_has_expired() -> None:
    """On the day after its last one it is looked at again."""
    assert wrong(exceptions(), TODAY) == []
    assert {one.check for one in exceptions()} <= {*scan.CHECKS, "nginx"}


def test_an_exception_that_is_over_or_has_no_end_is_an_error() -> None:
    """The last day counts, the next does not; nothing is excused for years."""
    assert wrong([EXCUSE], dt.date(2026, 12, 1)) == []
    assert "expired on 2026-12-01" in wrong([EXCUSE], dt.date(2026, 12, 2))[0]
    assert "set a day within" in wrong([EXCUSE], dt.date(2025, 1, 1))[0]


@pytest.mark.parametrize("missing", ["reason", "expires"])
def test_an_exception_without_reason_or_day_is_refused(tmp_path: Path, missing: str) -> None:
    """Both are what makes it one."""
    entry = {"check": '"code"', "finding": '"x"', "reason": '"y"', "expires": "2027-01-01"}
    lines = [f"{key} = {value}" for key, value in entry.items() if key != missing]
    path = tmp_path / "exceptions.toml"
    path.write_text("[[exception]]\n" + "\n".join(lines) + "\n")

    with pytest.raises(ValueError, match="needs check, finding, reason and expires"):
        exceptions(path)


def test_what_is_excused_is_left_out_and_what_is_not_found_any_more_is_said() -> None:
    """An exception for nothing would excuse what comes later."""
    found = Finding("secrets", "b.py AWS Access Key", "looks like one")

    assert remaining(Result("secrets", (found,)), [EXCUSE]) == [
        "b.py AWS Access Key: looks like one",
        "a.py Private Key: not found any more; take its exception away",
    ]
    assert remaining(Result("secrets", (Finding("secrets", "a.py Private Key", ""),)), [EXCUSE]) == []


def test_the_code_has_nothing_that_is_not_excused() -> None:
    """Ruff's security rules over everything, and no rule switched off without a reason."""
    assert remaining(code.check(ROOT), exceptions()) == []


@pytest.mark.parametrize(("reason", "count"), [("", 1), (" - a port that is free on all", 0)])
def test_a_rule_that_is_switched_off_without_a_reason_is_found(reason: str, count: int) -> None:
    """The reason stands behind it."""
    line = "listen('0.0.0.0')  # noqa" + f": S104{reason}"

    assert len(list(code.bare("a.py", line))) == count


def test_licences_are_those_allowed() -> None:
    """Of every locked package, or there is an exception."""
    assert remaining(dependencies.licences(ROOT), exceptions()) == []


@pytest.mark.parametrize(
    ("licence", "verdict"),
    [
        ("MIT", True),
        ("Apache-2.0 OR GPL-3.0-only", True),
        ("Apache-2.0 AND GPL-3.0-only", False),
        ("Mozilla Public License 2.0 (MPL 2.0)", True),
        ("GPL-3.0-only", False),
        ("Proprietary", False),
    ],
)
def test_a_licence_is_judged(licence: str, *, verdict: bool) -> None:
    """Of several to choose from one is enough; of several that all hold none may be missing."""
    assert dependencies.allowed(licence) is verdict


@pytest.mark.parametrize(
    ("version", "fixed", "verdict"), [("3.1.2", "3.1.3", True), ("3.1.3", "3.1.3", False), ("2.9", "3.1.3", True)]
)
def test_a_vulnerability_is_one_of_the_versions_it_names(version: str, fixed: str, *, verdict: bool) -> None:
    """By its list, or from where it came to where it was mended."""
    ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]
    known: dict[str, object] = {
        "id": "PYSEC-1",
        "affected": [{"package": {"name": "Jinja2"}, "versions": ["3.1.2"], "ranges": ranges}],
    }

    assert dependencies.concerns(known, "jinja2", version) is verdict
    assert not dependencies.concerns(known, "another", version)
    assert not dependencies.concerns({**known, "withdrawn": "2026-01-01"}, "jinja2", version)


def test_a_database_that_does_not_answer_is_no_clean_bill(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip-audit says so of each package, and then that there are no known vulnerabilities."""
    said = {"dependencies": [{"name": "a", "skip_reason": "not found"}, {"name": "b", "version": "1", "vulns": []}]}
    monkeypatch.delenv("ADVISORIES", raising=False)
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, stdout=json.dumps(said), stderr="")
    )

    result = dependencies.vulnerabilities(ROOT)

    assert result.findings == ()
    assert result.unchecked == "the database does not answer for 1 of 2 packages"


def test_an_old_copy_of_the_database_is_no_clean_bill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It knows nothing of what was found since; what it does know is said."""
    folder = tmp_path / "vulns" / "jinja2"
    folder.mkdir(parents=True)
    version = dependencies.locked(ROOT)["jinja2"]
    (folder / "PYSEC-1.yaml").write_text(
        f"id: PYSEC-1\nmodified: '2024-10-10T00:00:00Z'\nsummary: escapes\naffected:\n"
        f"- package:\n    name: jinja2\n  versions: ['{version}']\n"
    )
    monkeypatch.setenv("ADVISORIES", str(tmp_path))

    result = dependencies.vulnerabilities(ROOT)

    assert [finding.name for finding in result.findings] == ["jinja2 PYSEC-1"]
    assert "ends on 2024-10-10" in result.unchecked


def test_a_planted_key_is_found_and_not_repeated() -> None:
    """In a line that was added, with its file; in the hashes of packages nothing is looked for."""
    diff = f"+++ b/deploy.py\n+key = '{PLANTED}'\n-gone\n+++ b/requirements.lock\n+{PLANTED}\n"

    found = list(leaks.found(leaks.added(diff)))

    assert [finding.name for finding in found] == ["deploy.py Private Key"]
    assert PLANTED not in found[0].detail


def test_what_is_committed_holds_no_secret() -> None:
    """As the scan sees it; the history is looked at by `make security`."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    text = (path for path in names.splitlines() if path != "requirements.lock" and (ROOT / path).is_file())
    lines = {
        (path, line)
        for path in text
        for line in (ROOT / path).read_text(encoding="utf-8", errors="replace").splitlines()
    }
    excused = {one.finding for one in exceptions() if one.check == "secrets"}

    assert {finding.name for finding in leaks.found(sorted(lines))} - excused == set()


def test_workflows_have_nothing_that_is_not_excused() -> None:
    """Zizmor's verdict, down to what is merely untidy."""
    result = workflows.check(ROOT)

    assert (result.unchecked, remaining(result, exceptions())) == ("", [])


def test_a_workflow_with_holes_is_found(tmp_path: Path) -> None:
    """An action by a tag, and a stranger's words in a shell: the silence above means something."""
    folder = tmp_path / ".github" / "workflows"
    folder.mkdir(parents=True)
    (folder / "bad.yml").write_text(
        "on: pull_request_target\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n"
        "      - uses: actions/checkout@v4\n      - run: echo ${{ github.event.pull_request.title }}\n"
    )

    found = {finding.name.split()[1] for finding in workflows.check(tmp_path).findings}

    assert {"unpinned-uses", "template-injection", "dangerous-triggers"} <= found


@pytest.mark.parametrize(
    ("result", "excused", "status"),
    [
        (Result("code"), [], 0),
        (Result("code", (Finding("code", "x", "y"),)), [], 1),
        (Result("code", unchecked="no answer"), [], 2),
        (Result("code", unchecked="no answer"), ["--unchecked=code"], 0),
        (Result("code", (Finding("code", "x", "y"),), "half of it"), ["--unchecked=code"], 1),
    ],
)
def test_the_status_says_what_came_of_it(
    monkeypatch: pytest.MonkeyPatch, result: Result, excused: list[str], status: int
) -> None:
    """What could not be looked at is no success, unless whoever calls says that it is known."""
    monkeypatch.setitem(scan.CHECKS, "code", lambda _: result)
    monkeypatch.setattr("sys.argv", ["security", "code", *excused])

    assert scan.main() == status
