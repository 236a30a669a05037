"""What objectives make of requests: who is told, when, and what is left of the budgets."""

from collections.abc import Mapping
from typing import Any

from fleet.alerts.alert import Alert
from tests.rules.expected import fired

FAST, SLOWLY = "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"
_G = 'node="gateway-01",service="ollama"'
_GOOD = f'ipex_gateway_requests_total{{{_G},code="200"}}'
_BAD = f'ipex_gateway_requests_total{{{_G},code="502"}}'
_LEFT = f'ipex_gateway_requests_total{{{_G},code="499"}}'
_CUT = f"ipex_gateway_truncated_total{{{_G}}}"
_SOON = f'ipex_gateway_first_byte_seconds_bucket{{{_G},le="2"}}'
_ALL = f"ipex_gateway_first_byte_seconds_count{{{_G}}}"

Known = list[Alert]
Test = dict[str, Any]


def files(known: Known) -> dict[str, tuple[str, list[Test]]]:
    """Name of a file to its step and its tests."""
    return {"minutes": ("1m", _minutes(known)), "days": ("10m", _days(known)), "measures": ("1m", [_measures()])}


def _minutes(known: Known) -> list[Test]:
    """An hour of 60 good requests a minute, then what each says."""
    good, hour = "0+60x60", "0x60"
    return [
        _test(
            "everything fails: somebody is woken within three minutes",
            {_GOOD: f"{good} 3600x60", _BAD: f"{hour} 0+60x60"},
            [_at("60m", FAST), _at("63m", FAST, known, "availability")],
        ),
        _test(
            "one request of ten fails: somebody is woken within twelve minutes",
            {_GOOD: f"{good} 3600+54x60", _BAD: f"{hour} 0+6x60"},
            [_at("60m", FAST), _at("72m", FAST, known, "availability")],
        ),
        _test(
            "an answer that is cut is an error, though nginx logs a 200",
            {_GOOD: "0+60x120", _CUT: f"{hour} 0+6x60"},
            [_at("60m", FAST), _at("72m", FAST, known, "availability")],
        ),
        _test(
            "what ends soon is soon over",
            {_GOOD: "0+60x120", _BAD: f"{hour} 0+30x10 300x50"},
            [_at("70m", FAST, known, "availability"), _at("106m", FAST)],
        ),
        _test(
            "users who leave are no errors",
            {_GOOD: "0+6x120", _LEFT: "0+54x120"},
            [_at("110m", FAST), _at("110m", SLOWLY)],
        ),
        _test(
            "of few requests, every one fails: somebody is woken all the same",
            {_GOOD: "0+0.3x60 18x60", _BAD: "0x60 0+0.3x60"},
            [_at("60m", FAST), _at("90m", FAST, known, "availability")],
        ),
        _test(
            "four of five answers begin too late: somebody is woken",
            {_ALL: "0+60x120", _SOON: f"{good} 3600+6x60"},
            [_at("60m", FAST), _at("115m", FAST, known, "latency")],
        ),
        _test(
            "a mtail that writes its bounds with a point is read, too",
            {_ALL: "0+60x120", _SOON.replace('"2"', '"2.0"'): "0+60x120"},
            [_at("110m", FAST), _at("110m", SLOWLY)],
            [_is("slo:sli_error:ratio_rate1h", "110m", "latency", 0)],
        ),
        _test(
            "without a failure yet the share of errors is 0, and not unknown",
            {_GOOD: "0+60x120"},
            [_at("110m", FAST), _at("110m", SLOWLY)],
            [_is("slo:sli_error:ratio_rate5m", "110m", "availability", 0)],
        ),
        _test("without requests nothing is said", {_GOOD: "7x120"}, [_at("110m", FAST), _at("110m", SLOWLY)]),
    ]


