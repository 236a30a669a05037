"""What the optimizer of a GPU node finds and does."""

from fleet.metrics.metric import Metric

ROWS = (
    Metric(
        "ipex_optimizer_last_run_timestamp_seconds",
        "gauge",
        "When the optimizer's task was last done.",
        "ipex-node optimize: caches, models, tuning",
        ("task",),
    ),
    Metric(
        "ipex_optimizer_failed",
        "gauge",
        "1 while the task's last run has failed.",
        "ipex-node optimize",
        ("task",),
    ),
    Metric(
        "ipex_optimizer_cache_bytes",
        "gauge",
        "What the compiled code of an engine takes: the current release's, and the previous one's for a way back.",
        "ipex-node optimize caches",
        ("service", "of"),
    ),
    Metric(
        "ipex_optimizer_models_missing",
        "gauge",
        "Declared models that the service does not have.",
        "ipex-node optimize models",
        ("service",),
    ),
    Metric(
        "ipex_tuning_tokens_per_second",
        "gauge",
        "What the service generates for all clients of a tuning together, with the declared setting.",
        "ipex-node optimize tuning",
        ("service", "model"),
    ),
    Metric(
        "ipex_tuning_gain_ratio",
        "gauge",
        "By which share the best setting was faster than the declared one; 0 where none is worth a change.",
        "ipex-node optimize tuning",
        ("service",),
    ),
    Metric(
        "ipex_baseline_regressed",
        "gauge",
        "1 while the current release is slower than the one measured before it by more than it may be.",
        "/var/lib/ipex/performance.json",
        ("service", "model"),
    ),
)
