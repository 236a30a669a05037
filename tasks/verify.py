"""Let every engine do its smallest work, and use every route of the gateways as a user would.

pyinfra -y inventory/prod.py tasks/verify.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import question, verify

node = question.answers(host.state).fleet[node_name(host)]
verify.probe(node)
verify.check(node)
