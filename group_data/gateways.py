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
    # Where nginx' exporter shows its connections.
    "connections_port": 9113,
    "log": {
        # Where mtail shows what it counts in the log.
        "port": 3903,
        # How long the log of requests is kept, which says neither who asked nor what; and how long nginx' own errors
        # are, into which it writes both address and request line.
        "days": 14,
        "error_days": 3,
        # True writes the client's address into the log of requests.
        "addresses": False,
    },
    # The page at /, which shows the fleet.
    "front_page": {
        # The gateway writes its live data this often, and asks nodes and a monitor for their numbers this often.
        "write_seconds": 2,
        "numbers_seconds": 15,
        "objectives_seconds": 60,
        # An open page asks for them this often, and says from this age on that they are old.
        "poll_seconds": 5,
        "stale_seconds": 20,
        # More links at its end: title to address.
        "links": {},
    },
}
