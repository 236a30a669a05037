"""Who may do what: every request of requests.py with everybody's credentials, by both protocols."""

import dataclasses
import re

import pytest

from fleet import endpoints
from fleet.desired import gateway_access
from tests.gateway import requests
from tests.gateway.clients import Ask, ask, ask2, basic, bearer
from tests.gateway.proofs import PASSWORD
from tests.gateway.requests import Asked
from tests.gateway.site import Site

pytestmark = [pytest.mark.lab, pytest.mark.security, pytest.mark.timeout(60)]

BOTH = pytest.mark.parametrize("asks", [ask, ask2], ids=["HTTP/1.1", "HTTP/2"])
CLIENTS = ("use", "operate", "both", "look", "")
TAGS = ("GET", "/ollama/api/tags")


def _below(path: str) -> str:
    """What an engine is asked: without the route."""
    return "/" + path.split("/", 2)[2]


@BOTH
@pytest.mark.parametrize("asked", requests.ENGINES, ids=lambda asked: asked.id)
def test_an_engine_is_asked_by_whoever_may_and_nobody_else(gateway: Site, asked: Asked, asks: Ask) -> None:
    """It arrives as it was sent, or nothing of it does."""
    for client in CLIENTS:
        gateway.forget()
        answer = asks(gateway, asked.method, asked.path, asked.body, bearer(gateway, client))
        arrived = gateway.arrived()

        if _may(client, asked):
            assert {one.what for one in arrived} == {(asked.method, _below(asked.path))}, client
            assert {one.body for one in arrived} == {asked.body or b""}
            # An engine that does not know the model is not the last one that is asked.
            assert len(arrived) == 1 or answer.status == 404, client
            assert answer.status not in {401, 403, 502}, client
        else:
            assert answer.status == (403 if client else 401), client
            assert [one for one in arrived if not _defused(one.method, asked)] == [], client


def _may(client: str, asked: Asked) -> bool:
    return client in {asked.right, "both" if asked.right in {"use", "operate"} else ""} - {""}


def _defused(method: str, asked: Asked) -> bool:
    """A request that was judged by its body has reached the engine with a method that the engine does not know."""
    return asked in requests.JUDGED and method == "PUT"


@BOTH
@pytest.mark.parametrize("asked", requests.PAGES, ids=lambda asked: asked.id)
def test_a_page_of_the_gateway_is_seen_by_whoever_may(gateway: Site, asked: Asked, asks: Ask) -> None:
    """What the gateway answers by itself reaches no engine, whoever asks."""
    gateway.forget()
    for client in CLIENTS:
        answer = asks(gateway, asked.method, asked.path, asked.body, bearer(gateway, client))

        if _may(client, asked):
            assert answer.status in {200, 308}, client
        else:
            assert answer.status == (403 if client else 401), client
    assert gateway.arrived() == []


def test_every_row_of_the_allow_list_is_tried(gateway: Site) -> None:
    """A row that no request of requests.py fits is one whose right nobody has written down."""
    allowed = gateway_access._allowed(gateway.fleet.services(), gateway_access.monitoring_of(gateway.fleet))
    rows = [row for _, rows in allowed for row in rows]
    tried = (*requests.ENGINES, *requests.PAGES)
    untried = [
        (row["prefix"], row["methods"], row["path"])
        for row in rows
        if not any(
            asked.method in row["methods"]  # type: ignore[operator]
            and re.fullmatch(f"{re.escape(str(row['prefix']))}(?:{row['path']})", asked.path.partition("?")[0])
            for asked in tried
            if asked.right == row["right"] or asked in requests.JUDGED
        )
    ]

    assert untried == []
    assert {row["right"] for row in rows} == {"use", "operate", "look"}


def test_what_data_add_is_let_through_and_nothing_beside(gateway: Site) -> None:
    """A route's own endpoints are rows like any other."""
    services = gateway.fleet.services()
    more = endpoints.Endpoint(("POST",), r"v1/transcribe", "use")
    route = dataclasses.replace(services[0].route, endpoints=(more,))
    allowed = gateway_access._allowed((dataclasses.replace(services[0], route=route),), ())

    assert [row["path"] for _, rows in allowed for row in rows].count("v1/transcribe") == 1


