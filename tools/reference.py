"""The reference pages of the site, made from data and model at each build, so that they never go stale."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

from fleet import alerts, load, matrix
from fleet.metrics import FAMILIES
from tools import errors

ROOT = Path(__file__).parents[1]
_MODULES = ("fleet.model", "fleet.load", "fleet.problems", "fleet.generation", "fleet.release", "ipex_node.failure")


def pages() -> dict[str, str]:
    """Markdown of each generated page, by its path below docs/."""
    return {
        "reference/settings.md": settings(),
        "reference/ports.md": ports(),
        "reference/metrics.md": metrics(),
        "reference/alerts.md": alert_rows(),
        "reference/objectives.md": objectives(),
        "reference/tasks.md": tasks(),
        "reference/errors.md": messages(),
        "reference/api.md": "# API Reference\n\n" + "\n".join(f"## {name}\n\n::: {name}\n" for name in _MODULES),
    }


def settings() -> str:
    """Every file of group_data with the comments that explain its keys."""
    parts = ["# Settings\n\n[Deployment](../operate/deployment.md#limits-and-other-data) says who wins.\n"]
    for name in ("all", "gpu_nodes", "gateways", "monitors"):
        source = (ROOT / "group_data" / f"{name}.py").read_text()
        parts.append(f"## group_data/{name}.py\n\n```python\n{source.rstrip()}\n```\n")
    return "\n".join(parts)


def ports() -> str:
    """Who may reach what, on each node of the example fleet."""
    fleet = load.from_file("inventory/example.py")
    rows = [
        (node.name, row.owner, row.protocol, ", ".join(map(str, row.ports)), ", ".join(row.sources))
        for node in fleet.nodes
        for row in matrix.of(node, fleet)
    ]
    services = [(s.name, s.engine, s.port, s.health_path, s.memory_max, s.cpu_quota) for s in fleet.services()]
    unique = sorted(set(services))
    return (
        "# Services and ports\n\nOf the example fleet.\n\n## Services\n\n"
        + _table(("service", "engine", "port", "health", "memory", "CPU"), unique)
        + "\n## Who may reach what\n\n"
        + _table(("node", "program", "protocol", "ports", "from"), rows)
    )


def metrics() -> str:
    """Every family that the fleet itself counts."""
    rows = [(f"`{row.name}`", row.kind, row.help, row.source, ", ".join(row.labels)) for row in FAMILIES]
    return "# Metrics\n\n" + _table(("name", "kind", "meaning", "source", "labels"), rows)


def alert_rows() -> str:
    """Every alert with its runbook."""
    rows = [
        (f"[{name}](../operate/alerts/{name}.md)", _meaning(ROOT / "docs/operate/alerts" / f"{name}.md"))
        for name in sorted(alerts.NAMES)
    ]
    return "# Alerts\n\n" + _table(("alert", "meaning"), rows)


def objectives() -> str:
    """What the example fleet promises."""
    fleet = load.from_file("inventory/example.py")
    promised = {name: row for node in fleet.nodes for name, row in (node.objectives or {}).items()}
    rows = [(name, row.measures, row.share, row.seconds, row.users, row.least_errors) for name, row in promised.items()]
    head = "# Objectives\n\n[Alerts and objectives](../operate/alerts.md#objectives) says how they are measured.\n\n"
    return head + _table(("name", "measures", "share", "seconds", "users", "least errors"), rows)


def tasks() -> str:
    """Each task with its own words."""
    parts = ["# Tasks\n"]
    for path in sorted((ROOT / "tasks").glob("*.py")):
        summary, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")
        parts.append(f"## {path.stem}\n\n{summary}\n\n```text\n{rest.strip()}\n```\n")
    return "\n".join(parts)


def messages() -> str:
    """Every message with its cure, by the file that says it."""
    rows = errors.collected()
    parts = ["# Errors\n\n`…` stands for a name or a value of the moment.\n"]
    for source in sorted({row.source for row in rows}):
        its = _table(("what", "cure"), ((row.what, row.cure) for row in rows if row.source == source))
        parts.append(f"## {source}\n\n{its}")
    return "\n".join(parts)


def _meaning(page: Path) -> str:
    return page.read_text().split("## What it means")[1].strip().split("\n\n")[0]


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *([cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(value: object) -> str:
    """A value as it stands in a table."""
    text = "" if value is None else str(value)
    # Links of other pages lead nowhere from here; a bar would end the cell, an angle begin a tag.
    text = text if text.startswith("[") else re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text)
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
