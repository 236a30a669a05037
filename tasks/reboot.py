"""Reboot the nodes that need it, wave by wave, like a deploy; gateways last, one at a time.

    pyinfra inventory/prod.py tasks/reboot.py
    pyinfra -y --limit gpu-02 --data only_needed=false inventory/prod.py tasks/reboot.py

Each node leaves rotation, boots, proves its services and returns by itself. One that fails ends the run.
"""

from pyinfra import host

from operations import chapters, reboot, verify

run = reboot.of(host.state)
work = run[host]
chapter = chapters.of(run)

if not run.activates:
    chapter.only(reboot.idle(run))
else:
    for _ in chapter.waves(work):
        reboot.rebooted(work)

    chapter.begin("Verify: the fleet does its work through the gateway")
    verify.check(work.node)
