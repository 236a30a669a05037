"""Keep alerts of some nodes, or all, from people for a while; without `minutes`, say what is silent.

pyinfra -y --limit monitor-01 --data nodes=gpu-02 --data minutes=60 --data reason=fan inventory/prod.py tasks/silence.py
pyinfra -y --limit monitor-01 inventory/prod.py tasks/silence.py

--limit names the monitor that is asked, not what is silenced: a node that is down could not be reached.
"""

from pyinfra import host

from operations import silence

silence.begin(host)
