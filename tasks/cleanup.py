"""Free GPU nodes' disks of what nobody needs: old generations, their closures, old outputs. No model goes.

pyinfra -y --limit gpu-02 inventory/prod.py tasks/cleanup.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import cleanup, question

cleanup.free(question.answers(host.state).fleet[node_name(host)])
