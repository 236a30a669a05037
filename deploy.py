"""What happens to the fleet, in this order. Every chapter waits for all nodes.

    pyinfra inventory/prod.py deploy.py

Before the first chapter every node is asked one question; a problem on any of them ends the run there. A fleet
that is as declared is left alone.
"""

from pyinfra import host

from operations import generations, packages, survey, verify
from operations.chapters import chapter

run = survey.of(host.state)
work = run[host]

if not run.changes:
    chapter(run.unchanged)
else:
    chapter("1. Packages: what Debian provides")
    packages.present(work)

    chapter("2. Stage: the generation is on the node, nothing is touched")
    generations.stage(work)

    chapter("3. GPU nodes: activate")
    if work.node.is_gpu:
        generations.activate(work)

    chapter("4. Gateways and monitors: activate")
    if not work.node.is_gpu:
        generations.activate(work)

    chapter("5. Verify: the fleet does its work through the gateway")
    verify.routes(work)
