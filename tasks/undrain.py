"""Bring drained nodes back into rotation.

pyinfra -y --limit gpu-02 inventory/prod.py tasks/undrain.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import question, rotation

rotation.undrain(question.answers(host.state).fleet[node_name(host)])
