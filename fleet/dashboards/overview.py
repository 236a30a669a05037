"""The fleet at one glance: what serves, whether objectives are met, and the brief's five panels over all nodes."""

from dataclasses import replace

from fleet.dashboards import bounds, questions, units
from fleet.dashboards.bounds import Bounds
from fleet.dashboards.rows import SHARE, Board, Panel, Query
from fleet.model import Fleet


def dashboard(fleet: Fleet) -> Board:
    """The overview of this fleet."""
    limits = bounds.of(fleet)
    return Board(
        uid="ipex-fleet",
        title=f"IPEX fleet: {fleet.environment}",
        help="Every node at one glance. Blue marks are changes of a node's generation: deploys and rollbacks.",
        one_node=False,
        rows=(
            ("Now", _now(fleet, limits)),
            ("Objectives", _objectives()),
            ("GPUs and memory", (_gpus(), _memory(limits))),
            ("Users' work", (_inference(limits), _models())),
            ("Health", (_health(), _temperature(limits))),
            ("Data", (_backup_age(limits), _backups(), _missing_models())),
        ),
    )


_REQUESTS = "ipex_gateway_requests_total"
_OUT = "count(ipex_service_up == 0) or vector(0)"
# Recorded as a share of the objective: what counts as a user stands in one place.
_USERS = "max(slo:capacity_used:ratio) * {}"


def _now(fleet: Fleet, limits: Bounds) -> tuple[Panel, ...]:
    nodes = len(fleet.with_role("gpu_nodes"))
    rotation = 'sum(ipex_node_in_rotation{roles=~".*gpu_nodes.*"})'
    requests = f"sum(rate({_REQUESTS}[$__rate_interval]))"
    firing = 'count(ALERTS{alertstate="firing",severity=~"page|ticket"}) or vector(0)'
    return (
        replace(
            _number("Nodes in rotation", f"GPU nodes that take requests, of {nodes}.", rotation, nodes), good="above"
        ),
        _number("Services down", "Services whose API does not answer, over all nodes.", _OUT, 1),
        replace(_number("Requests", "Requests to the gateways.", requests), unit=units.of_rate(_REQUESTS)),
        *_users(limits),
        _number("Alerts", "Alerts that page or write a ticket, and are on.", firing, 1),
    )


def _users(limits: Bounds) -> tuple[Panel, ...]:
    if limits.users is None:
        return ()
    text = f"Users served at the same time by all gateways; {limits.users} were promised."
    return (_number("Users at once", text, _USERS.format(limits.users), limits.users),)


def _number(title: str, text: str, expr: str, bound: float | None = None) -> Panel:
    return Panel(title, text, "short", (Query(expr, title),), kind="numbers", width=4, bound=bound)


def _objectives() -> tuple[Panel, ...]:
    legend = "{{slo}} of {{service}}"
    return (
        Panel(
            "Error budgets",
            "What is left of each objective's budget of errors; below 0 the objective is broken.",
            SHARE,
            (Query('slo:error_budget_remaining:ratio{service=~"$service"}', legend),),
            kind="bars",
            width=8,
            bound=0,
            good="above",
            highest=1,
        ),
        Panel(
            "Errors against the objectives",
            "The share of requests that missed an objective in the hour before.",
            SHARE,
            (Query('slo:sli_error:ratio_rate1h{service=~"$service"}', legend),),
            width=16,
        ),
    )


def _gpus() -> Panel:
    return Panel(
        "GPU Utilization Over Time",
        "The busiest class of engines of each GPU.",
        units.of_rate("ipex_gpu_engine_busy_seconds_total"),
        (Query(questions.busiest(), "{{node}} {{gpu}}"),),
        highest=1,
    )


def _memory(limits: Bounds) -> Panel:
    return Panel(
        "Memory Usage Patterns",
        "The share in use of each card's own memory, and of each machine's.",
        SHARE,
        (
            Query(questions.gpu_memory_share(), "{{node}} {{gpu}}"),
            Query(questions.machine_memory_share(), "{{node}} machine"),
        ),
        bound=limits.gpu_memory_share,
        highest=1,
    )


def _inference(limits: Bounds) -> Panel:
    return Panel(
        "Inference Performance",
        "How long users wait for the first byte, at the gateways; the line is the objective of the 95th percentile.",
        units.of("ipex_gateway_first_byte_seconds"),
        tuple(Query(questions.first_byte(share), f"{{{{service}}}} p{share * 100:.0f}") for share in (0.5, 0.95)),
        bound=limits.first_byte_seconds,
    )


def _models() -> Panel:
    return Panel(
        "Model Performance Comparison",
        "Tokens written per second of computing. A model is named where it is the only one loaded on its node: "
        "engines count their tokens together.",
        "short",
        (Query(questions.speed_of_models(), "{{model}}"), Query(questions.speed(), "{{node}} {{service}}, all")),
    )


def _health() -> Panel:
    queries = tuple(Query(expr, legend) for expr, legend in questions.health())
    return Panel("System Health", "What is well and what is not.", "short", queries, kind="states")


def _temperature(limits: Bounds) -> Panel:
    return Panel(
        "GPU temperature",
        "The hottest part of each GPU.",
        units.of("ipex_gpu_temperature_celsius"),
        (Query('max by (node, gpu) (ipex_gpu_temperature_celsius{node=~"$node"})', "{{node}} {{gpu}}"),),
        bound=limits.gpu_celsius,
    )


def _backup_age(limits: Bounds) -> Panel:
    return Panel(
        "Age of backups",
        "How long ago each backup was made; the line is how old one may be.",
        units.of("ipex_backup_last_success_timestamp_seconds"),
        (Query(questions.backup_age(), "{{node}} {{backup}}"),),
        width=8,
        bound=limits.backup_seconds,
    )


def _backups() -> Panel:
    queries = tuple(Query(expr, legend) for expr, legend in questions.backup_results())
    text = (
        "Whether the last backup was made, what is kept is what was given, and the last restore that was tried worked."
    )
    return Panel("Backups", text, "short", queries, kind="states", width=8)


def _missing_models() -> Panel:
    return Panel(
        "Missing models",
        "On how many nodes a declared model is not there. Nothing is drawn while all have what they declare.",
        "short",
        (Query(f"count by (service, model) ({questions.missing_models()})", "{{service}} {{model}}"),),
        width=8,
        bound=1,
    )
