"""What the gateway writes down of a request: fixed words and numbers, always JSON, never a person's words or keys."""

import base64
import json

import pytest

from tests.gateway.clients import Ask, ask, ask2, basic, bearer
from tests.gateway.proofs import PASSWORD
from tests.gateway.site import ERRORS, Site

pytestmark = [pytest.mark.lab, pytest.mark.timeout(60)]

BOTH = pytest.mark.parametrize("asks", [ask, ask2], ids=["HTTP/1.1", "HTTP/2"])
PROMPT, WORDS, WRONG = "xyzzy-prompt", "xyzzy-words", "xyzzy-wrong"


@BOTH
def test_a_request_is_logged_by_key_service_node_and_times(gateway: Site, asks: Ask) -> None:
    """The line is the one whose id the answer has."""
    gateway.logged()
    body = json.dumps({"model": "tinyllama", "prompt": PROMPT, "options": {"num_predict": 2}}).encode()
    answer = asks(gateway, "POST", "/ollama/api/generate", body, bearer(gateway, "use"))
    line = json.loads(gateway.await_logged(1))

    assert line["id"] == answer.fields["x-request-id"]
    assert line["status"] in {200, "200"}
    assert (line["by"], line["key"], line["service"], line["node"]) == (
        *("user", "use", "ollama"),
        answer.fields["x-ipex-node"],
    )
    assert line["call"] == "api/generate"
    assert float(line["seconds"]) >= float(line["first_byte"]) > 0
    assert line["completion"] == "OK"
    assert "client" not in line


@BOTH
def test_who_asked_is_logged_whatever_proved_it(gateway: Site, asks: Ask) -> None:
    """A name only where it was proven: a claim that failed is nobody's."""
    gateway.logged()
    answers = [
        asks(gateway, "GET", "/ollama/api/tags", None, basic("use", PASSWORD)),
        asks(gateway, "GET", "/ollama/api/tags", certificate="use"),
        asks(gateway, "GET", "/ollama/api/tags", None, bearer(gateway, "fleet")),
        asks(gateway, "GET", "/ollama/api/tags", None, bearer(gateway, "look")),
        asks(gateway, "GET", "/ollama/api/tags", None, basic("use", "wrong")),
        asks(gateway, "GET", "/ollama/api/tags"),
    ]
    # Each of nginx' workers writes its own lines together: they are not in the order of the questions.
    lines = {line["id"]: line for line in map(json.loads, gateway.await_logged(6).splitlines())}
    found = [lines[one.fields["x-request-id"]] for one in answers]

    assert [(line["key"], line["by"]) for line in found] == [
        *(("use", "user"), ("use", "user"), ("fleet", "fleet"), ("look", "user")),
        *(("", "nobody"), ("", "nobody")),
    ]


@BOTH
def test_nothing_that_a_user_says_is_logged(gateway: Site, asks: Ask) -> None:
    """Neither words in body, query, path and fields, nor any part of a credential, good or bad."""
    gateway.logged()
    errors = len(gateway.file(ERRORS).read_bytes())
    key = gateway.proofs.key("use")
    body = json.dumps({"model": "tinyllama", "prompt": PROMPT, "options": {"num_predict": 1}}).encode()
    told = {"User-Agent": WORDS, "Referer": f"https://x/{WORDS}", "Cookie": f"a={WORDS}"}
    proofs = (
        *(bearer(gateway, "use"), {"X-Api-Key": key}, basic("use", WRONG), basic(WORDS, "x"), basic(key, "x")),
        {"Authorization": f"Bearer {key}x"},
    )
    for fields in proofs:
        asks(gateway, "POST", f"/ollama/api/generate?{WORDS}", body, {**fields, **told})
        asks(gateway, "GET", f"/comfyui/view?filename={WORDS}", None, {**fields, **told})
        asks(gateway, "GET", f"/ollama/{WORDS}", None, {**fields, **told})
    requests = gateway.await_logged(3 * len(proofs)).encode()
    everything = requests + gateway.file(ERRORS).read_bytes()[errors:]

    assert WORDS.encode() not in requests
    # nginx' own errors hold the request line (docs/decisions/0012): nothing else of a request may be there.
    encoded = base64.b64encode(f"use:{WRONG}".encode()).decode()
    for word in (PROMPT, WRONG, encoded, key, gateway.proofs.keys["use"][0].hash):
        assert word.encode() not in everything
