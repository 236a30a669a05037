"""Publish what each node that updates itself is to take when its window opens: encrypted, signed, in the depot.

    pyinfra -y inventory/prod.py tasks/publish.py
    pyinfra --dry inventory/prod.py tasks/publish.py       who would take what, and nothing is published

The depot builds what it does not have before it offers it. No node is changed by this: each takes its own by the same
transaction as a deploy's (docs/operate/updates.md).
"""

from pyinfra import host

from operations import builds, publication

offer = publication.of(host.state)
builds.once(offer.run[host], offer.run)
publication.publish(host, offer)
