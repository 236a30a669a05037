"""End silences before their time: those of the nodes named, or without `nodes` the one of all alerts.

pyinfra -y --limit monitor-01 --data nodes=gpu-02 inventory/prod.py tasks/unsilence.py
"""

from pyinfra import host

from operations import silence

silence.end(host)
