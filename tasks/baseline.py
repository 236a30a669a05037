"""Is what runs now slower than the release before it, on any GPU node? Exit status 1 says so: do not promote it.

pyinfra -y inventory/staging.py tasks/baseline.py
"""

from pyinfra import host

from fleet.load import node_name
from operations import question, tuning

tuning.compare(question.answers(host.state).fleet[node_name(host)])