def _days(known: Known) -> list[Test]:
    """Three days and more, of a request a second."""
    return [
        _long(
            "half of what is allowed fails: nobody is told, and half of the budget is left",
            {_GOOD: "0+119.94x2400", _BAD: "0+0.06x2400"},
            [_at("76h", FAST), _at("76h", SLOWLY)],
            [_is("slo:error_budget_remaining:ratio", "76h", "availability", 0.5)],
        ),
        _long(
            "one failure of few requests: nobody is told",
            {_GOOD: "0+0.6x2400", _BAD: "0x2250 1x150"},
            [_at("75h10m", FAST), _at("76h", FAST), _at("76h", SLOWLY)],
        ),
        _long(
            "twice of what is allowed fails: a ticket, no page",
            {_GOOD: "0+119.76x2400", _BAD: "0+0.24x2400"},
            [_at("76h", FAST), _at("76h", SLOWLY, known, "availability")],
            [_is("slo:error_budget_remaining:ratio", "76h", "availability", -1)],
        ),
        _long(
            "one answer of five begins too late: a ticket, no page",
            {_ALL: "0+120x2400", _SOON: "0+96x2400"},
            [_at("30h", FAST), _at("30h", SLOWLY, known, "latency")],
        ),
    ]


def _measures() -> Test:
    """The brief's six names hold what they say."""
    card = 'node="gpu-01",gpu="card0"'
    ollama = 'node="gpu-01",service="ollama"'
    series = {
        f'ipex_gpu_engine_busy_seconds_total{{{card},engine="compute"}}': "0+45x20",
        f'ipex_gpu_engine_busy_seconds_total{{{card},engine="copy"}}': "0+6x20",
        f'ipex_gpu_memory_used_bytes{{{card},region="vram0"}}': "40x20",
        f'ipex_gpu_memory_used_bytes{{{card},region="system"}}': "900x20",
        f'ipex_gpu_memory_total_bytes{{{card},region="vram0"}}': "50x20",
        f'ipex_gpu_energy_joules_total{{{card},sensor="card"}}': "0+7200x20",
        f'ipex_gpu_energy_joules_total{{{card},sensor="pkg"}}': "0+6000x20",
        f'ipex_gpu_temperature_celsius{{{card},sensor="pkg"}}': "50x20",
        f'ipex_gpu_temperature_celsius{{{card},sensor="vram"}}': "60x20",
        f'ipex_inference_tokens_total{{{ollama},kind="generated"}}': "0+600x20",
        f'ipex_inference_duration_seconds_bucket{{{ollama},operation="generate",le="1.0"}}': "0+50x20",
        f'ipex_inference_duration_seconds_bucket{{{ollama},operation="generate",le="2.0"}}': "0+100x20",
        f'ipex_inference_duration_seconds_bucket{{{ollama},operation="generate",le="+Inf"}}': "0+100x20",
    }
    values = {
        "ipex:gpu_utilization:ratio": (card, 0.75),
        "ipex:memory_usage:ratio": (card, 0.8),
        "ipex:power_consumption:watts": (card, 120),
        "ipex:temperature:celsius": (card, 60),
        "ipex:throughput:tokens_rate5m": (ollama, 10),
        "ipex:inference_latency:p95_seconds": (ollama, 1.9),
    }
    asked = [_value(name, "15m", labels, value) for name, (labels, value) in values.items()]
    return _test("the brief's six measures", series, [], asked)


def _test(name: str, series: Mapping[str, str], alerts: list[Test], values: list[Test] | None = None) -> Test:
    told = [{"series": one, "values": numbers} for one, numbers in series.items()]
    asked = {"alert_rule_test": alerts, "promql_expr_test": values or []}
    return {"name": name, "interval": "1m", "input_series": told, **asked}


def _long(name: str, series: Mapping[str, str], alerts: list[Test], values: list[Test] | None = None) -> Test:
    return {**_test(name, series, alerts, values), "interval": "2m"}


def _at(time: str, name: str, known: Known | None = None, slo: str = "") -> Test:
    """An alert that has fired for ollama, where the alerts are given, else one that has not."""
    found = [one for one in known or [] if one.name == name and one.labels["slo"] == slo]
    expected = [fired(one, {"service": "ollama"}) for one in found]
    return {"eval_time": time, "alertname": name, "exp_alerts": expected}


def _is(name: str, time: str, slo: str, value: float) -> Test:
    return _value(name, time, f'service="ollama",slo="{slo}"', value)


def _value(name: str, time: str, labels: str, value: float) -> Test:
    samples = [{"labels": f"{{{labels}}}", "value": value}]
    return {"expr": f"round({name}, 0.001)", "eval_time": time, "exp_samples": samples}
