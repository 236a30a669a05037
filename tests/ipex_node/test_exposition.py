"""The metrics page, by the parsers of those who read it."""

import itertools
from pathlib import Path

import prometheus_client.openmetrics.parser
import prometheus_client.parser
import pytest

from fleet.metrics import METRICS
from ipex_node import exposition
from ipex_node.exposition import OPENMETRICS, TEXT
from ipex_node.failure import FailedError
from ipex_node.samples import Sample
from lab import hardware
from tools import recorded
from tools.recorded import ROWS

HISTOGRAM = {"x_seconds": {"kind": "histogram", "help": 'How "long" \\ it takes.'}}
LATENCIES = [
    Sample("x_seconds", {"service": name, **labels}, value, suffix)
    for name in ("ollama", "comfyui")
    for labels, value, suffix in (
        ({"le": "0.5"}, 1, "_bucket"),
        ({"le": "1"}, 2, "_bucket"),
        ({"le": "+Inf"}, 3, "_bucket"),
        ({}, 3, "_count"),
        ({}, 2.25, "_sum"),
    )
]


def parsed(page: str, kind: str) -> dict[tuple[str, ...], float]:
    """Return every sample of a page by its name and labels, as the strict parser of that format reads it."""
    parser = prometheus_client.openmetrics.parser if kind == OPENMETRICS else prometheus_client.parser
    samples = itertools.chain.from_iterable(family.samples for family in parser.text_string_to_metric_families(page))
    return {(one.name, *itertools.chain.from_iterable(sorted(one.labels.items()))): one.value for one in samples}


@pytest.mark.parametrize("hardware_kind", hardware.KINDS)
@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_pages_pass_the_parsers(tmp_path: Path, hardware_kind: str, kind: str) -> None:
    """Nothing is lost or refused on the way, in either format."""
    found = recorded.samples(hardware_kind, tmp_path)
    read = parsed(exposition.text(found, ROWS, kind), kind)
    assert len(read) == len(found)
    assert read == pytest.approx(
        {(one.family, *itertools.chain.from_iterable(sorted(one.labels.items()))): round(one.value, 6) for one in found}
    )


@pytest.mark.parametrize("kind", [TEXT, OPENMETRICS])
def test_histogram_passes_the_parsers(kind: str) -> None:
    """Bounds are spelt alike in both formats, so that both name the same series."""
    page = exposition.text(LATENCIES, HISTOGRAM, kind)
    assert 'x_seconds_bucket{service="ollama",le="1.0"} 2\n' in page
    assert len(parsed(page, kind)) == len(LATENCIES)


def test_counter_is_named_without_its_suffix_in_openmetrics() -> None:
    """The family is x, its sample x_total; Prometheus' older format calls both x_total."""
    rows = {"x_total": {"kind": "counter", "help": 'a "b"'}}
    old = '# HELP x_total a "b"\n# TYPE x_total counter\nx_total 1\n'
    new = '# HELP x a \\"b\\"\n# TYPE x counter\nx_total 1\n# EOF\n'
    assert [exposition.text([Sample("x_total", {}, 1)], rows, kind) for kind in (TEXT, OPENMETRICS)] == [old, new]


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4;q=0.3", TEXT),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text", OPENMETRICS),
        ("text/html, application/openmetrics-text; version=1.0.0; charset=utf-8;q=0.5,*/*;q=0.1", OPENMETRICS),
        ('application/openmetrics-text;version="1.0.0";escaping=allow-utf-8;q=0.6', OPENMETRICS),
    ],
)
def test_format_is_the_one_that_was_asked_for(accept: str, kind: str) -> None:
    """Prometheus asks for OpenMetrics, a person with curl does not."""
    assert exposition.content_type(accept) == kind


def test_family_without_a_row_is_refused() -> None:
    """The agent exports nothing that the one table of metrics does not know."""
    with pytest.raises(FailedError, match=r"ipex_new: has no row .*fleet/metrics/"):
        exposition.text([Sample("ipex_new", {}, 1)], ROWS)


def test_label_values_are_quoted() -> None:
    """Quotes, backslashes and line ends in a label do not break the exposition."""
    text = exposition.text([Sample("x", {"a": 'q"\\\n'}, 0.5)], {"x": {"kind": "gauge", "help": "h"}})
    assert text == '# HELP x h\n# TYPE x gauge\nx{a="q\\"\\\\\\n"} 0.5\n'


@pytest.mark.parametrize(
    ("value", "words"),
    [(1, "1"), (120.0000000001, "120"), (0.1234567, "0.123457"), (float("inf"), "+Inf"), (float("nan"), "NaN")],
)
def test_numbers_are_spelt_as_prometheus_reads_them(value: float, words: str) -> None:
    """Six digits behind the point: a microjoule, a microsecond."""
    assert exposition.text([Sample("x", {}, value)], {"x": {"kind": "gauge", "help": "h"}}).endswith(f"x {words}\n")


def test_of_two_equal_series_the_first_counts() -> None:
    """Prometheus would refuse the whole page."""
    twice = [Sample("x", {"a": "1"}, 1), Sample("x", {"a": "1"}, 2)]
    assert exposition.text(twice, {"x": {"kind": "gauge", "help": "h"}}).endswith('x{a="1"} 1\n')


def test_every_row_is_well_named() -> None:
    """Counters end in _total, nothing else does, and names are unique."""
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in METRICS)
    assert len(ROWS) == len(METRICS)
