"""For each alert about services, gateways and monitoring what fires it, and what does not; see cases.py."""

from tests.rules.cases import GATEWAY, GPU, MONITOR, Case, Series, serving, ups

_OLLAMA = f'{GPU},service="ollama"'
_COMFYUI = f'{GPU},service="comfyui"'
_PROBE = f'job="blackbox",{GATEWAY},route="/ollama/",service="ollama"'

ENGINES = (
    Case(
        "EngineDown",
        {f"ipex_service_up{{{_OLLAMA}}}": "0x60"},
        # Restarted and proved by the health monitor within its time.
        {f"ipex_service_up{{{_OLLAMA}}}": "0x12 1x60"},
        at="20m",
        labels={"node": "gpu-01", "service": "ollama"},
    ),
    Case(
        "EngineDown",
        # Kept in rotation because the whole fleet fails alike, and ill all the same.
        {f"ipex_service_up{{{_OLLAMA}}}": "1x60", f"ipex_health_condemned{{{_OLLAMA}}}": "1x60"},
        {f"ipex_service_up{{{_OLLAMA}}}": "1x60", f"ipex_health_condemned{{{_OLLAMA}}}": "0x60"},
        at="20m",
        labels={"node": "gpu-01", "service": "ollama"},
    ),
    Case(
        "ServiceBelowFloor",
        {**serving("ollama", up=1), **serving("comfyui", up=3)},
        {**serving("ollama", up=2), **serving("comfyui", up=3)},
        value="1",
        own={"service": "ollama"},
    ),
    Case(
        "ServiceBelowFloor",
        {**serving("ollama", up=3), **serving("comfyui", up=0)},
        {**serving("ollama", up=3), **serving("comfyui", up=3)},
        value="0",
        own={"service": "comfyui"},
    ),
    Case(
        "RestartBudgetUsedUp",
        {f"ipex_health_budget_left{{{_OLLAMA}}}": "0x20"},
        {f"ipex_health_budget_left{{{_OLLAMA}}}": "1x20"},
        labels={"node": "gpu-01", "service": "ollama"},
    ),
    Case(
        "CircuitOpen",
        {
            'ipex_health_circuit_open{node="gpu-01",check="ollama:generates"}': "1x20",
            'ipex_health_circuit_open{node="gpu-02",check="ollama:generates"}': "1x20",
        },
        {'ipex_health_check_failed{node="gpu-01",service="ollama",check="generates"}': "1x20"},
        labels={"check": "ollama:generates", "service": "ollama"},
    ),
    Case(
        "ModelMissing",
        {f'ipex_model_present{{{_OLLAMA},model="gemma3:27b"}}': "0x2000"},
        # A node that has just begun to declare it.
        {f'ipex_model_present{{{_OLLAMA},model="gemma3:27b"}}': "0x60 1x1940"},
        at="30h",
        labels={"node": "gpu-01", "service": "ollama", "model": "gemma3:27b"},
    ),
    Case(
        "HealthMonitorSilent",
        {f'ipex_metrics_absent{{{GPU},source="health",reason="silent"}}': "1x40"},
        {f'ipex_metrics_absent{{{GPU},source="traffic",reason="silent"}}': "1x40"},
        at="20m",
        labels={"node": "gpu-01"},
    ),
    Case(
        "QueueLong",
        {f"ipex_queue_length{{{_OLLAMA}}}": "60x40"},
        {f"ipex_queue_length{{{_OLLAMA}}}": "60x10 40x40"},
        at="20m",
        labels={"node": "gpu-01", "service": "ollama"},
        value="60",
    ),
    Case(
        "QueueStuck",
        {
            f"ipex_queue_length{{{_COMFYUI}}}": "2x60",
            f'ipex_inference_requests_total{{{_COMFYUI},operation="prompt",outcome="success"}}': "9x60",
        },
        {
            f"ipex_queue_length{{{_COMFYUI}}}": "2x60",
            f'ipex_inference_requests_total{{{_COMFYUI},operation="prompt",outcome="success"}}': "9x40 10x20",
            # Elsewhere a queue is connections: one may stream for long.
            f"ipex_queue_length{{{_OLLAMA}}}": "2x60",
        },
        at="50m",
        labels={"node": "gpu-01", "service": "comfyui"},
    ),
)

_ADDRESS = "203.0.113.20"


def held(what: str, *values: str) -> Series:
    """Whether each of several gateways holds the floating address, or is able to."""
    return {
        f'ipex_floating_address_{what}{{address="{_ADDRESS}",node="gateway-0{number}"}}': one
        for number, one in enumerate(values, 1)
    }


