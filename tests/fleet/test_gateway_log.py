"""What gateways write of requests, and what is counted in it."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from fleet import desired, gateway_log, load
from fleet.desired.gateway_log import fleets_own
from fleet.gateway_log import GatewayLog
from fleet.metrics import FAMILIES, gateway
from fleet.model import Fleet

RECORDED = Path(__file__).parents[1] / "gateway_logs"
"""What nginx 1.26.3 wrote of requests of every kind, some with a person's `words`; addresses and host are put in."""

# All that a line may be made of. None of these holds a word of the user's.
ALLOWED = {
    *("time_iso8601", "request_id", "ipex_status", "body_bytes_sent", "request_time", "request_completion"),
    *("upstream_connect_time", "upstream_header_time", "upstream_response_time"),
    *("ipex_by", "ipex_caller", "ipex_service", "ipex_node", "ipex_call", "ipex_model"),
}


def _file(fleet: Fleet, path: str) -> str:
    node = fleet.with_role("gateways")[0]
    return next(file.content.decode() for file in desired.generation(node, fleet).files if file.path == path)


def _log(fleet: Fleet) -> str:
    return _file(fleet, "/etc/nginx/ipex/log.conf")


def _program(fleet: Fleet) -> str:
    return _file(fleet, "/etc/mtail/ipex-gateway.mtail")


def _written(log: str) -> set[str]:
    """The variables of the line."""
    line = log[log.index("log_format") : log.index("access_log")]
    return set(re.findall(r"\$(\w+)", line))


def _naming_clients(fleet: Fleet) -> Fleet:
    node = fleet["gateway-01"]
    assert node.gateway
    told = dataclasses.replace(node.gateway, log=dataclasses.replace(node.gateway.log, addresses=True))
    named = dataclasses.replace(node, gateway=told)
    return dataclasses.replace(fleet, nodes=tuple(named if one == node else one for one in fleet.nodes))


def _patterns(program: str) -> tuple[str, str]:
    """The two patterns that lines are recognised by; Go's syntax of these is Python's, too."""
    access, error = (line[1:-3] for line in program.splitlines() if line.startswith("/^"))
    return access, error


def test_a_line_holds_no_word_of_the_user(example: Fleet) -> None:
    """Neither path, query, body, cookies nor credentials: only what nginx measures, and fixed words."""
    log = _log(example)

    assert _written(log) == ALLOWED
    values = re.findall(r'^    (?:"[^"]*"|\S+) (\S+);$', log, re.MULTILINE)
    assert len(values) > 10
    # The caller is a name of the data: what somebody claims to be called is looked up, and never written. The status is
    # nginx' own number. A service's calls are looked up in its own map, whose values are among these.
    assert [value for value in values if "$" in value] == ["$comfyui_call", "$ollama_call", "$ipex_client", "$status"]


def test_the_client_is_named_only_where_data_say_so(example: Fleet) -> None:
    """`gateway.log.addresses` adds one field."""
    assert _written(_log(_naming_clients(example))) == {*ALLOWED, "remote_addr"}


def test_recorded_lines_are_what_the_format_makes() -> None:
    """Each is JSON with these keys; what users wrote (`words`) is in none."""
    lines = (RECORDED / "access.txt").read_text().splitlines()
    keys = {frozenset(json.loads(line)) for line in lines}

    assert len(keys) == 1
    assert len(next(iter(keys))) == len(ALLOWED)
    assert not [line for line in lines if "words" in line]


def test_users_requests_are_recognised(example: Fleet) -> None:
    """Every request of a user to a service is one, with its status; the fleet's own and the front page's are none."""
    lines = (RECORDED / "access.txt").read_text().splitlines()
    access, _ = _patterns(_program(example))
    found = [(match["service"], match["code"]) for line in lines if (match := re.search(access, line))]
    expected = [json.loads(line) for line in lines]

    assert found == [
        (line["service"], str(line["status"])) for line in expected if line["by"] == "user" and line["service"]
    ]
    assert {code for _, code in found} == {"101", "200", "499", "500", "502"}
    assert {line["by"] for line in expected} == {"user", "fleet", "nobody"}


def test_answers_that_broke_off_are_recognised_and_nothing_else(example: Fleet) -> None:
    """Closed, reset, garbled and silent in the middle; not what failed before the answer, nor the fleet's own."""
    _, error = _patterns(_program(example))
    lines = (RECORDED / "error.txt").read_text().splitlines()
    cut = [match for line in lines if (match := re.search(error, line))]
    users = [match["request"] for match in cut if match["client"] not in fleets_own(example)]

    assert len(cut) == len(users) + 1 < len(lines)
    assert users == [
        "POST /ollama/api/generate?cut",
        "POST /ollama/api/chat?reset",
        "POST /ollama/api/chat?badchunk",
        "POST /ollama/api/chat?stall",
        "POST /comfyui/prompt?cut",
    ]


def test_the_last_node_asked_is_the_one_that_answered(example: Fleet) -> None:
    """Of a request that was tried twice the second time counts, and `-` is no time."""
    pattern = next(line.strip()[1:-3] for line in _program(example).splitlines() if "first_byte>" in line)
    times = {
        said: match["first_byte"] if (match := re.search(pattern, f'"first_byte":"{said}","')) else None
        for said in ("0.301", "-, 0.002", "0.100 : 2.000", "-", "-, -", "0.100, -", "")
    }

    assert times == {
        "0.301": "0.301",
        "-, 0.002": "0.002",
        "0.100 : 2.000": "2.000",
        **dict.fromkeys(("-", "-, -", "0.100, -", ""), None),
    }


