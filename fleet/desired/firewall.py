"""nftables: who may reach a node, as rules in a table of this project's own."""

import ipaddress
from collections.abc import Iterable
from pathlib import PurePosixPath

from fleet import matrix
from fleet.desired.render import render
from fleet.firewall import ANY
from fleet.generation import File, Part, Unit
from fleet.model import Fleet, Node
from ipex_node.firewall import LOADED, RULES, UNIT


def part(node: Node, fleet: Fleet) -> Part:
    """What lets in what the model says, and nothing else."""
    unit = f"/etc/systemd/system/{UNIT}"
    loaded = {"loaded": LOADED, "directory": PurePosixPath(LOADED).parent.name}
    return Part(
        packages=("nftables",),
        files=(
            File(RULES, rules(node, fleet)),
            File(unit, render(f"units/{UNIT}.j2", rules=RULES, **loaded)),
        ),
        # Without its unit file: a restart would leave the node open between its two halves. The next start reads it.
        units=(Unit(UNIT, inputs=(RULES,), on_change="reload"),),
        validators=(
            ("systemd-analyze", "verify", "--man=no", f"{{root}}{unit}"),
            # The kernel is asked, too: one that lacks an expression refuses here.
            ("nft", "--check", "--file", f"{{root}}{RULES}"),
        ),
    )


def rules(node: Node, fleet: Fleet) -> bytes:
    """The node's row of the matrix, in nft's own words."""
    return render(
        "nftables/ipex.nft.j2",
        rows=[(row, *_families(row.sources)) for row in matrix.of(node, fleet)],
        fleet=_families(other.address for other in fleet.nodes if other.address != node.address),
    )


def _families(sources: Iterable[str]) -> tuple[list[str], list[str]]:
    """Part sources into IPv4 and IPv6; none of either where they are any."""
    networks = [ipaddress.ip_network(source) for source in sources if source != ANY]
    ipv4 = ipaddress.collapse_addresses(one for one in networks if one.version == 4)
    ipv6 = ipaddress.collapse_addresses(one for one in networks if one.version == 6)
    return [_spelt(one) for one in ipv4], [_spelt(one) for one in ipv6]


def _spelt(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.num_addresses == 1 else str(network)
