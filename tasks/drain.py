"""Take GPU nodes out of rotation, and wait until nothing is in flight there; let a gateway give its address away.

pyinfra -y --limit gpu-02 --data 'reason=new memory' inventory/prod.py tasks/drain.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import rotation

found = rotation.allowed(host.state)
rotation.drain(found.fleet[node_name(host)], found.request.reason, force=found.request.force)
