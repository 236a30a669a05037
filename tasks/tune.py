"""Measure the optimizer's settings on GPU nodes, one node after the other, and propose what is faster as data.

    pyinfra inventory/prod.py tasks/tune.py
    pyinfra -y --limit gpu-02 --data json=true inventory/prod.py tasks/tune.py
    pyinfra -y --data action=declared inventory/prod.py tasks/tune.py      the declared setting alone: a baseline

With the rollout's lock, and never below a floor. Each node leaves rotation, is measured, and returns with the setting
that it had. Where `optimizer.tuning.apply` says so, what is faster is deployed afterwards, measured again, and taken
back where it is not.
"""

from pyinfra import host

from operations import chapters, tuning, verify

run = tuning.of(host.state)
work = run[host]
chapter = chapters.of(run)

if not run.activates:
    chapter.only(tuning.idle(run))
else:
    for _ in chapter.waves(work):
        tuning.tuned(work, declared=run.answers.request.action == tuning.DECLARED)

    chapter.begin("Verify: the fleet does its work through the gateway")
    verify.check(work.node)
