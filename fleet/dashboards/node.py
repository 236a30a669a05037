"""One node in detail: the brief's five panels again, down to engines, regions and models."""

from fleet.dashboards import bounds, questions, units
from fleet.dashboards.bounds import Bounds
from fleet.dashboards.questions import BOTH, NODE
from fleet.dashboards.rows import SHARE, Board, Panel, Query
from fleet.model import Fleet


def dashboard(fleet: Fleet) -> Board:
    """The detail of one node of this fleet."""
    limits = bounds.of(fleet)
    return Board(
        uid="ipex-node",
        title=f"IPEX node: {fleet.environment}",
        help="One node in detail. Blue marks are changes of its generation: deploys and rollbacks.",
        one_node=True,
        rows=(
            ("Health", (_health(), _repairs())),
            ("GPU", (_gpu(), _memory(), _temperature(limits), _power(), _clock(), _throttled())),
            ("Users' work", (_inference(), _models(), _residency(), _queue())),
            ("Machine", (_machine_memory(limits), _disks(limits))),
            ("Data", (_backup_age(limits), _backups(), _missing_models())),
        ),
    )


def _lines(title: str, text: str, metric: str, *queries: tuple[str, str], bound: float | None = None) -> Panel:
    """A panel of lines in the unit of a gauge."""
    return Panel(title, text, units.of(metric), tuple(Query(*query) for query in queries), bound=bound)


def _health() -> Panel:
    queries = tuple(Query(expr, legend) for expr, legend in questions.health())
    return Panel("System Health", "What is well and what is not.", "short", queries, kind="states")


def _repairs() -> Panel:
    return Panel(
        "Repairs and resets",
        "Restarts by the health monitor, and the kernel's records of resets, hangs and wedges, in an hour.",
        "short",
        (
            Query(f"increase(ipex_health_restarts_total{{{BOTH}}}[1h])", "restarts of {{service}}"),
            Query(f"increase(ipex_gpu_resets_total{{{NODE}}}[1h])", "{{kind}} of {{gpu}}"),
        ),
    )


def _gpu() -> Panel:
    return Panel(
        "GPU Utilization Over Time",
        "Each class of engines of each GPU.",
        units.of_rate("ipex_gpu_engine_busy_seconds_total"),
        (Query(questions.busy_by_engine(), "{{gpu}} {{engine}}"),),
        highest=1,
    )


def _memory() -> Panel:
    metric = "ipex_gpu_memory_used_bytes"
    whole = (f"ipex_gpu_memory_total_bytes{{{NODE}}}", "{{gpu}} {{region}} in all")
    used = (f"{metric}{{{NODE}}}", "{{gpu}} {{region}}")
    text = "Memory of each GPU by region; vram0 is the card's own."
    return _lines("Memory Usage Patterns", text, metric, used, whole)


def _temperature(limits: Bounds) -> Panel:
    metric = "ipex_gpu_temperature_celsius"
    parts = (f"{metric}{{{NODE}}}", "{{gpu}} {{sensor}}")
    return _lines("Temperature", "Each sensor of each GPU.", metric, parts, bound=limits.gpu_celsius)


def _power() -> Panel:
    used = f"rate(ipex_gpu_energy_joules_total{{{NODE}}}[$__rate_interval])"
    return Panel(
        "Power",
        "What each GPU draws, and what its firmware allows for long.",
        units.of_rate("ipex_gpu_energy_joules_total"),
        (
            Query(used, "{{gpu}} {{sensor}}"),
            Query(f"ipex_gpu_power_limit_watts{{{NODE}}}", "{{gpu}} {{sensor}}, allowed"),
        ),
    )


def _clock() -> Panel:
    metric = "ipex_gpu_frequency_hertz"
    return _lines("Clock", "0 while a GT sleeps.", metric, (f"{metric}{{{NODE}}}", "{{gpu}} {{gt}}"))


def _throttled() -> Panel:
    expr = f"max by (gpu, reason) (ipex_gpu_throttled{{{NODE}}})"
    return Panel(
        "Throttled", "1 while a GPU runs slower, by reason.", "short", (Query(expr, "{{gpu}} {{reason}}"),), highest=1
    )


def _inference() -> Panel:
    return _lines(
        "Inference Performance",
        "How long users wait for whole answers, queue and model load included; requests that succeeded.",
        "ipex_inference_duration_seconds",
        *((questions.whole_answer(share), f"{{{{service}}}} p{share * 100:.0f}") for share in (0.5, 0.95)),
    )


def _models() -> Panel:
    return Panel(
        "Model Performance Comparison",
        "Tokens written per second of computing. A model is named while it is the only one loaded.",
        "short",
        (Query(questions.speed_of_models(), "{{model}}"), Query(questions.speed(), "{{service}}, all")),
    )


def _residency() -> Panel:
    share = f"ipex_model_gpu_bytes{{{BOTH}}} / ipex_model_size_bytes{{{BOTH}}}"
    return Panel(
        "Models on the GPU",
        "The share of each loaded model that lies on the GPU; below 100 % the processor computes, too.",
        SHARE,
        (Query(share, "{{model}}"),),
        bound=1,
        good="above",
        highest=1,
    )


def _queue() -> Panel:
    metric = "ipex_queue_length"
    return _lines("Queue", "Work accepted and not finished.", metric, (f"{metric}{{{BOTH}}}", "{{service}}"))


def _machine_memory(limits: Bounds) -> Panel:
    query = Query(questions.machine_memory_share(), "machine")
    return Panel("Machine memory", "The share in use.", SHARE, (query,), bound=limits.memory_share, highest=1)


def _disks(limits: Bounds) -> Panel:
    query = Query(questions.disk_share(), "{{mountpoint}}")
    return Panel("Disks", "The share in use.", SHARE, (query,), bound=limits.disk_share, highest=1)


def _backup_age(limits: Bounds) -> Panel:
    metric = "ipex_backup_last_success_timestamp_seconds"
    text = "How long ago each backup was made; the line is how old one may be."
    return _lines("Age of backups", text, metric, (questions.backup_age(), "{{backup}}"), bound=limits.backup_seconds)


def _backups() -> Panel:
    queries = tuple(Query(expr, legend.removeprefix("{{node}} ")) for expr, legend in questions.backup_results())
    text = (
        "Whether the last backup was made, what is kept is what was given, and the last restore that was tried worked."
    )
    return Panel("Backups", text, "short", queries, kind="states")


def _missing_models() -> Panel:
    text = "0 where a declared model is not there. Nothing is drawn while all are."
    query = Query(questions.missing_models(), "{{service}} {{model}}")
    return Panel("Missing models", text, "short", (query,), kind="states")
