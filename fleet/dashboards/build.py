"""A board of this project's own words becomes Grafana's JSON, by Grafana's own Foundation SDK."""

import json
from collections.abc import Callable
from itertools import count

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, statetimeline, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models

from fleet.dashboards.rows import Board, Panel

TAG = "ipex-fleet"
"""What all dashboards of this project have in common; each links to the others by it."""

_SOURCE = common_models.DataSourceRef(type_val="prometheus", uid="${datasource}")
_Builder = timeseries.Panel | stat.Panel | bargauge.Panel | statetimeline.Panel
_GOOD, _BAD = "green", "red"
# In words, so that nobody needs to tell the colours apart.
_STATES = {"1": ("yes", _GOOD), "0": ("NO", _BAD)}
_HEIGHTS = {"lines": 9, "states": 9, "bars": 9, "numbers": 4}
# The time stands in the value, exact to the second, though it is looked at more rarely.
_CHANGES = 'ipex_node_last_update_timestamp_seconds{node=~"$node"} * 1000'


def json_of(board: Board, data_source: str) -> bytes:
    """The dashboard's JSON, for Grafana's file provider: the same bytes for the same board."""
    return (JSONEncoder(sort_keys=True, indent=2).encode(_dashboard(board, data_source).build()) + "\n").encode()


def parsed(content: bytes) -> models.Dashboard:
    """Read a dashboard by the SDK's own schema.

    Raises:
        KeyError, TypeError, ValueError: it is no dashboard.
    """
    return models.Dashboard.from_json(json.loads(content))


def _dashboard(board: Board, data_source: str) -> dashboard.Dashboard:
    built = (
        dashboard.Dashboard(board.title)
        .uid(board.uid)
        .description(board.help)
        .tags([TAG])
        .readonly()
        .timezone("browser")
        .time("now-6h", "now")
        .refresh("1m")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(_others())
        .annotation(_deploys())
    )
    for variable in _variables(board, data_source):
        built.with_variable(variable)
    # Numbered by us, so that an address of one panel means the same panel after the next deploy.
    numbers = count(1)
    for heading, panels in board.rows:
        built.with_row(dashboard.Row(heading).id(next(numbers)))
        for panel in panels:
            built.with_panel(_panel(panel, next(numbers)))
    return built


def _others() -> dashboard.DashboardLink:
    kind = models.DashboardLinkType.DASHBOARDS
    return dashboard.DashboardLink("Dashboards").type(kind).tags([TAG]).include_vars(True).keep_time(True)  # noqa: FBT003 - the SDK's


def _deploys() -> dashboard.AnnotationQuery:
    return (
        dashboard.AnnotationQuery()
        .name("Deploys")
        .datasource(_SOURCE)
        .enable(True)  # noqa: FBT003 - the SDK's
        .icon_color("blue")
        .expr(_CHANGES)
        .use_value_for_time(True)  # noqa: FBT003 - the SDK's
        .title_format("{{node}}")
        .text_format("Another generation became current")
        .tag_keys("node")
        .step("60s")
    )


def _variables(board: Board, data_source: str) -> list[dashboard.DatasourceVariable | dashboard.QueryVariable]:
    current = models.VariableOption(text="Prometheus", value=data_source, selected=True)
    source = dashboard.DatasourceVariable("datasource").label("Source").type("prometheus").current(current)
    node = _values("node", "Node", "label_values(ipex_node_in_rotation, node)", several=not board.one_node)
    service = _values("service", "Service", "label_values(ipex_service_up, service)", several=True)
    return [source, node, service]


def _values(name: str, label: str, query: str, *, several: bool) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(_SOURCE).query(query).definition(query)
    variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if several:
        everything = models.VariableOption(text=["All"], value=["$__all"], selected=True)
        variable.multi(True).include_all(True).all_value(".*").current(everything)  # noqa: FBT003 - the SDK's
    return variable


def _panel(panel: Panel, number: int) -> _Builder:
    built = _KINDS[panel.kind]()
    built.id(number).title(panel.title).description(panel.help).datasource(_SOURCE).unit(panel.unit).min(0)
    built.height(_HEIGHTS[panel.kind]).span(panel.width).thresholds(_thresholds(panel))
    if panel.highest is not None:
        built.max(panel.highest)
    for place, query in enumerate(panel.queries):
        target = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).datasource(_SOURCE)
        now = panel.kind in {"numbers", "bars"}
        built.with_target((target.instant() if now else target.range()).ref_id(chr(ord("A") + place)))
    return built


def _thresholds(panel: Panel) -> dashboard.ThresholdsConfig:
    below, above = (_GOOD, _BAD) if panel.good == "below" else (_BAD, _GOOD)
    steps = [models.Threshold(value=None, color=below if panel.bound is not None else _GOOD)]
    if panel.bound is not None:
        steps.append(models.Threshold(value=panel.bound, color=above))
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)


def _lines() -> _Builder:
    style = common.GraphThresholdsStyleConfig().mode(common_models.GraphThresholdsStyleMode.DASHED)
    legend = common.VizLegendOptions().display_mode(common_models.LegendDisplayMode.TABLE).calcs(["lastNotNull", "max"])
    legend.placement(common_models.LegendPlacement.BOTTOM).show_legend(True)  # noqa: FBT003 - the SDK's
    tooltip = common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI)
    tooltip.sort(common_models.SortOrder.DESCENDING)
    return timeseries.Panel().thresholds_style(style).legend(legend).tooltip(tooltip).fill_opacity(8)


def _numbers() -> _Builder:
    return stat.Panel().color_mode(common_models.BigValueColorMode.VALUE).reduce_options(_last())


def _bars() -> _Builder:
    return bargauge.Panel().orientation(common_models.VizOrientation.HORIZONTAL).reduce_options(_last())


def _states() -> _Builder:
    options = {value: models.ValueMappingResult(text=text, color=color) for value, (text, color) in _STATES.items()}
    return statetimeline.Panel().mappings([models.ValueMap(options=options)])


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


_KINDS: dict[str, Callable[[], _Builder]] = {"lines": _lines, "numbers": _numbers, "bars": _bars, "states": _states}
