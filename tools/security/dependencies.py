"""What we depend on: known vulnerabilities of the locked packages, and their licences."""

import datetime as dt
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import yaml
from packaging.version import InvalidVersion, Version

from tools.security.finding import Finding, Result

LOCK = "requirements.lock"
_SECONDS = 900
_FRESH = dt.timedelta(days=7)
"""A copy of the database that ends earlier says nothing of today."""
_MODIFIED = re.compile(r"^modified: ['\"]?(\d{4}-\d{2}-\d{2})", re.MULTILINE)
# Permissive ones, and weak copyleft whose terms a controller meets that imports a package as it is published.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "PSF-2.0"),
    *("LGPL", "LGPL-2.1", "MPL-2.0", "ZPL-2.1", "Zlib"),
}
# How packages spell them that write no SPDX expression: in a classifier, or in the field License.
_SPELT = {
    "Apache License": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Python Software Foundation License": "PSF-2.0",
}


def locked(root: Path) -> dict[str, str]:
    """The locked packages with their versions."""
    text = (root / LOCK).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==(\S+)", text, re.MULTILINE))


def vulnerabilities(root: Path) -> Result:
    """Ask the database of known vulnerabilities: a copy of it named by ADVISORIES, else the index's by pip-audit."""
    if copy := os.environ.get("ADVISORIES"):
        return _by_copy(locked(root), Path(copy))
    command = [sys.executable, "-m", "pip_audit", "--requirement", LOCK, "--disable-pip", "--no-deps"]
    try:
        run = subprocess.run(
            [*command, "--format", "json"], cwd=root, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
        said = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        return Result("vulnerabilities", unchecked="no database of vulnerabilities answers")
    skipped = [one["name"] for one in said if "skip_reason" in one]
    findings = [
        Finding(
            "vulnerabilities", f"{one['name']} {known['id']}", f"{one['version']}: mended in {known['fix_versions']}"
        )
        for one in said
        for known in one.get("vulns", [])
    ]
    looked_at = f"{len(said) - len(skipped)} of {len(said)} packages"
    unchecked = f"the database does not answer for {len(skipped)} of {len(said)} packages" if skipped else ""
    return Result("vulnerabilities", tuple(findings), unchecked, looked_at)


def _by_copy(packages: dict[str, str], copy: Path) -> Result:
    """Look into a checkout of the Python Packaging Advisory Database (vulns/NAME/*.yaml, the OSV schema)."""
    if not (copy / "vulns").is_dir():
        return Result("vulnerabilities", unchecked=f"{copy} has no vulns: ADVISORIES names no advisory database")
    newest = max(_MODIFIED.findall("".join(path.read_text(encoding="utf-8") for path in copy.glob("vulns/*/*.yaml"))))
    findings = [
        Finding(
            "vulnerabilities", f"{name} {known['id']}", f"{version}: {known.get('summary') or known['details'][:80]}"
        )
        for name, version in packages.items()
        for path in sorted((copy / "vulns" / name).glob("*.yaml"))
        if concerns(known := yaml.safe_load(path.read_text(encoding="utf-8")), name, version)
    ]
    age = dt.datetime.now(tz=dt.UTC).date() - dt.date.fromisoformat(newest)
    unchecked = f"the copy in {copy} ends on {newest}: fetch a newer one" if age > _FRESH else ""
    return Result("vulnerabilities", tuple(findings), unchecked, f"{len(packages)} packages, known until {newest}")


def concerns(known: dict[str, object], name: str, version: str) -> bool:
    """Whether a vulnerability, in the OSV schema, is one of this version of a package."""
    if known.get("withdrawn"):
        return False
    affected: list[dict[str, object]] = known.get("affected", [])  # type: ignore[assignment]
    for one in affected:
        if re.sub(r"[-_.]+", "-", str(one["package"]["name"]).lower()) != name:  # type: ignore[index]
            continue
        if version in one.get("versions", []) or any(map(_within(version), one.get("ranges", []))):  # type: ignore[operator,call-overload]
            return True
    return False


def _within(version: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a predicate of one line
    def within(known: dict[str, object]) -> bool:
        inside = False
        if known["type"] != "ECOSYSTEM":
            return False
        for event in known["events"]:  # type: ignore[attr-defined]
            try:
                if "introduced" in event and Version(event["introduced"]) <= Version(version):
                    inside = True
                if "fixed" in event and Version(event["fixed"]) <= Version(version):
                    inside = False
            except InvalidVersion:
                return True
        return inside

    return within


def licences(root: Path) -> Result:
    """Read the licences of what is locked and installed."""
    findings, looked = [], 0
    for name in locked(root):
        try:
            said = list(_said(metadata.metadata(name)))
        except metadata.PackageNotFoundError:
            continue  # for another operating system
        looked += 1
        if not any(allowed(one) for one in said):
            spelt = ", ".join(one.splitlines()[0][:60] for one in said) or "says nothing of it"
            findings.append(Finding("licences", name, f"its licence is not among those allowed: {spelt}"))
    return Result("licences", tuple(findings), looked_at=f"{looked} packages")


def _said(package: metadata.PackageMetadata) -> Iterator[str]:
    if expression := package.json.get("license_expression"):
        yield str(expression)
        return
    for classifier in package.get_all("Classifier") or []:
        if classifier.startswith("License ::"):
            yield classifier.rpartition(" :: ")[2]
    if field := package.json.get("license"):
        yield str(field)


def allowed(licence: str) -> bool:
    """Whether a licence, as a package spells it, is one of those allowed; of several joined by OR one is enough."""
    spelt = _SPELT.get(licence, licence)
    return any(all(part.strip(" ()") in ALLOWED for part in choice.split(" AND ")) for choice in spelt.split(" OR "))
