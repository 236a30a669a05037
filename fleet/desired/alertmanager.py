"""Debian's Alertmanager on the monitors: what becomes of alerts, and who hears of them."""

from collections.abc import Iterator

from fleet import maintenance
from fleet.desired import probes
from fleet.desired.render import render
from fleet.generation import File, Part, Unit, secret
from fleet.model import Fleet, Node
from fleet.notifications import Alertmanager, Notifications

UNIT = "prometheus-alertmanager.service"
USER = "prometheus-alertmanager"
CONFIGURATION = "/etc/prometheus/alertmanager.yml"
MESSAGES = "/etc/prometheus/alertmanager_templates/ipex.tmpl"
_UNIT_FILE = f"/etc/systemd/system/{UNIT}"
# A user of its own: as Debian's prometheus it would share its secrets with Prometheus and node_exporter.
_USERS = File("/etc/sysusers.d/ipex-alertmanager.conf", f'u {USER} - "Alertmanager of ipex-fleet" -\n'.encode())
_SECRETS = "/etc/ipex/secrets/alertmanager"
# Nobody else comes as far as the secrets.
_DIRECTORIES = File(
    "/etc/tmpfiles.d/ipex-alertmanager.conf",
    f"d /etc/ipex/secrets 0711 root root -\nd {_SECRETS} 0750 root {USER} -\n".encode(),
)


def part(node: Node, alertmanager: Alertmanager, notifications: Notifications, fleet: Fleet) -> Part:
    """What makes a monitor tell people."""
    unit = File(_UNIT_FILE, _unit(node, alertmanager, notifications, fleet))
    configuration = File(CONFIGURATION, _configuration(node, notifications))
    messages = File(MESSAGES, render("alertmanager/ipex.tmpl.j2"))
    return Part(
        packages=("prometheus-alertmanager",),
        files=(_USERS, _DIRECTORIES, unit, configuration, messages, *_secrets(notifications, fleet)),
        units=(Unit(UNIT, inputs=(unit.path, configuration.path, messages.path), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit.path}"),
            # Reads the messages beside it, and none of the secrets.
            ("amtool", "check-config", f"{{root}}{configuration.path}"),
        ),
        probes=(probes.answers(UNIT, alertmanager.port, "/-/ready"),),
    )


def _secrets(notifications: Notifications, fleet: Fleet) -> Iterator[File]:
    """One file for each secret of the channels that are used; it is read at each sending: a new one needs no reload."""
    used = {
        "slack_url": notifications.slack,
        "smtp_password": notifications.email and notifications.email.username,
        "deadman_url": notifications.deadman,
    }
    for name in (name for name, is_used in used.items() if is_used):
        yield secret(f"{_SECRETS}/{name}", fleet.secrets.get(f"alertmanager.{name}"), group=USER)


def _unit(node: Node, alertmanager: Alertmanager, notifications: Notifications, fleet: Fleet) -> bytes:
    peers = [one for one in fleet.nodes if one.alertmanager and one.name != node.name]
    return render(
        f"units/{UNIT}.j2",
        user=USER,
        alertmanager=alertmanager,
        configuration=CONFIGURATION,
        external_url=f"http://{node.at(alertmanager.port)}/",
        advertised=node.at(alertmanager.gossip_port),
        peers=[one.at(one.alertmanager.gossip_port) for one in peers if one.alertmanager],
        reached=["any"]
        if "any" in notifications.egress
        else ["localhost", *fleet.addresses("monitors"), *notifications.egress],
    )


def _configuration(node: Node, notifications: Notifications) -> bytes:
    windows = node.maintenance
    used = [name for name in ("slack", "email") if getattr(notifications, name)]
    shared = [("|".join(nodes), names) for names, nodes in maintenance.shared(windows).items()]
    return render(
        "alertmanager/alertmanager.yml.j2",
        notifications=notifications,
        secret_files={name: f"{_SECRETS}/{name}" for name in ("slack_url", "smtp_password", "deadman_url")},
        messages=MESSAGES.removeprefix("/etc/prometheus/"),
        # Tickets are read from the mail; without it they are better in Slack than nowhere.
        receivers={"page": used, "ticket": used[-1:]},
        windows=[(window, maintenance.intervals(window)) for window in windows],
        # Nodes with windows of their own, then everything else, with the names of what mutes them.
        branches=[*shared, ("", [window.interval for window in windows if window.nodes is None])],
    )
