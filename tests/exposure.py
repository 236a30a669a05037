"""How exposed each unit may be at most (systemd-analyze security, lower is better), and on which kind of node it runs.

The best others, by the same tool: nixpkgs' ollama 1.4 and comfyui 1.6, Debian's own nginx 9.4 and prometheus 3.9.
"""

EXPOSURE = {
    "ollama-ipex": ("gpu-01", 1.3),
    "comfyui-ipex": ("gpu-01", 1.3),
    "ipex-agent": ("gpu-01", 1.0),
    "ipex-gpu": ("gpu-01", 1.1),
    "ipex-health-monitor": ("gpu-01", 1.6),
    "ipex-traffic": ("gpu-01", 1.1),
    "ipex-status": ("gpu-01", 1.6),
    "ipex-firewall": ("gpu-01", 1.4),
    "ipex-cleanup": ("gpu-01", 1.0),
    "ipex-backup": ("gpu-01", 2.1),
    "ipex-backup-verify": ("gpu-01", 2.1),
    "ipex-restore-test": ("gpu-01", 2.1),
    "ipex-restore-test-ollama": ("gpu-01", 1.2),
    "ipex-memory-check": ("gpu-01", 0.4),
    "prometheus-node-exporter": ("gpu-01", 1.5),
    "nginx": ("gateway-01", 1.5),
    "ipex-gateway": ("gateway-01", 1.5),
    "ipex-gateway-kernel": ("gateway-01", 1.5),
    "keepalived": ("gateway-01", 2.1),
    "mtail": ("gateway-01", 1.2),
    "prometheus-nginx-exporter": ("gateway-01", 1.2),
    "prometheus": ("monitor-01", 1.2),
    "prometheus-alertmanager": ("monitor-01", 1.2),
    "prometheus-blackbox-exporter": ("monitor-01", 1.2),
    "grafana-server": ("monitor-01", 1.1),
    "ipex-depot": ("monitor-01", 1.2),
}
ACME = {"ipex-acme": 1.1, "ipex-acme-placeholder": 0.2, "ipex-acme-reload": 0.7}
"""The same of what a gateway has that gets its certificate itself; the example fleet's do not."""


def score(said: str) -> float:
    """Read the number out of `Overall exposure level for X.service: 1.2 OK`."""
    return float(said.rsplit(".service:", maxsplit=1)[-1].split(maxsplit=1)[0])
