"""What lands on the nodes of the example fleet."""

import dataclasses
import json
import re

from fleet import desired
from fleet.desired import program
from fleet.generation import Generation
from fleet.model import Fleet
from tools.golden import GOLDEN, landing


def _generation(fleet: Fleet, name: str) -> Generation:
    return desired.generation(fleet[name], fleet)


def _content(fleet: Fleet, name: str, path: str) -> str:
    return next(file.content.decode() for file in _generation(fleet, name).files if file.path == path)


def test_what_lands_is_what_the_golden_files_say(example: Fleet) -> None:
    """tests/golden holds every file of every node of the example fleet; `make golden` rewrites it."""
    golden = {str(path.relative_to(GOLDEN)): path.read_bytes() for path in GOLDEN.rglob("*") if path.is_file()}

    assert landing(example) == golden


def test_the_same_data_makes_the_same_generation(example: Fleet) -> None:
    """Computing twice gives the same name and the same bundle, byte for byte."""
    first, second = _generation(example, "gateway-01"), _generation(example, "gateway-01")

    assert first.id == second.id
    assert first.bundle() == second.bundle()


def test_a_limit_is_written_where_the_brief_wants_it(example: Fleet) -> None:
    """The units carry the brief's own numbers unless data says otherwise."""
    ollama = _content(example, "gpu-01", "/etc/systemd/system/ollama-ipex.service")
    comfyui = _content(example, "gpu-01", "/etc/systemd/system/comfyui-ipex.service")

    assert {"MemoryMax=8G", "CPUQuota=400%"} <= set(ollama.splitlines())
    assert {"MemoryMax=16G", "CPUQuota=800%"} <= set(comfyui.splitlines())


def test_units_carry_the_briefs_hardening(example: Fleet) -> None:
    """Every directive the brief names stands in both engines' units."""
    wanted = {
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "DynamicUser=yes",
        "SupplementaryGroups=render video",
        "PrivateNetwork=no",
    }
    for unit in ("ollama-ipex", "comfyui-ipex"):
        assert wanted <= set(_content(example, "gpu-01", f"/etc/systemd/system/{unit}.service").splitlines())


def test_upstreams_hold_every_gpu_node_by_address(example: Fleet) -> None:
    """The brief's upstreams name all GPU nodes, by address."""
    upstreams = _content(example, "gateway-01", "/etc/nginx/ipex/upstreams.conf")

    for name, port in (("ollama-backend", 11434), ("comfyui-backend", 8188)):
        block = re.search(rf"upstream {name} {{(.*?)}}", upstreams, re.DOTALL)
        assert block
        assert re.findall(r"server (\S+)", block[1]) == [f"203.0.113.{n}:{port}" for n in (11, 12, 13)]


def test_every_node_is_scraped(example: Fleet) -> None:
    """The agent and node_exporter of all five nodes are targets."""
    for job, port in (("ipex", 9090), ("node", 9100)):
        targets = json.loads(_content(example, "monitor-01", f"/etc/prometheus/targets/{job}.json"))
        assert [target["targets"] for target in targets] == [[f"{node.address}:{port}"] for node in example.nodes]


def test_every_node_knows_the_gateways_by_their_addresses(example: Fleet) -> None:
    """Its agent hears nobody else: whoever runs on the node reaches it as well."""
    for node in example.nodes:
        settings = json.loads(_content(example, node.name, "/etc/ipex/node.json"))
        assert settings["gateways"] == {one.name: one.address for one in example.with_role("gateways")}


def test_a_third_service_appears_everywhere(example: Fleet) -> None:
    """One more entry of data brings its unit, closure, upstream, location, probe and verification."""
    base = example["gpu-01"].services[0]
    route = dataclasses.replace(base.route, path="/whisper/")
    third = dataclasses.replace(base, name="whisper", package="whisper-ipex", port=9999, route=route)
    nodes = tuple(
        dataclasses.replace(node, services=(*node.services, third)) if node.is_gpu else node for node in example.nodes
    )
    fleet = dataclasses.replace(example, nodes=nodes)
    gpu, gateway = _generation(fleet, "gpu-01"), _generation(fleet, "gateway-01")

    assert "whisper-ipex.service" in gpu.manifest["units"]
    assert "/nix/var/nix/profiles/ipex/whisper-ipex" in gpu.manifest["closures"]
    assert "whisper-ipex.service" in {probe["unit"] for probe in gpu.manifest["probes"]}
    upstreams = _content(fleet, "gateway-01", "/etc/nginx/ipex/upstreams.conf")
    server = _content(fleet, "gateway-01", "/etc/nginx/ipex/server.conf")
    settings = json.loads(_content(fleet, "gateway-01", "/etc/ipex/node.json"))
    assert "upstream whisper-backend" in upstreams
    assert "location /whisper/ {" in server
    assert "/whisper/" in {route["path"] for route in settings["verify"]["routes"]}
    assert gateway.id != _generation(example, "gateway-01").id


def test_a_changed_port_leaves_no_trace_of_the_old_one(example: Fleet) -> None:
    """A port is written once: changed there, the old number is nowhere on any node."""
    nodes = tuple(dataclasses.replace(node, agent=dataclasses.replace(node.agent, port=7777)) for node in example.nodes)
    fleet = dataclasses.replace(example, nodes=nodes)

    for node in fleet.nodes:
        generation = desired.generation(node, fleet)
        for file in generation.files:
            if file.path != program.PATH:
                assert b"9090" not in file.content, f"{node.name}{file.path}"
        assert "9090" not in json.dumps(generation.manifest["probes"])


def test_the_program_is_the_same_bytes_each_time() -> None:
    """A generation is named by its bytes, so the zipapp must not carry times or compression."""
    first = program.ipex_node()
    program.ipex_node.cache_clear()

    assert program.ipex_node() == first
    assert first.startswith(b"#!/usr/bin/python3 -I\n")


def test_environment_values_reach_an_engine_as_they_are_written(example: Fleet) -> None:
    """Blanks, quotes and backslashes stay inside one variable's value."""
    base = example["gpu-01"].services[0]
    odd = dataclasses.replace(base, environment={"ODD": 'a B=c "q" \\'})
    node = dataclasses.replace(example["gpu-01"], services=(odd,))
    fleet = dataclasses.replace(example, nodes=(node, *example.nodes[1:]))

    unit = _content(fleet, "gpu-01", f"/etc/systemd/system/{base.unit}")

    assert r'Environment="ODD=a B=c \"q\" \\"' in unit.splitlines()


def test_an_ipv6_address_is_scraped_in_brackets(example: Fleet) -> None:
    """A target is an address and a port, and one that has colons of its own stands in brackets."""
    node = dataclasses.replace(example["gpu-01"], address="2001:db8::11")
    fleet = dataclasses.replace(example, nodes=(node, *example.nodes[1:]))

    targets = json.loads(_content(fleet, "monitor-01", "/etc/prometheus/targets/ipex.json"))

    assert targets[0]["targets"] == ["[2001:db8::11]:9090"]