@BOTH
def test_a_key_comes_as_bearer_or_as_x_api_key(gateway: Site, asks: Ask) -> None:
    """Both are the same key; the word Bearer may be written as one likes."""
    key = gateway.proofs.key("use")
    statuses = [
        asks(gateway, *TAGS, None, fields).status
        for fields in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer {key}"}, {"X-Api-Key": key})
    ]

    assert statuses == [200, 200, 200]


@BOTH
def test_a_person_comes_with_a_name_and_a_password(gateway: Site, asks: Ask) -> None:
    """A wrong password, a name without one, and another's are refused; the right one carries that client's rights."""
    right, wrong = basic("use", PASSWORD), basic("use", PASSWORD + "x")

    assert asks(gateway, *TAGS, None, right).status == 200
    assert asks(gateway, "POST", "/ollama/api/pull", b"{}", right).status == 403
    assert asks(gateway, *TAGS, None, basic("look", PASSWORD)).status == 403
    assert [asks(gateway, *TAGS, None, one).status for one in (wrong, basic("idle", PASSWORD), basic("", ""))] == [
        401
    ] * 3
    assert "Basic" in asks(gateway, *TAGS).fields["www-authenticate"]


@BOTH
def test_a_certificate_proves_a_client(gateway: Site, asks: Ask) -> None:
    """Its common name is the client's; it needs no key, and has that client's rights."""
    assert asks(gateway, *TAGS, certificate="use").status == 200
    assert asks(gateway, *TAGS, certificate="look").status == 403
    assert asks(gateway, "POST", "/ollama/api/pull", b"{}", certificate="use").status == 403


def test_the_fleets_own_client_may_infer_and_look(gateway: Site) -> None:
    """Verification and probes come with the key that data do not name."""
    own = bearer(gateway, "fleet")

    assert ask(gateway, *TAGS, None, own).status == 200
    assert ask(gateway, "GET", "/", None, own).status == 200
    assert ask(gateway, "POST", "/ollama/api/pull", b"{}", own).status == 403


@BOTH
def test_errors_of_engine_paths_are_json(gateway: Site, asks: Ask) -> None:
    """A program reads {"error": ...} whatever went wrong."""
    for fields, status in (({}, 401), (bearer(gateway, "look"), 403)):
        answer = asks(gateway, *TAGS, None, fields)
        assert answer.status == status
        assert answer.fields["content-type"] == "application/json"
        assert set(answer.json()) == {"error"}


def test_keys_are_rotated_and_revoked(gateway: Site) -> None:
    """Two keys of a client are good together; one that is taken away is refused after a reload, the other is not."""
    first, second = (key.plain for key in gateway.proofs.keys["use"])
    before = gateway.fleet
    both = [ask(gateway, *TAGS, None, {"X-Api-Key": key}).status for key in (first, second)]
    gateway.deploy(dataclasses.replace(before, secrets=gateway.proofs.without_first_key("use")))
    after = [ask(gateway, *TAGS, None, {"X-Api-Key": key}).status for key in (first, second)]
    gateway.deploy(before)

    assert both == [200, 200]
    assert after == [401, 200]
    assert ask(gateway, *TAGS, None, {"X-Api-Key": first}).status == 200


def test_a_client_that_data_do_not_name_is_nobody(gateway: Site) -> None:
    """A key and a certificate that are good in themselves open nothing once the name is gone from the data."""
    before = gateway.fleet
    clients = {name: client for name, client in before.nodes[3].access.clients.items() if name != "use"}
    nodes = tuple(
        dataclasses.replace(node, access=dataclasses.replace(node.access, clients=clients)) for node in before.nodes
    )
    gateway.deploy(dataclasses.replace(before, nodes=nodes))
    answers = [
        ask(gateway, *TAGS, None, bearer(gateway, "use")).status,
        ask(gateway, *TAGS, certificate="use").status,
        ask(gateway, *TAGS, None, basic("use", PASSWORD)).status,
    ]
    gateway.deploy(before)

    assert answers == [401, 401, 401]
