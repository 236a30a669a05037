"""The upstreams nginx reads: the declared text, with the nodes that are to have no requests taken out. Pure.

The text is the deploy's (templates/nginx/upstreams.conf.j2). Lines about one service on one node end in a mark,
`# NODE SERVICE new` or `# NODE SERVICE own`, and this module changes nothing but those and the version. A line of one
model's upstream ends in `# NODE SERVICE new MODEL N`: where another node has the model loaded, one that has it takes N
requests before those that wait behind it get any.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ipex_node.gateway.rotation import Treatment
    from ipex_node.gateway.warmth import Models

_MARK = re.compile(
    r"^(?P<indent>\s*)(?P<line>\S.*;)"
    r"(?P<mark>\s+# (?P<node>\S+) (?P<service>\S+) (?P<use>new|own)(?: (?P<model>\S+) (?P<most>\d+))?)$"
)
DECLARED = "declared"
"""The version of the declared text, which nginx reads only until this program has run."""


def live(
    declared: str,
    treatments: Mapping[str, Mapping[str, Treatment]],
    waiting: Models | None = None,
    lacking: Models | None = None,
) -> str:
    """Return the text for these treatments, with a version that no other text has.

    A server that is to have no requests is `down` and not removed: other sessions stay where they are (measured:
    removal moves two thirds of them where a hash decides).

    Args:
        declared: The text.
        treatments: How every member is treated.
        waiting: Nodes that get a model's requests only when those that have it loaded are busy.
        lacking: Nodes that get none of a model's requests, because they do not have it.
    """
    text = "".join(f"{_line(line, treatments, waiting or {}, lacking or {})}\n" for line in declared.splitlines())
    return text.replace(f'"{DECLARED}"', f'"{hashlib.sha256(text.encode()).hexdigest()[:16]}"', 1)


def version(text: str) -> str:
    """Return the version in a text; empty where there is none."""
    found = re.search(r'\$ipex_upstreams \{\s*default "(\w+)";', text)
    return found[1] if found else ""


def _line(line: str, treatments: Mapping[str, Mapping[str, Treatment]], waiting: Models, lacking: Models) -> str:
    found = _MARK.match(line)
    if not found:
        return line
    treatment = treatments.get(found["service"], {}).get(found["node"], "in")
    # A line of `new` is where new work comes from, one of `own` where a session comes back to its node.
    without = found["node"] in lacking.get(found["service"], {}).get(found["model"] or "", ())
    if not without and (treatment == "in" or (treatment == "draining" and found["use"] == "own")):
        return _served(found, waiting)
    if found["line"].startswith("server "):
        return f"{found['indent']}{found['line'][:-1]} down;{found['mark']}"
    return f"{found['indent']}# {found['line']}{found['mark']}"


def _served(found: re.Match[str], waiting: Models) -> str:
    """Return the line of a node that gets requests: like all, or before and behind others.

    One that has the model loaded is behind, too, a second time: if those that wait are dead, what is above `most` has
    somewhere to go.
    """
    behind = waiting.get(found["service"], {}).get(found["model"] or "")
    if not behind:
        return found[0]
    words = ("backup",) if found["node"] in behind else (f"max_conns={found['most']}", "backup")
    return "\n".join(f"{found['indent']}{found['line'][:-1]} {word};{found['mark']}" for word in words)
