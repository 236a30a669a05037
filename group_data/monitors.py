"""Monitors: Prometheus, scraping every node."""

prometheus = {
    # The agent has 9090 (the brief's number), so the server takes the next one.
    "port": 9091,
    "scrape_interval": "15s",
    # How often rules are evaluated, and alerts with them.
    "evaluation_interval": "30s",
    "retention_time": "30d",
    "retention_size": "20GB",
}

# The prober of the gateways' public addresses: on loopback, for its own Prometheus.
blackbox = {"port": 9115}

# What becomes of an alert: grouped, kept quiet where that is declared, sent to people.
alertmanager = {
    "port": 9093,
    # Monitors tell each other here (TCP and UDP) what they have sent, so that two of them send it once.
    "gossip_port": 9094,
    # For how long it is remembered what was sent; silences that have ended, too.
    "retention": "120h",
}

# Whom alerts reach. A channel that is None is not used. URLs and passwords are secrets and stand in the environment's
# secrets file, never here (docs/operate/secrets.md).
notifications = {
    # The incoming webhook's URL is the secret alertmanager.slack_url.
    "slack": {"channel": "#ai-infrastructure"},
    # PUT YOUR OWN HERE: the brief's address, and a mail server that does not exist.
    "email": {
        "to": ["maintainers@example.com"],
        "sender": "ipex-fleet@example.com",
        "smarthost": "smtp.example.com:587",
        "require_tls": True,
        # None for a server that asks for no password; it is the secret alertmanager.smtp_password.
        "username": "ipex-fleet@example.com",
    },
    # A service elsewhere that is told every minute that alerting works, and that calls when it is not: its URL is the
    # secret alertmanager.deadman_url.
    "deadman": False,
    # Networks the Alertmanager may talk with, beside this node and the monitors; Slack has no fixed addresses.
    "egress": ["any"],
    # How long the first message of a group waits for others, the next for changes, and when it is said again. The first
    # waits as long as evaluation_interval, or an alert would be sent before the one that explains it is there; the next
    # longer than 15 s for each monitor, which is how long one waits for another's word that it has been sent.
    "page": {"group_wait": "30s", "group_interval": "1m", "repeat_interval": "1h"},
    "ticket": {"group_wait": "1m", "group_interval": "15m", "repeat_interval": "24h"},
    # When tickets are sent; pages are sent at any time.
    "office_hours": {
        "days": ["monday", "tuesday", "wednesday", "thursday", "friday"],
        "start": "08:00",
        "end": "18:00",
        "time_zone": "UTC",
    },
}

# Times at which nobody is told of alerts, of all nodes or of those named. Weekly or dated, in a time zone:
#   {"name": "disks", "start": "sunday 22:00", "end": "monday 02:00", "time_zone": "Europe/Berlin"}
#   {"name": "move", "start": "2026-03-01 20:00", "end": "2026-03-02 06:00", "time_zone": "UTC", "nodes": ["gpu-01"]}
maintenance = []

# What users are promised (the brief's success metrics). Each row brings its recording rules, its alerts, its error
# budget over 30 days, and its panels.
objectives = {
    # Requests that end well: no status 5xx, and no answer cut in its middle. Of few requests one failure is a large
    # share, so nobody is told of fewer than least_errors.
    "availability": {"measures": "errors", "share": 0.999, "least_errors": 5},
    # Answers that begin in time. `seconds` must be a bound of metrics.duration_buckets.
    "latency": {"measures": "first_byte", "share": 0.95, "seconds": 2, "least_errors": 5},
    # Users whose requests are in work at the same moment.
    "users": {"measures": "users", "users": 100},
}

# From which point on somebody is told: docs/operate/alerts has a page for each alert.
alerts = {
    # Alerts that this fleet does without, by name.
    "without": [],
    # Machines, exporters, addresses that are silent; a reboot or a hiccup is shorter.
    "down_for": "2m",
    # Engines: the health monitor comes every five minutes, restarts, and proves what it has mended.
    "ill_for": "15m",
    # What can wait until it has lasted.
    "odd_for": "30m",
    "differ_for": "1d",
    "left_out_for": "4h",
    # Intel's own alert rules for its GPUs: above 85 degrees, and above 95 % of the memory (intel/xpumanager,
    # xpumd/docs/xpum-alert-rules.yaml).
    "gpu_celsius": 85,
    "gpu_memory_share": 0.95,
    "gpu_throttled_share": 0.5,
    "queue_length": 50,
    "queue_still_for": "30m",
    "truncated": 5,
    "users_share": 0.8,
    # The health monitor asks for a cleanup at health.disk_share, below this.
    "disk_share": 0.92,
    "disk_ahead": "1d",
    "inodes_share": 0.9,
    "memory_share": 0.95,
    "clock_seconds": 0.5,
    "certificate_ahead": "3w",
    "update_age": "60d",
    # Of a backup that is made every day one may fail.
    "backup_age": "2d",
    "restore_test_age": "40d",
}

# Dashboards for people. From the flake, or "apt" where the monitors know a repository that has the package grafana;
# "absent" writes dashboards and data source all the same. The password of its account `admin` is the secret
# grafana.admin_password.
grafana = {
    "installed": "flake",
    # The flake's output.
    "package": "grafana",
    "port": 3000,
    # Networks that may reach it directly, without TLS; people come through a gateway, at /grafana/.
    "admitted": [],
}

# How tasks/capacity.py looks at growth: so many days back (no more than Prometheus keeps), nothing said before
# least_days of them have values, nodes planned for horizon_days ahead. A node whose GPUs are busier than busy_share at
# the peak of a day makes users wait.
capacity = {"days": 28, "least_days": 7, "horizon_days": 90, "busy_share": 0.7}
