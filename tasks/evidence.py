"""What an environment says of the release it runs, kept in build/release/ for a promotion. Nothing is changed.

pyinfra inventory/staging.py tasks/evidence.py
"""

from pyinfra import host

from operations import evidence

evidence.show(host.state)
