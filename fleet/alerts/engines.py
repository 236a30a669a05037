"""Alerts about the engines, and about the health monitor that repairs them."""

from collections.abc import Iterator

from fleet import waves
from fleet.alerts.alert import Alert
from fleet.model import Fleet

ROWS = (
    # One engine of many waits for the office: users lose only head-room, and too few engines page below.
    Alert(
        "EngineDown",
        "ticket",
        "group by (node, service) (ipex_service_up == 0 or ipex_health_condemned == 1)",
        "{{ $labels.service }} on {{ $labels.node }} is down, and the health monitor has not mended it.",
        "<ill_for>",
    ),
    Alert(
        "RestartBudgetUsedUp",
        "ticket",
        "min by (node, service) (ipex_health_budget_left) == 0",
        "The health monitor of {{ $labels.node }} may not restart {{ $labels.service }} any more.",
    ),
    Alert(
        "CircuitOpen",
        "page",
        "max by (check, service)"
        ' (label_replace(ipex_health_circuit_open, "service", "$1", "check", "([^:]+):.*")) == 1',
        "{{ $labels.check }} fails on so many nodes at once that none repairs itself.",
    ),
    # Requests find their model on other nodes: a page would be for nothing, and tasks/models.py mends it.
    Alert(
        "ModelMissing",
        "ticket",
        "max by (node, service, model) (ipex_model_present) == 0",
        "{{ $labels.node }} declares {{ $labels.model }} for {{ $labels.service }}, and lacks it as it was locked.",
        "<differ_for>",
    ),
    Alert(
        "HealthMonitorSilent",
        "ticket",
        'max by (node) (ipex_metrics_absent{source="health"}) == 1',
        "The health monitor of {{ $labels.node }} has not looked at its engines.",
        "<ill_for>",
    ),
    Alert(
        "QueueLong",
        "ticket",
        "max by (node, service) (ipex_queue_length) > <queue_length>",
        "{{ $value }} pieces of work wait or run on {{ $labels.service }} of {{ $labels.node }}.",
        "<ill_for>",
    ),
    # Only a queue of the engine's own can stand still: elsewhere a connection is a piece of work.
    Alert(
        "QueueStuck",
        "ticket",
        'min by (node, service) (min_over_time(ipex_queue_length{service=~"<queued>"}[<queue_still_for>])) > 0'
        " unless on (node, service)"
        " sum by (node, service) (increase(ipex_inference_requests_total[<queue_still_for>])) > 0",
        "{{ $labels.service }} on {{ $labels.node }} has finished nothing in <queue_still_for>, though work waits.",
    ),
)


def below_floor(fleet: Fleet) -> Iterator[Alert]:
    """Yield for each service that has a floor the alert that it is not held."""
    for service in fleet.services():
        least = waves.floor(service.floor, len(fleet.backends(service.name)))
        if least:
            yield Alert(
                "ServiceBelowFloor",
                "page",
                f'(count(ipex_service_up{{service="{service.name}"}} == 1 and on (node) ipex_node_in_rotation == 1)'
                f" or vector(0)) < {least}",
                f"{service.name} is served by {{{{ $value }}}} nodes; {least} must serve it at all times.",
                "<down_for>",
                {"service": service.name},
            )
