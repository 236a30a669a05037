"""Make the backups of GPU nodes now: snapshots of models, and what cannot be downloaded again into the repository.

pyinfra -y --limit gpu-02 inventory/prod.py tasks/backup.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import backup, question

backup.make(question.answers(host.state).fleet[node_name(host)])
