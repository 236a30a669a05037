"""What promtool must find where an alert fires."""

import re
from collections.abc import Mapping
from typing import Any

from fleet.alerts.alert import Alert


def fired(alert: Alert, labels: Mapping[str, str], value: str = "") -> dict[str, Any]:
    """What promtool must find of an alert: every label, and its sentence as a person reads it."""
    every = {"severity": alert.severity, **alert.labels, **labels}
    said = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda place: every[place[1]], alert.summary)
    said = re.sub(r"\{\{ \$value[^}]*\}\}", value, said)
    return {"exp_labels": every, "exp_annotations": {"summary": said, "runbook": alert.runbook}}
