"""Numbers in the words of Prometheus: its text format 0.0.4, and OpenMetrics 1.0 for who asks for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ipex_node.failure import failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ipex_node.samples import Sample

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def content_type(accept: str) -> str:
    """Return the format to answer in.

    Args:
        accept: The request's Accept header; OpenMetrics is chosen wherever its version 1.0.0 would be taken.
    """
    for offer in accept.split(","):
        kind, *parameters = (word.strip().lower() for word in offer.split(";"))
        said = dict(parameter.partition("=")[::2] for parameter in parameters)
        if kind == "application/openmetrics-text" and said.get("version", "1.0.0").strip('"') == "1.0.0":
            return OPENMETRICS
    return TEXT


def text(samples: Iterable[Sample], rows: Mapping[str, Mapping[str, str]], kind: str = TEXT) -> str:
    """Return a page of samples, family by family.

    Of two samples with the same name and labels the first counts: Prometheus would refuse the whole page.

    Args:
        samples: In any order; the parts of one histogram in theirs, buckets upwards, then count and sum.
        rows: Family to its `kind` and `help`; the one table of metrics, as the deploy wrote it.
        kind: TEXT or OPENMETRICS.

    Raises:
        FailedError: A family has no row: it would be a metric that nobody knows.
    """
    families: dict[str, list[Sample]] = {}
    for sample in samples:
        families.setdefault(sample.family, []).append(sample)
    lines: list[str] = []
    for family, members in families.items():
        if family not in rows:
            raise failed(family, "has no row in the table of metrics", "add it to fleet/metrics/, then deploy")
        row = rows[family]
        # A counter's family is named without the _total of its sample, says OpenMetrics.
        name = family.removesuffix("_total") if kind == OPENMETRICS and row["kind"] == "counter" else family
        words = _quoted(row["help"]) if kind == OPENMETRICS else _escaped(row["help"])
        lines += [f"# HELP {name} {words}", f"# TYPE {name} {row['kind']}", *_lines(members)]
    return "\n".join([*lines, *(["# EOF"] if kind == OPENMETRICS else []), ""])


def _lines(members: Iterable[Sample]) -> Iterator[str]:
    told: set[str] = set()
    for sample in members:
        series = f"{sample.family}{sample.suffix}{_labels(sample.labels)}"
        if series not in told:
            told.add(series)
            yield f"{series} {_value(sample.value)}"


def _labels(labels: Mapping[str, str]) -> str:
    pairs = ",".join(f'{name}="{_bound(value) if name == "le" else _quoted(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _bound(value: str) -> str:
    """Return a bucket's bound as OpenMetrics spells a number: 1.0 and not 1; both formats name the same series."""
    return _value(float(value), whole=False)


def _value(value: float, *, whole: bool = True) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    rounded = round(float(value), 6)
    return str(int(rounded)) if whole and rounded.is_integer() else repr(rounded)


def _escaped(words: str) -> str:
    return words.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(words: str) -> str:
    return _escaped(words).replace('"', '\\"')
