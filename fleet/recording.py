"""What Prometheus records: the shares of errors of each objective, and the brief's six measures."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from fleet.model import Fleet
from fleet.objectives import BUDGET_WINDOW, PAGE, TICKET, WINDOWS, Objective
from fleet.thresholds import seconds


@dataclass(frozen=True)
class Recording:
    """One recorded series.

    Attributes:
        name: What it is called: level, metric and operations, as Prometheus recommends.
        expr: What it is, in PromQL.
        labels: Labels it always has.
    """

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


# The brief's six names, by node and gpu or service; what a machine has no sensor for is absent here, too.
MEASURES = (
    Recording(
        "ipex:gpu_utilization:ratio",
        "max by (node, gpu) (rate(ipex_gpu_engine_busy_seconds_total[5m]))",
    ),
    Recording(
        "ipex:memory_usage:ratio",
        'sum by (node, gpu) (ipex_gpu_memory_used_bytes{region="vram0"})'
        ' / sum by (node, gpu) (ipex_gpu_memory_total_bytes{region="vram0"})',
    ),
    Recording(
        "ipex:inference_latency:p95_seconds",
        "histogram_quantile(0.95, sum by (node, service, le) (rate(ipex_inference_duration_seconds_bucket[5m])))",
    ),
    Recording(
        "ipex:throughput:tokens_rate5m",
        "sum by (node, service) (rate(ipex_inference_tokens_total[5m]))",
    ),
    # The sensor of the whole card holds the chip's, too.
    Recording(
        "ipex:power_consumption:watts",
        "max by (node, gpu) (rate(ipex_gpu_energy_joules_total[5m]))",
    ),
    Recording(
        "ipex:temperature:celsius",
        "max by (node, gpu) (ipex_gpu_temperature_celsius)",
    ),
)


def promises(fleet: Fleet, objectives: Iterable[Objective]) -> tuple[Recording, ...]:
    """What is recorded of objectives, in the order in which one needs the other.

    Longer windows are made of the five-minute rates and not of the raw counters: a budget of 30 days costs as many
    samples as there were evaluations, whatever the gateways export.
    """
    services = f'service=~"{"|".join(service.name for service in fleet.services())}"'
    shared = [objective for objective in objectives if objective.budget is not None]
    return (
        *(recording for objective in shared for recording in _rates(objective, services)),
        *(Recording(f"slo:sli_error:ratio_rate{window}", _ratio(window)) for window in WINDOWS if shared),
        *(Recording(f"slo:errors:increase{window}", _errors(window)) for window in _long() if shared),
        *(_remaining(objective) for objective in shared),
        *(_crowd(objective) for objective in objectives if objective.users is not None),
    )


def _rates(objective: Objective, services: str) -> Iterator[Recording]:
    """Yield requests and errors a second; without an error yet there is a 0, without a request nothing."""
    labels = {"slo": objective.name}
    if objective.measures == "errors":
        requests = f"sum by (service) (rate(ipex_gateway_requests_total{{{services}}}[5m]))"
        failed = f'sum by (service) (rate(ipex_gateway_requests_total{{{services},code=~"5.."}}[5m]))'
        cut = f"sum by (service) (rate(ipex_gateway_truncated_total{{{services}}}[5m]))"
        errors = f"({failed} or 0 * {requests})\n+ ({cut} or 0 * {requests})"
    else:
        requests = f"sum by (service) (rate(ipex_gateway_first_byte_seconds_count{{{services}}}[5m]))"
        errors = f"clamp_min({requests} - {_in_time(objective, services)}, 0)"
    yield Recording("slo:requests:rate5m", requests, labels)
    yield Recording("slo:errors:rate5m", errors, labels)


def _in_time(objective: Objective, services: str) -> str:
    # A bound is written 2 by one exporter and 2.0 by another.
    bound = f'le=~"{objective.seconds:g}([.]0)?"'
    return f"sum by (service) (rate(ipex_gateway_first_byte_seconds_bucket{{{services},{bound}}}[5m]))"


def _ratio(window: str) -> str:
    if window == "5m":
        return "slo:errors:rate5m / (slo:requests:rate5m > 0)"
    return f"sum_over_time(slo:errors:rate5m[{window}]) / (sum_over_time(slo:requests:rate5m[{window}]) > 0)"


def _long() -> tuple[str, ...]:
    return tuple(dict.fromkeys(burn.long for burn in (*PAGE, *TICKET)))


def _errors(window: str) -> str:
    return f"avg_over_time(slo:errors:rate5m[{window}]) * {seconds(window)}"


def _remaining(objective: Objective) -> Recording:
    of = f'{{slo="{objective.name}"}}[{BUDGET_WINDOW}]'
    share = f"sum_over_time(slo:errors:rate5m{of}) / (sum_over_time(slo:requests:rate5m{of}) > 0)"
    labels = {"slo": objective.name}
    return Recording("slo:error_budget_remaining:ratio", f"1 - ({share}) / {objective.budget}", labels)


def _crowd(objective: Objective) -> Recording:
    # Waiting connections are open and idle.
    crowd = "sum(nginx_connections_active - nginx_connections_waiting)"
    return Recording("slo:capacity_used:ratio", f"{crowd} / {objective.users}", {"slo": objective.name})
