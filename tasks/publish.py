"""Publish what each node that updates itself is to take when its window opens: encrypted, signed, in the depot.

    pyinfra -y inventory/prod.py tasks/publish.py
    pyinfra --dry inventory/prod.py tasks/publish.py       who would take what, and nothing is published

No node is changed by this: each takes its own by the same transaction as a deploy's (docs/operate/updates.md).
"""

from pyinfra import host

from operations import publication

publication.publish(host, publication.of(host.state))
