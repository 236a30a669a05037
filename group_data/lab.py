"""What differs in the lab: small limits, engines that stand for the real ones, sysfs trees that stand for GPUs."""

environment = "lab"

ssh_key = "/var/lib/ipex-lab/ssh/id_ed25519"
ssh_known_hosts_file = "/var/lib/ipex-lab/ssh/known_hosts"
ssh_strict_host_key_checking = "yes"

# Made by `python -m lab up` (lab/secrets.py), gone with it.
secrets = {"file": "/var/lib/ipex-lab/secrets.age", "identity": "/var/lib/ipex-lab/identity.txt"}

# The lab's own flake, packed by `python -m lab up`; `python -m lab.pin` prints the pin.
flake = {
    "url": "http://198.18.0.1:3142/flake/ipex-flake-1-957f130a.tar.gz",
    "nar_hash": "sha256-lX8TCmniO3TPNO89R4aItuZYYe9t/gu8AVxchH/dCfY=",
}

# The lab has no route to a binary cache, and builds its three small packages itself.
nix = {"substituters": []}

# What users ask: one of the two gateways holds it.
floating = {"address": "198.18.0.20", "prefix": 24, "router_id": 51}

# As in all.py, on a machine that is everybody's.
depot = {"node": None, "port": 8480, "connections": 512, "cache_gb": 1, "free_gb": 1}

# Its window is long over: tests start the update themselves, with --now.
updates = {
    "enable": True,
    "windows": [{"name": "over", "start": "2026-01-01 00:00", "end": "2026-01-02 00:00", "time_zone": "Europe/Berlin"}],
    "blackouts": [],
    "random_delay": "45min",
    "concurrent": 1,
    "soak_seconds": 1,
    "reserve_seconds": 60,
    "ask_seconds": 1,
    "lease_seconds": 60,
    "valid_days": 14,
    "port": 9097,
}

# Where a lab node keeps the trees that stand for its hardware.
paths = {"sysfs": "/lab/sysfs", "procfs": "/lab/proc", "kernel_log": "/lab/kmsg", "render_node": None}

# Numbers for tests, which start the health monitor themselves: it must not mend what other tests break.
health = {
    "calendar": "yearly",
    "spread_seconds": 0,
    "tries": 2,
    "try_seconds": 1,
    "busy_runs": 1,
    "leave_seconds": 2,
    "restarts": 3,
    "window_seconds": 3600,
    "backoff_seconds": 0,
    "disk_share": 0.85,
    "circuit_share": 0.5,
    "circuit_nodes": 2,
}

# As in gpu_nodes.py, but for tests, which tune the nodes themselves: few settings, few words.
optimizer = {
    "enable": True,
    "auto_compile": True,
    "compilation_cache": "/var/cache/ipex-models",
    "cache_gb": 1,
    "cache_days": 30,
    "quantization": {
        "enable": True,
        "precision": {"ollama": "int8"},
        "calibration_dataset": None,
        "models": {},
    },
    "memory": {"unified_memory": True, "memory_pool": {}, "swap_threshold": 0.8, "gpu_reserve": {}},
    "schedule": {
        "model_update": "monthly",
        "cache_cleanup": "monthly",
        "performance_tuning": "monthly",
        "spread": "1h",
    },
    "tuning": {
        "grid": {"OLLAMA_NUM_PARALLEL": ["1", "4"], "OLLAMA_KV_CACHE_TYPE": ["f16"]},
        "clients": 4,
        "rounds": 2,
        "tokens": 16,
        "gain": 0.1,
        "loss": 0.1,
        "apply": False,
    },
}

# The lab reaches neither a binary cache nor Grafana's repository: what would be provisioned is written all the same.
grafana = {
    "installed": "absent",
    "package": "grafana",
    "port": 3000,
    "admitted": [],
}

# Looked at and judged every few seconds: tests wait for it.
prometheus = {
    "port": 9091,
    "scrape_interval": "5s",
    "evaluation_interval": "5s",
    "retention_time": "1d",
    "retention_size": "1GB",
}

# As in monitors.py, but for tests, which wait for alerts; what a container cannot have right is left out: its health
# monitor is started by tests alone, its clock, its memory and the trend of its disk are the machine's.
alerts = {
    "without": ["HealthMonitorSilent", "ClockSkew", "DiskFillsSoon", "MemoryLow", "OomKill"],
    "down_for": "30s",
    "ill_for": "1m",
    "odd_for": "1m",
    "differ_for": "1d",
    "left_out_for": "1h",
    "gpu_celsius": 85,
    "gpu_memory_share": 0.95,
    "gpu_throttled_share": 0.5,
    "queue_length": 50,
    "queue_still_for": "2m",
    "truncated": 5,
    "users_share": 0.8,
    "disk_share": 0.92,
    "disk_ahead": "1d",
    "inodes_share": 0.9,
    "memory_share": 0.97,
    "clock_seconds": 0.5,
    "certificate_ahead": "3w",
    "update_age": "60d",
    "backup_age": "2d",
    "restore_test_age": "40d",
}

# The tests' own mail server and webhook, on the machine that carries the lab; people wait longer, tests do not.
notifications = {
    "slack": {"channel": "#ai-infrastructure"},
    "email": {
        "to": ["maintainers@example.com"],
        "sender": "ipex-fleet@example.com",
        "smarthost": "198.18.0.1:2525",
        "require_tls": False,
        "username": None,
    },
    "deadman": True,
    "egress": ["198.18.0.1"],
    # As everywhere, the first message waits for as long as rules are evaluated: what explains it comes with it.
    "page": {"group_wait": "5s", "group_interval": "5s", "repeat_interval": "1h"},
    "ticket": {"group_wait": "5s", "group_interval": "5s", "repeat_interval": "1h"},
    "office_hours": {
        "days": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"],
        "start": "00:00",
        "end": "24:00",
        "time_zone": "UTC",
    },
}

_SMALL = {
    "memory_max": "1G",
    "cpu_quota": "100%",
    # The lab's engines are Python programs; a real engine runs from /nix/store alone.
    "exec_paths": ["/nix/store", "/usr"],
    "egress": [],
    "disk_gb": 1,
    "closure_gb": 1,
    "drain_seconds": 30,
    "probe_seconds": 20,
    # Of three nodes one may be down and one may change.
    "floor": 1,
}
service_overrides = {"ollama": _SMALL, "comfyui": _SMALL}

# Tests start each of these themselves; a monitor has the store, for sftp alone.
backup = {
    "calendar": "*-01-01 02:00",
    "verify_calendar": "*-01-01 03:00",
    "restore_test_calendar": "*-01-01 04:00",
    "spread": "1s",
    "keep": {"daily": 7, "weekly": 4, "monthly": 6},
    "verify_days": 7,
    "wait_seconds": 5,
    # The disk is the machine's own.
    "free_share": 0.01,
    "test_port": 11435,
    "test_seconds": 30,
}
backup_repository = {"kind": "sftp", "host": "198.18.0.31", "user": "ipex-backup", "path": "/ipex"}

# From the tests' own registry, on the machine that carries the lab; the lock is made by whoever needs one.
models = {
    "port": 9096,
    "rate": "",
    "keep_free_gb": 0,
    "registry": "http://198.18.0.1:5000",
    "lock": "/var/lib/ipex-lab/models.lock",
}
