"""Grafana's dashboards, computed from the fleet: pure, the same bytes for the same fleet."""

from fleet.dashboards.build import json_of
from fleet.dashboards.node import dashboard as node_detail
from fleet.dashboards.overview import dashboard as overview
from fleet.model import Fleet

DATA_SOURCE = "ipex-prometheus"
"""The uid of the one data source."""


def files(fleet: Fleet) -> dict[str, bytes]:
    """Each dashboard's file name and JSON."""
    return {f"{board.uid}.json": json_of(board, DATA_SOURCE) for board in (overview(fleet), node_detail(fleet))}
