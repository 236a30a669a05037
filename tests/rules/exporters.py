"""Families that others' exporters show, as far as rules use them, each list with its source.

tests/lab/test_exporters.py asks the exporters themselves.
"""

EXPORTERS = {
    # Every job, by Prometheus itself: prometheus/docs, jobs_instances.
    "every": {"up"},
    # node_exporter 1.9: collector/{filesystem_common,meminfo,vmstat_linux,timex,systemd_linux,uname}.go.
    "node": {
        "node_filesystem_avail_bytes",
        "node_filesystem_files",
        "node_filesystem_files_free",
        "node_filesystem_size_bytes",
        "node_memory_MemAvailable_bytes",
        "node_memory_MemTotal_bytes",
        "node_systemd_unit_state",
        "node_timex_maxerror_seconds",
        "node_timex_offset_seconds",
        "node_timex_sync_status",
        "node_uname_info",
        "node_vmstat_oom_kill",
    },
    # Prometheus 2.53: cmd/prometheus/main.go, rules/group.go, notifier/notifier.go.
    "prometheus": {
        "prometheus_config_last_reload_successful",
        "prometheus_notifications_dropped_total",
        "prometheus_rule_evaluation_failures_total",
    },
    # Alertmanager 0.28: config/coordinator.go, notify/notify.go.
    "alertmanager": {
        "alertmanager_config_last_reload_successful",
        "alertmanager_notifications_failed_total",
    },
    # nginx-prometheus-exporter 1.4: collector/nginx.go.
    "nginx": {"nginx_connections_active", "nginx_connections_waiting", "nginx_up"},
    # mtail 3.0.9: internal/mtail/mtail.go, its own counters.
    "gateway": {"mtail_lines_total"},
    # blackbox_exporter 0.26: prober/handler.go, prober/http.go; the second where an address is TLS.
    "blackbox": {"probe_ssl_earliest_cert_expiry", "probe_success"},
}

TARGET_LABELS = {"job", "instance", "node", "roles", "route"}
"""What Prometheus itself gives every series: fleet/desired/prometheus.py."""
