"""What the data asks of a node, and how the judgement reaches a deploy; the rules have tests of their own."""

import dataclasses
import json
import re

import pytest

from fleet import desired, fitness
from fleet.model import Fleet
from fleet.observed import Observed
from ipex_node.fitness import needs
from ipex_node.fitness.gpu import ENGINE_ACCESS
from ipex_node.fitness.inspection import access_of
from ipex_node.fitness.machine import Card, Machine, RenderNode

_FIT = Machine(
    distribution="debian:13",
    memory_bytes=32 * 10**9,
    cards=(Card("0000:03:00.0", "8086:56a0", "i915", "renderD128"),),
    render_nodes={"renderD128": RenderNode("/dev/dri/renderD128", 0o660, "root", "render")},
)


def _said(example: Fleet, node: str = "gpu-01", **seen: object) -> tuple[str, str]:
    observed = Observed(machine=dataclasses.replace(_FIT, **seen))  # type: ignore[arg-type]
    problems, warnings = (judge(example[node], observed) for judge in (fitness.problems, fitness.warnings))
    return "\n".join(one.what for one in problems), "\n".join(one.what for one in warnings)


def test_an_arc_machine_is_fit(example: Fleet) -> None:
    """32 GB, an A770 on i915 and Debian 13 bring neither problem nor warning."""
    assert _said(example) == ("", "")


def test_a_machine_that_says_nothing_is_refused_with_the_reason(example: Fleet) -> None:
    """Before all rules: an answer without a distribution is no answer."""
    (problem,) = fitness.problems(example["gpu-01"], Observed())

    assert "did not answer the question every node is asked" in problem.what


def test_refusals_and_warnings_are_apart(example: Fleet) -> None:
    """A legacy GPU is refused, an unknown one is warned about, little memory with small limits too."""
    refused, warned = _said(example, cards=(Card("0000:00:02.0", "8086:3e92", "i915", "renderD128"),))
    assert "has no GPU of class arc for comfyui: UHD Graphics 630" in refused
    assert warned == ""

    refused, warned = _said(example, cards=(Card("0000:03:00.0", "8086:ffff", "xe", "renderD128"),))
    assert refused == ""
    assert "8086:ffff at 0000:03:00.0 is not in the table of GPUs" in warned


def test_a_gateway_needs_no_gpu(example: Fleet) -> None:
    """What is asked of GPU nodes is asked of those only."""
    assert _said(example, "gateway-01", cards=(), memory_bytes=2 * 10**9) == ("", "")


@pytest.mark.parametrize("key", ["gpu_classes", "disk_gb"])
def test_a_services_own_data_decides(example: Fleet, key: str) -> None:
    """What one service asks is a key of that service."""
    node = example["gpu-01"]
    changed = {"gpu_classes": ("xe-lp",), "disk_gb": 500}
    service = dataclasses.replace(node.services[0], **{key: changed[key]})  # type: ignore[arg-type]
    small = dataclasses.replace(_FIT, free_bytes={"/var/lib": 100 * 10**9})
    asked = dataclasses.replace(node, services=(service,))

    assert [*fitness.problems(node, Observed(machine=small)), *fitness.warnings(node, Observed(machine=small))] == []
    assert [*fitness.problems(asked, Observed(machine=small)), *fitness.warnings(asked, Observed(machine=small))]


def test_the_box_reads_the_same_needs(example: Fleet) -> None:
    """What lands in /etc/ipex/node.json is read there as what the deploy judges by, on every node."""
    for node in example.nodes:
        generation = desired.generation(node, example)
        landed = next(file for file in generation.files if file.path == "/etc/ipex/node.json")
        assert needs.read(json.loads(landed.content)["fitness"], landed.path) == fitness.needs(node)


def test_the_engines_units_give_what_is_judged_by_before_they_are_there(example: Fleet) -> None:
    """The groups and devices of templates/units/engine.service.j2, as systemd would tell them."""
    for service in example["gpu-01"].services:
        files = desired.generation(example["gpu-01"], example).files
        unit = next(file.content.decode() for file in files if file.path.endswith(f"/{service.unit}"))
        shown = "\n".join(
            re.findall(r"^(?:SupplementaryGroups|DynamicUser|PrivateDevices|Device\w+)=.*", unit, re.MULTILINE)
        )
        assert access_of(f"LoadState=loaded\n{shown}") == ENGINE_ACCESS
