"""Bring nodes back to their previous generation, or one node to a named one; wave by wave, like a deploy.

    pyinfra inventory/prod.py tasks/rollback.py
    pyinfra -y --limit gpu-02 --data to=0123456789abcdef inventory/prod.py tasks/rollback.py

The next deploy goes forward again: take the cause out of the data first.
"""

from pyinfra import host

from operations import chapters, generations, rollback, verify

run = rollback.of(host.state)
work = run[host]
chapter = chapters.of(run)

for _ in chapter.waves(work):
    generations.roll_back(work)

chapter.begin("Verify: the fleet does its work through the gateway")
verify.check(work.node)
