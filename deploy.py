"""What happens to the fleet, in this order. Every chapter waits for all nodes.

    pyinfra inventory/prod.py deploy.py

Before the first chapter every node is asked one question; a machine that is unfit ends the run there, one that is
down is left for the next run. A node that fails ends the run before the next chapter. A fleet that is as declared is
left alone.
"""

from pyinfra import host

from operations import builds, chapters, generations, packages, survey, verify

run = survey.of(host.state)
work = run[host]
chapter = chapters.of(run)

if not run.changes:
    chapter.only(run.unchanged)
else:
    chapter.begin("Packages: what Debian provides")
    packages.present(work)

    if run.closures:
        chapter.begin("Build: each closure once, for all, into the depot")
        builds.once(work, run)

    if run.opens_depot:
        chapter.begin("Depot: it serves before anybody takes from it")
        if work.node.serves_depot:
            generations.stage(work)
            generations.activate(work)

    chapter.begin("Stage: the generation is on the node, nothing is touched")
    generations.stage(work)

    for _ in chapter.waves(work):
        generations.activate(work)

    chapter.begin("Verify: the fleet does its work through the gateway")
    verify.routes(work)
