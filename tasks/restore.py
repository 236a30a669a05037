"""Give one service of one node its data back, or those of another node; all of them, or everything stays as it is.

pyinfra --dry --limit gpu-02 --data service=comfyui inventory/prod.py tasks/restore.py
pyinfra --limit gpu-02 --data service=comfyui --data overwrite=true inventory/prod.py tasks/restore.py

Add --data origin=gpu-01 for another node's data, --data at=2026-11-26T02-00-00Z for older ones.
What would happen is printed before pyinfra asks; what is there is overwritten only with overwrite=true.
"""

from pyinfra import host

from fleet.load import node_name
from operations import backup

found = backup.restorable(host.state)
backup.restore(found.fleet[node_name(host)], found.request)
