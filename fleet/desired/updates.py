"""What lets a node bring itself up to date, and on the first monitor what says whose turn it is."""

from fleet.desired import probes, program
from fleet.desired.agent import SETTINGS
from fleet.desired.render import render
from fleet.generation import File, Part, Unit
from fleet.model import ROLES, Fleet, Node
from fleet.updates import TURNS, UNIT, Updates
from ipex_node.update.windows import on_calendar

_PLACE = "/etc/systemd/system"


def part(node: Node, fleet: Fleet) -> Part:
    """What takes what is published, where the node updates itself, and what gives turns, where it does that."""
    own = node.updates
    taker = _taker(own) if own and own.enable else Part()
    giver = _giver(own, fleet) if own and node.gives_turns else Part()
    return Part(
        packages=(*taker.packages, *giver.packages),
        files=(*taker.files, *giver.files),
        units=(*taker.units, *giver.units),
        validators=(*taker.validators, *giver.validators),
        probes=giver.probes,
    )


def _taker(updates: Updates) -> Part:
    """The service that takes what is published, and its timer."""
    service = File(f"{_PLACE}/{UNIT}.service", render(f"units/{UNIT}.service.j2", program=program.PATH))
    calendars = tuple(map(on_calendar, updates.windows))
    timer = File(
        f"{_PLACE}/{UNIT}.timer", render(f"units/{UNIT}.timer.j2", calendars=calendars, delay=updates.random_delay)
    )
    check = ("systemd-analyze", "verify", "--man=no", f"{{root}}{service.path}", f"{{root}}{timer.path}")
    return Part(
        # Time zones, and what opens a bundle that is encrypted for the node's host key.
        packages=("age", "tzdata"),
        files=(service, timer),
        units=(Unit(f"{UNIT}.timer", inputs=(timer.path,)),),
        validators=(check,),
    )


def _giver(updates: Updates, fleet: Fleet) -> Part:
    """What says whose turn it is."""
    addresses = fleet.addresses(*ROLES)
    unit = File(
        f"{_PLACE}/{TURNS}", render(f"units/{TURNS}.j2", program=program.PATH, updates=updates, addresses=addresses)
    )
    return Part(
        packages=("openssh-client",),
        files=(unit,),
        units=(Unit(TURNS, inputs=(program.PATH, SETTINGS, unit.path)),),
        validators=(("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),),
        probes=(probes.answers(TURNS, updates.port, "/healthz"),),
    )
