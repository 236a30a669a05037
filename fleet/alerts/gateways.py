"""Alerts about what users reach."""

from fleet.alerts.alert import Alert

ROWS = (
    Alert(
        "GatewayDown",
        "page",
        "min by (node) (nginx_up) == 0",
        "nginx on the gateway {{ $labels.node }} does not answer.",
        "<down_for>",
    ),
    Alert(
        "PublicAddressDown",
        "page",
        'max by (node, service, route) (probe_success{job="blackbox"}) == 0 unless on (node) nginx_up == 0',
        "{{ $labels.route }} does not answer on the gateway {{ $labels.node }}.",
        "<down_for>",
    ),
    # Two, because they do not hear each other: each answers some users.
    Alert(
        "FloatingAddressHeldWrongly",
        "page",
        "sum by (address) (ipex_floating_address_held) != 1",
        "{{ $value }} gateways hold {{ $labels.address }}, and not one.",
        "<down_for>",
    ),
    Alert(
        "NoSecondGateway",
        "ticket",
        "sum by (address) (ipex_floating_address_able) < 2",
        "{{ $value }} gateways could hold {{ $labels.address }}: the next that fails ends the service.",
        "<ill_for>",
    ),
    # The monitors' own questions are in that log, so that a fleet without users is not silent.
    Alert(
        "GatewayLogSilent",
        "ticket",
        "max by (node) (increase(mtail_lines_total[15m])) == 0",
        "Nothing is read of the log of {{ $labels.node }}: whether objectives are met is unknown.",
        "<down_for>",
    ),
    Alert(
        "StreamsTruncated",
        "ticket",
        "sum by (service) (increase(ipex_gateway_truncated_total[15m])) > <truncated>",
        "{{ $labels.service }}: {{ $value | humanize }} answers were cut in their middle within a quarter of an hour.",
    ),
    Alert(
        "CertificateExpires",
        "ticket",
        'min by (node) (probe_ssl_earliest_cert_expiry{job="blackbox"}) - time() < <certificate_ahead_seconds>',
        "The certificate of {{ $labels.node }} ends in {{ $value | humanizeDuration }}.",
    ),
)
