"""Growth and head-room of every node and model, from what Prometheus remembers. Nothing is changed.

pyinfra inventory/prod.py tasks/capacity.py
pyinfra --json inventory/prod.py tasks/capacity.py 2>/dev/null | jq
"""

from pyinfra import host

from operations import capacity_report

capacity_report.show(host.state)
