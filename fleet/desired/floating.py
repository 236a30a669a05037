"""keepalived: the gateways' floating address, by VRRP."""

from collections.abc import Mapping

from fleet.desired import acme, probes
from fleet.desired import gateway as nginx
from fleet.desired.render import render
from fleet.floating import ANSWER_SECONDS, Floating
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Gateway, Node

UNIT = "keepalived.service"

_CONFIGURATION = "/etc/keepalived/keepalived.conf"
# Below /usr: what keepalived runs, the sandbox must let run.
_SCRIPT = "/usr/local/lib/ipex/gateway-answers"
# nginx' own: with it the gateway stands and falls. A user of its own would be unknown when the files are checked.
_USER = "www-data"
_RUNTIME = "ipex-keepalived"
_INTERFACE = f"/run/{_RUNTIME}/interface.conf"
# An operator's drain alone, which `ipex-node drain` leaves here: a change of the node moves no address.
_DRAINED = "/var/lib/ipex/drain"
_HIGHEST_PRIORITY = 200


def part(node: Node, gateway: Gateway, floating: Floating, fleet: Fleet) -> Part:
    """What lets a gateway hold the floating address."""
    path = f"/etc/systemd/system/{UNIT}"
    peers = [one.address for one in fleet.with_role("gateways") if one != node]
    values = {"address": node.address, "peers": peers, "interface": _INTERFACE, "user": _USER}
    values["acme"] = acme.STATE if gateway.tls.acme else ""
    unit = render(f"units/{UNIT}.j2", nginx=nginx.UNIT, runtime=_RUNTIME, configuration=_CONFIGURATION, **values)
    script = render(
        "keepalived/gateway-answers.j2",
        drained=_DRAINED,
        port=gateway.port,
        question=nginx.QUESTION,
        answer_seconds=ANSWER_SECONDS,
    )
    return Part(
        packages=("keepalived",),
        files=(
            File(path, unit),
            File(_CONFIGURATION, _configuration(node, gateway, floating, fleet, values)),
            File(_SCRIPT, script, mode="0755"),
        ),
        # Without its unit file, as nginx: a restart would give the address away.
        units=(Unit(UNIT, inputs=(_CONFIGURATION, _SCRIPT), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{path}"),
            ("bash", "-n", f"{{root}}{_SCRIPT}"),
            # It refuses a script that is not there: the staged one stands for it.
            (
                "sh",
                "-c",
                'sed "s,$1,$2$1," "$2$3" | keepalived --config-test --use-file=/dev/stdin',
                "keepalived",
                _SCRIPT,
                "{root}",
                _CONFIGURATION,
            ),
        ),
        probes=(probes.held(UNIT, floating.at(node.agent.port), "/healthz"),),
    )


def _configuration(
    node: Node, gateway: Gateway, floating: Floating, fleet: Fleet, values: Mapping[str, object]
) -> bytes:
    place = fleet.with_role("gateways").index(node)
    return render(
        "keepalived/keepalived.conf.j2",
        name=node.name,
        takeover=gateway.takeover,
        floating=floating,
        priority=_HIGHEST_PRIORITY - place,
        script=_SCRIPT,
        **values,
    )
