"""Gateways: nginx in front of every GPU node."""

gateway = {
    "server_name": "ai-services.local",
    "port": 80,
    # A dead backend is given up after this long.
    "connect_timeout": "2s",
    # A reload lets old workers finish what they stream for this long.
    "shutdown_timeout": "20m",
    # Concurrent connections of one worker: a proxied request takes two.
    "worker_connections": 4096,
    # How the gateway follows the nodes: each is asked whether it wants requests.
    "rotation": {
        "interval_seconds": 1,
        # Good answers in a row that bring a node back.
        "rise": 2,
        # Questions in a row without a good answer that take it out; one that drains goes at once.
        "fall": 2,
        # If more than this share of a service's nodes look down at once, the gateway doubts itself: none is taken out.
        "fail_open_share": 0.5,
        # A node's return waits this long for others: each reload makes least_conn forget what is in flight.
        "gather_seconds": 1,
    },
}
