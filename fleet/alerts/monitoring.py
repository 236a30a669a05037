"""Alerts about the monitoring itself."""

from fleet.alerts.alert import Alert

ROWS = (
    Alert(
        "Watchdog",
        "none",
        "vector(1)",
        "Always there: whoever no longer hears it knows that monitoring is dead.",
    ),
    Alert(
        "PrometheusConfigReloadFailed",
        "ticket",
        "min by (node, job)"
        " (prometheus_config_last_reload_successful or alertmanager_config_last_reload_successful) == 0",
        "{{ $labels.job }} on {{ $labels.node }} refuses its new configuration and runs on with the old one.",
        "<down_for>",
    ),
    Alert(
        "RuleEvaluationFailed",
        "ticket",
        "sum by (node) (increase(prometheus_rule_evaluation_failures_total[15m])) > 0",
        "Prometheus on {{ $labels.node }} cannot evaluate some of its rules: alerts may be missing.",
    ),
    Alert(
        "NotificationsFail",
        "page",
        "sum by (node) (increase(alertmanager_notifications_failed_total[15m])"
        " or increase(prometheus_notifications_dropped_total[15m])) > 0",
        "Notifications of {{ $labels.node }} do not reach people.",
    ),
    Alert(
        "DepotDown",
        "ticket",
        'max by (node) (probe_success{job="depot"}) == 0',
        "The depot on {{ $labels.node }} does not answer: no node can take a new release.",
        "<down_for>",
    ),
    Alert(
        "TargetsMissing",
        "ticket",
        '(count by (job) (up{job=~"ipex|node"}) or label_replace(vector(0), "job", "ipex", "", "")'
        ' or label_replace(vector(0), "job", "node", "", "")) < <nodes>',
        "Prometheus knows {{ $value }} targets of {{ $labels.job }}; the fleet has <nodes> nodes.",
        "<down_for>",
    ),
)