GATEWAYS = (
    Case(
        "GatewayDown",
        {f"nginx_up{{{GATEWAY}}}": "0x20"},
        {f"nginx_up{{{GATEWAY}}}": "1x8 0x1 1x20"},
        labels={"node": "gateway-01"},
    ),
    Case(
        "PublicAddressDown",
        {f"probe_success{{{_PROBE}}}": "0x20", f"nginx_up{{{GATEWAY}}}": "1x20"},
        {f"probe_success{{{_PROBE}}}": "0x20", f"nginx_up{{{GATEWAY}}}": "0x20"},
        labels={"node": "gateway-01", "route": "/ollama/", "service": "ollama"},
    ),
    Case(
        "FloatingAddressHeldWrongly",
        held("held", "0x20", "0x20"),
        # While it moves, for a moment, nobody or both hold it.
        held("held", "1x4 0x16", "0x5 1x15"),
        labels={"address": _ADDRESS},
        value="0",
    ),
    Case(
        "FloatingAddressHeldWrongly",
        held("held", "1x20", "1x20"),
        held("held", "1x20", "0x20"),
        labels={"address": _ADDRESS},
        value="2",
    ),
    Case(
        "NoSecondGateway",
        held("able", "1x60", "0x60"),
        held("able", "1x60", "1x60"),
        at="50m",
        labels={"address": _ADDRESS},
        value="1",
    ),
    Case(
        "GatewayLogSilent",
        {f"mtail_lines_total{{{GATEWAY}}}": "500x40"},
        {f"mtail_lines_total{{{GATEWAY}}}": "500+4x40"},
        at="20m",
        labels={"node": "gateway-01"},
    ),
    Case(
        "StreamsTruncated",
        {f'ipex_gateway_truncated_total{{{GATEWAY},service="ollama"}}': "0+1x40"},
        {f'ipex_gateway_truncated_total{{{GATEWAY},service="ollama"}}': "0x10 3x20"},
        at="20m",
        labels={"service": "ollama"},
        value="15",
    ),
    Case(
        "CertificateExpires",
        {f"probe_ssl_earliest_cert_expiry{{{_PROBE}}}": "1000000x20"},
        {f"probe_ssl_earliest_cert_expiry{{{_PROBE}}}": "9000000x20"},
        labels={"node": "gateway-01"},
        value="11d 13h 36m 40s",
    ),
    Case(
        "UsersNearObjective",
        {f"nginx_connections_active{{{GATEWAY}}}": "95x60", f"nginx_connections_waiting{{{GATEWAY}}}": "5x60"},
        # Connections that are open and idle are no users at work.
        {f"nginx_connections_active{{{GATEWAY}}}": "195x60", f"nginx_connections_waiting{{{GATEWAY}}}": "150x60"},
        at="20m",
        value="90%",
    ),
)

MONITORING = (
    Case("Watchdog", {"any": "1x20"}, {}),
    Case(
        "PrometheusConfigReloadFailed",
        {f'prometheus_config_last_reload_successful{{job="prometheus",{MONITOR}}}': "0x20"},
        {f'prometheus_config_last_reload_successful{{job="prometheus",{MONITOR}}}': "1x20"},
        labels={"job": "prometheus", "node": "monitor-01"},
    ),
    Case(
        "PrometheusConfigReloadFailed",
        {f'alertmanager_config_last_reload_successful{{job="alertmanager",{MONITOR}}}': "0x20"},
        {f'alertmanager_config_last_reload_successful{{job="alertmanager",{MONITOR}}}': "1x20"},
        labels={"job": "alertmanager", "node": "monitor-01"},
    ),
    Case(
        "RuleEvaluationFailed",
        {f'prometheus_rule_evaluation_failures_total{{{MONITOR},rule_group="g"}}': "0x4 1x20"},
        {f'prometheus_rule_evaluation_failures_total{{{MONITOR},rule_group="g"}}': "5x20"},
        labels={"node": "monitor-01"},
    ),
    Case(
        "NotificationsFail",
        {f'alertmanager_notifications_failed_total{{{MONITOR},integration="slack"}}': "0x4 2x20"},
        {f'alertmanager_notifications_failed_total{{{MONITOR},integration="slack"}}': "2x20"},
        labels={"node": "monitor-01"},
    ),
    Case(
        "DepotDown",
        {f'probe_success{{job="depot",{MONITOR}}}': "0x20"},
        {f'probe_success{{job="depot",{MONITOR}}}': "1x8 0x1 1x20"},
        labels={"node": "monitor-01"},
    ),
    Case(
        "TargetsMissing",
        ups({"ipex": 5, "node": 6}),
        ups({"ipex": 6, "node": 6}, "0x60"),
        labels={"job": "ipex"},
        value="5",
    ),
    Case("TargetsMissing", ups({"node": 6}), ups({"ipex": 6, "node": 6}), labels={"job": "ipex"}, value="0"),
)
