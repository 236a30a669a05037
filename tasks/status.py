"""What every node is and does now. Nothing is changed.

pyinfra inventory/prod.py tasks/status.py
pyinfra --json inventory/prod.py tasks/status.py 2>/dev/null | jq
"""

from pyinfra import host

from operations import status

status.show(host.state)
