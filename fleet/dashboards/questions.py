"""PromQL that more than one panel asks; what is measured where, and where its edge is, says docs/decisions/0008."""

NODE = 'node=~"$node"'
BOTH = 'node=~"$node",service=~"$service"'

_BUSY = f"rate(ipex_gpu_engine_busy_seconds_total{{{NODE}}}[$__rate_interval])"
# A loaded model as 1, where it is the only one: the journal counts tokens by service, and knows no model.
_ALONE = (
    f"sum by (node, service, model) (ipex_model_size_bytes{{{BOTH}}} ^ 0) "
    f"and on (node, service) (count by (node, service) (ipex_model_size_bytes{{{BOTH}}}) == 1)"
)


def busiest() -> str:
    """How busy each GPU is: its busiest class of engines."""
    return f"max by (node, gpu) ({_BUSY})"


def busy_by_engine() -> str:
    """How busy each class of engines is."""
    return f"max by (node, gpu, engine) ({_BUSY})"


def gpu_memory_share() -> str:
    """How much of each card's own memory is used."""
    used, whole = (f'ipex_gpu_memory_{what}_bytes{{{NODE},region=~"vram.*"}}' for what in ("used", "total"))
    return f"sum by (node, gpu) ({used}) / sum by (node, gpu) ({whole})"


def machine_memory_share() -> str:
    """How much of each machine's memory is used."""
    return f"1 - node_memory_MemAvailable_bytes{{{NODE}}} / node_memory_MemTotal_bytes{{{NODE}}}"


def disk_share() -> str:
    """How full the file systems are on which models, outputs and the Nix store lie."""
    which = f'{NODE},fstype!~"tmpfs|ramfs|overlay|squashfs|vfat|efivarfs"'
    return f"1 - node_filesystem_avail_bytes{{{which}}} / node_filesystem_size_bytes{{{which}}}"


def first_byte(quantile: float) -> str:
    """How long users of a service wait for the first byte of an answer: the honest latency of a stream."""
    buckets = 'rate(ipex_gateway_first_byte_seconds_bucket{service=~"$service"}[$__rate_interval])'
    return f"histogram_quantile({quantile}, sum by (le, service) ({buckets}))"


def whole_answer(quantile: float) -> str:
    """How long users of a node's services wait for whole answers, queue and model load included."""
    buckets = f"rate(ipex_inference_duration_seconds_bucket{{{BOTH}}}[$__rate_interval])"
    return f"histogram_quantile({quantile}, sum by (le, node, service) ({buckets}))"


def speed() -> str:
    """Tokens written per second of computing, by node and service."""
    written, computed = (
        f'sum by (node, service) (rate(ipex_inference_{what}_total{{{BOTH},kind="generated"}}[$__rate_interval]))'
        for what in ("tokens", "compute_seconds")
    )
    return f"{written} / ({computed} > 0)"


def speed_of_models() -> str:
    """The same by model, of nodes on which one model alone is loaded."""
    return f"avg by (service, model) ({speed()} * on (node, service) group_left (model) ({_ALONE}))"


def health() -> tuple[tuple[str, str], ...]:
    """What is well, as 1 for yes and 0 for no, each with its legend."""
    return (
        (f'ipex_node_in_rotation{{{NODE},roles=~".*gpu_nodes.*"}}', "{{node}} in rotation"),
        (f"ipex_service_up{{{BOTH}}}", "{{node}} {{service}} answers"),
        (f"1 - ipex_health_condemned{{{BOTH}}}", "{{node}} {{service}} judged well"),
    )


def backup_age() -> str:
    """How old each backup is."""
    return f"time() - max by (node, backup) (ipex_backup_last_success_timestamp_seconds{{{NODE}}})"


def backup_results() -> tuple[tuple[str, str], ...]:
    """What of backups is well, as 1 for yes and 0 for no, each with its legend."""
    return (
        (f"1 - ipex_backup_failed{{{NODE}}}", "{{node}} {{backup}} made"),
        (f"ipex_backup_verify_failures{{{NODE}}} == bool 0", "{{node}} read again and right"),
        (f"1 - ipex_backup_restore_test_failed{{{NODE}}}", "{{node}} restore tried"),
    )


def missing_models() -> str:
    """Every declared model that is not there, as 1."""
    return f"ipex_model_present{{{BOTH}}} == 0"
