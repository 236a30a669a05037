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
}
