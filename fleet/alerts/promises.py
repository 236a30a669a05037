"""Alerts about objectives, made from each one's row."""

from collections.abc import Iterable, Iterator

from fleet.alerts.alert import Alert
from fleet.objectives import PAGE, TICKET, Burn, Objective

_RATIO = "slo:sli_error:ratio_rate"


def burning(objectives: Iterable[Objective]) -> Iterator[Alert]:
    """Yield the two alerts of each objective that has an error budget."""
    for objective in objectives:
        if objective.budget is not None:
            burns = "{{ $labels.service }} burns the error budget of <slo>"
            yield _burn(objective, "ErrorBudgetBurnsFast", "page", PAGE, f"{burns} fast: it will be gone within days.")
            yield _burn(objective, "ErrorBudgetBurnsSlowly", "ticket", TICKET, f"{burns} faster than it may.")


def _burn(objective: Objective, name: str, severity: str, burns: Iterable[Burn], summary: str) -> Alert:
    return Alert(
        name,
        severity,  # type: ignore[arg-type]  # page and ticket, both above
        "\nor\n".join(_faster(objective, burn) for burn in burns),
        summary.replace("<slo>", objective.name),
        labels={"slo": objective.name},
    )


def _faster(objective: Objective, burn: Burn) -> str:
    slo, limit = f'slo="{objective.name}"', round(burn.factor * (objective.budget or 0), 9)
    enough = f"slo:errors:increase{burn.long}{{{slo}}} >= {objective.least_errors}"
    return (
        f"({_RATIO}{burn.short}{{{slo}}} > {limit} and {_RATIO}{burn.long}{{{slo}}} > {limit}\n"
        f"  and on (slo, service) {enough})"
    )


def crowded(objectives: Iterable[Objective]) -> Iterator[Alert]:
    """Yield the alert of each objective that counts users."""
    for objective in objectives:
        if objective.users is not None:
            yield Alert(
                "UsersNearObjective",
                "ticket",
                f'slo:capacity_used:ratio{{slo="{objective.name}"}} > <users_share>',
                f"{{{{ $value | humanizePercentage }}}} of the {objective.users} users the fleet is made for are here.",
                "<ill_for>",
                {"slo": objective.name},
            )
