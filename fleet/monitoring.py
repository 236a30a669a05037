"""Where the monitors' pages are on the gateways."""

PROMETHEUS = "/prometheus/"
GRAFANA = "/grafana/"
PATHS = (PROMETHEUS, GRAFANA)
"""No service may be reached there."""
