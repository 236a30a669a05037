"""Gateways: nginx in front of every GPU node."""

gateway = {
    "server_name": "ai-services.local",
    # Without TLS: only the way to TLS.
    "port": 80,
    "tls": {
        "port": 443,
        # How long a browser comes with TLS alone, whatever address it is given; 0 tells it nothing.
        "hsts_seconds": 31536000,
        # None: the certificate is among the secrets. Or an ACME authority issues it (docs/operate/gateway.md):
        # {"directory": "https://acme-v02.api.letsencrypt.org/directory", "email": "operators@example.com"}
        "acme": None,
    },
    # What one client and one address may ask: requests a second on average, so many at once before that counts, so many
    # in work at the same time. A page of ComfyUI is 300 requests at once; a chat program with one key is all its users.
    "limits": {
        "classes": {
            "standard": {"requests_per_second": 100, "burst": 1000, "concurrent": 256},
            "bulk": {"requests_per_second": 400, "burst": 2000, "concurrent": 1024},
        },
        "address": {"requests_per_second": 500, "burst": 2500, "concurrent": 1280},
        # What a client is told to wait that asked too much.
        "retry_after_seconds": 2,
        # Slow clients: a whole header in this time, no longer silence in a body, nor while an answer is sent.
        "header_seconds": 10,
        "body_seconds": 15,
        "send_seconds": 60,
        "idle_seconds": 75,
    },
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
        # Which node has which model loaded is never urgent: so long after a reload nginx is not told of that alone.
        "warm_seconds": 60,
    },
    # How fast another gateway takes the floating address, where an environment has one (`floating`).
    "takeover": {
        # The holder speaks so often; three words that do not come, and a little, and another takes over.
        "advert_seconds": 0.5,
        # Each asks its own nginx so often, and gives the address up after fall questions without an answer.
        "check_seconds": 0.5,
        "fall": 2,
        "rise": 2,
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

# Who may come in. `use`: the engines' inference; `operate`: what changes models or other people's work; `look`: the
# front page, Prometheus and Grafana. EXAMPLES: nobody gets in before a key or a password is made for the name
# (docs/operate/gateway.md).
access = {
    "clients": {
        # A program in front of many users.
        "chat-frontend": {"may": ["use"], "limits": "bulk"},
        # A person with a browser.
        "alice": {"may": ["use", "look"]},
        "operator": {"may": ["use", "operate", "look"]},
    },
}
