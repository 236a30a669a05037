"""Monitors: Prometheus, scraping every node."""

prometheus = {
    # The agent has 9090 (the brief's number), so the server takes the next one.
    "port": 9091,
    "scrape_interval": "15s",
    "retention_time": "30d",
    "retention_size": "20GB",
}