def test_program_counts_the_families_of_the_table(example: Fleet) -> None:
    """Name, kind and labels are those of fleet/metrics/gateway.py."""
    declared = re.findall(
        r"^(counter|histogram) (\w+) by ([a-z, ]+?)(?: buckets .*)?$", _program(example), re.MULTILINE
    )

    assert {(kind, name, tuple(labels.split(", "))) for kind, name, labels in declared} == {
        (row.kind, row.name, row.labels) for row in gateway.ROWS
    }


def test_every_family_is_well_named() -> None:
    """Counters end in _total, nothing else does, and names are unique, those that agents do not tell included."""
    assert all((metric.kind == "counter") == metric.name.endswith("_total") for metric in FAMILIES)
    assert len({metric.name for metric in FAMILIES}) == len(FAMILIES)


@pytest.mark.parametrize("name", ["prod", "staging", "lab", "example"])
def test_the_objective_is_a_bound_of_the_histograms(name: str) -> None:
    """Whether an answer began within 2 s (the brief's number) is told exactly."""
    bounds = re.findall(r"^histogram .* buckets (.*)$", _program(load.from_file(f"inventory/{name}.py")), re.MULTILINE)

    assert len(bounds) == 2
    assert all("2" in bound.split(", ") for bound in bounds)


def test_patterns_are_short_enough_for_mtail(example: Fleet) -> None:
    """It refuses what is longer than 1024 (mtail 3.0.9, --max_regexp_length)."""
    assert max(map(len, _patterns(_program(example)))) < 1024


def test_a_third_service_is_counted_by_its_own_name(example: Fleet) -> None:
    """One more entry of data: its route is known to the log and to what counts in it."""
    base = example["gpu-01"].services[0]
    third = dataclasses.replace(
        base, name="whisper", package="whisper-ipex", engine="http", route=dataclasses.replace(base.route, path="/w/")
    )
    nodes = tuple(
        dataclasses.replace(node, services=(*node.services, third)) if node.is_gpu else node for node in example.nodes
    )
    fleet = dataclasses.replace(example, nodes=nodes)

    assert '"~^/w/" whisper;' in _log(fleet)
    assert 'ipex_gateway_truncated_total["whisper"]++' in _program(fleet)


def test_monitors_probes_are_the_fleets_own(example: Fleet) -> None:
    """The log knows them by their key; the error log, which has no key, by the addresses they come from."""
    assert fleets_own(example) == ("127.0.0.1", "::1", "203.0.113.31")
    assert "    fleet fleet;" in _log(example).splitlines()
    assert r"/^(127\.0\.0\.1|::1|203\.0\.113\.31)$/" in _program(example)


def test_nginx_is_told_of_a_rotation_by_its_unit(example: Fleet) -> None:
    """Debian's own rotation looks for /run/nginx.pid, finds nobody, and nginx would write on into the old file."""
    rotation = _file(example, "/etc/logrotate.d/nginx")

    assert rotation.count("systemctl kill --kill-whom=main --signal=USR1 nginx.service") == 2
    assert re.findall(r"(\S+\.log) \{\n\tdaily\n\trotate (\d+)", rotation) == [
        ("/var/log/nginx/access.log", "14"),
        ("/var/log/nginx/error.log", "3"),
    ]


def test_logs_stay_readable_to_adm(example: Fleet) -> None:
    """LogsDirectory= would give them all to nginx' group at every start, and mtail would read nothing."""
    unit = _file(example, "/etc/systemd/system/nginx.service")

    assert "\nLogsDirectory=" not in unit
    assert "f /var/log/nginx/access.log 0640 www-data adm -" in _file(example, "/etc/tmpfiles.d/ipex-gateway-log.conf")
    assert "SupplementaryGroups=adm" in _file(example, "/etc/systemd/system/mtail.service").splitlines()


def test_connections_are_told_to_this_machine_alone(example: Fleet) -> None:
    """The exporter asks where nginx answers it, and nobody else."""
    server = _file(example, "/etc/nginx/ipex/server.conf")
    unit = _file(example, "/etc/systemd/system/prometheus-nginx-exporter.service")
    block = server[server.index("location = /ipex-connections {") :].split("stub_status;")[0]

    assert "if ($remote_addr != 127.0.0.1) {" in block
    assert "access_log off;" in block
    assert "--nginx.scrape-uri=http://127.0.0.1:80/ipex-connections" in unit


def test_a_log_that_is_never_kept_is_refused() -> None:
    """Rotated away before anybody can read it is a slip of the pen."""
    assert list(gateway_log.nonsense(GatewayLog(3903, days=1, error_days=1, addresses=False))) == []
    assert list(gateway_log.nonsense(GatewayLog(3903, days=0, error_days=-1, addresses=False))) == [
        ("gateway.log.days is 0", "Write 1 or more."),
        ("gateway.log.error_days is -1", "Write 1 or more."),
    ]
