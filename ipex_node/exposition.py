"""Prometheus' text format, version 0.0.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ipex_node.gpu import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(samples: Iterable[Sample], rows: Mapping[str, Mapping[str, str]]) -> str:
    """Return samples as Prometheus reads them, family by family.

    Args:
        samples: In any order.
        rows: Family to its `kind` and `help`; the one table of metrics, as the deploy wrote it.

    Raises:
        FailedError: A family has no row: it would be a metric that nobody knows.
    """
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        families.setdefault(sample.family, []).append(sample)
    lines: list[str] = []
    for family, members in families.items():
        if family not in rows:
            raise failed(family, "has no row in the table of metrics", "add it to fleet/metrics.py, then deploy")
        row = rows[family]
        lines += [f"# HELP {family} {_escaped(row['help'])}", f"# TYPE {family} {row['kind']}"]
        lines += [f"{family}{_labels(sample.labels)} {_value(sample.value)}" for sample in members]
    return "\n".join([*lines, ""])


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _value(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 6))


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(words: str) -> str:
    return _escaped(words).replace('"', '\\"')
