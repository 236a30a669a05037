"""What gateways see of their users' requests; docs/decisions/0012 says where the edges are.

Counted by mtail on each gateway (templates/mtail), not told by agents.
"""

from fleet.metrics.metric import Metric

ROWS = (
    Metric(
        "ipex_gateway_requests_total",
        "counter",
        "Users' requests that have ended, by nginx' status; 499 is a user who left before the answer began.",
        "the gateway's access log",
        ("service", "code"),
    ),
    Metric(
        "ipex_gateway_request_duration_seconds",
        "histogram",
        "From a request's first byte to its answer's last; answers below 400, websockets left out.",
        "the gateway's access log: $request_time",
        ("service",),
    ),
    Metric(
        "ipex_gateway_first_byte_seconds",
        "histogram",
        "How long the node that answered took to begin; answers below 400, websockets left out.",
        "the gateway's access log: the last $upstream_header_time",
        ("service",),
    ),
    Metric(
        "ipex_gateway_truncated_total",
        "counter",
        "Answers that broke off in their middle; nginx logs them with the status they began with.",
        "the gateway's error log: errors while reading upstream",
        ("service",),
    ),
)
