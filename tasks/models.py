"""The models of GPU nodes: which node has which, and how they come to all of them. Nothing serves less meanwhile.

    pyinfra inventory/prod.py tasks/models.py                              the parity table
    pyinfra inventory/prod.py --data action=lock tasks/models.py           resolve what data declare into the lock
    pyinfra inventory/prod.py --data action=plan tasks/models.py           what apply would fetch, and from where
    pyinfra inventory/prod.py --data action=apply tasks/models.py          fetch each once, copy it to all others
    pyinfra inventory/prod.py --data action=prune --data model=NAME tasks/models.py    remove what nobody declares

`lock` refuses that a model becomes another under its name; `--data model=NAME` says that it is meant. `--data
verify=true` reads every file instead of believing its name. docs/operate/models.md has the rest.
"""

from pyinfra import host

from operations import models

models.act(host.state)
