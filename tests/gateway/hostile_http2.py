"""What HTTP/2 can say and HTTP/1.1 cannot: each case is a request's fields, in order, and perhaps a body."""

from dataclasses import dataclass

Head = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Case2:
    """A request by HTTP/2, and what must come of it; `arrives` as with hostile.Case."""

    name: str
    head: Head
    body: bytes | None = None
    arrives: tuple[tuple[str, str], ...] = ()


_KEY = ("authorization", "Bearer @use@")
_GENERATE = ("POST", "/api/generate")
_HIDDEN = b"0\r\n\r\nPOST /api/pull HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


def _post(*more: tuple[str, str], path: str = "/ollama/api/generate", authority: str = "ai-services.local") -> Head:
    names = {name for name, _ in more}
    usual = ((":method", "POST"), (":scheme", "https"), (":authority", authority), (":path", path))
    pseudo = tuple(pair for pair in more if pair[0].startswith(":"))
    rest = tuple(pair for pair in more if not pair[0].startswith(":"))
    return (*(pair for pair in usual if pair[0] not in names), *pseudo, _KEY, *rest)


CASES = (
    *(
        Case2(f"{name}: {value!r}", _post((name, value)), _HIDDEN, arrives)
        for name, value, arrives in (
            # Fields of a connection have no meaning here; the ones that pass are not sent on.
            ("transfer-encoding", "chunked", (_GENERATE,)),
            ("transfer-encoding", "identity, chunked", (_GENERATE,)),
            ("connection", "close", (_GENERATE,)),
            ("connection", "transfer-encoding", (_GENERATE,)),
            ("proxy-connection", "keep-alive", (_GENERATE,)),
            ("keep-alive", "timeout=5", (_GENERATE,)),
            ("upgrade", "websocket", (_GENERATE,)),
            ("upgrade", "h2c", (_GENERATE,)),
            ("te", "chunked", (_GENERATE,)),
            ("content-length", "5", ()),
            ("content-length", "0", ()),
            ("content-length", "1000000", ()),
            ("content-length", "-1", ()),
            ("content-length", "+66", ()),
            ("content-length", "66, 66", ()),
            ("x", "a\r\nTransfer-Encoding: chunked", ()),
            ("x", "a\nTransfer-Encoding: chunked", ()),
            ("x", "a\0b", ()),
            ("x\r\ntransfer-encoding", "chunked", ()),
            ("x: y\r\ntransfer-encoding", "chunked", ()),
            ("x y", "a", ()),
            ("X-Capitals", "a", ()),
            ("Transfer-Encoding", "chunked", ()),
            ("", "a", ()),
            ("x:y", "a", ()),
            (":unknown", "a", ()),
            (":status", "200", ()),
            ("host", "other.example", ()),
            ("cookie", "a\r\nx: y", ()),
        )
    ),
    *(
        Case2(f":path {path[:50]!r}", _post((":path", path)), b"{}", ())
        for path in (
            "",
            "*",
            "ollama/api/generate",
            "https://ai-services.local/ollama/api/pull",
            "/ollama/api/generate HTTP/1.1\r\nHost: x\r\n\r\nPOST /api/pull",
            "/ollama/api/generate HTTP/1.1",
            "/ollama/api/generate\r\nX: y",
            "/ollama/api/generate\n",
            "/ollama/api/generate\0",
            "/ollama/api/generate\t",
            "/ollama/api/pull\xff",
            "/ollama/api/generate/../pull",
            "/ollama/api/%70ull",
            "/ollama/api/pull#x",
            "//ollama/api/pull",
            "/ollama/" + 9000 * "a",
        )
    ),
    *(
        Case2(f":authority {authority[:50]!r}", _post((":authority", authority)), b"{}", ())
        for authority in (
            "",
            "other.example",
            "127.0.0.1",
            "ai-services.local@other.example",
            "ai-services.local/x",
            "ai-services.local\r\nx: y",
            "ai-services.local other.example",
            "ai-services.local\0",
        )
    ),
    *(
        Case2(f":method {method[:50]!r}", _post((":method", method)), b"{}", ())
        for method in (
            "",
            "post",
            "GET POST",
            "POST /api/pull HTTP/1.1\r\nHost: x\r\n\r\nPOST",
            "TRACE",
            "CONNECT",
            "P\0ST",
            "PRI",
        )
    ),
    Case2(":method twice", _post((":method", "POST"), (":method", "DELETE")), b"{}"),
    Case2(":path twice", _post((":path", "/ollama/api/generate"), (":path", "/ollama/api/pull")), b"{}"),
    Case2(":authority twice", _post((":authority", "ai-services.local"), (":authority", "other.example")), b"{}"),
    Case2(":scheme of another kind", _post((":scheme", "file\r\nx: y")), b"{}"),
    Case2(
        ":path behind the fields",
        (
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "ai-services.local"),
            _KEY,
            (":path", "/ollama/api/tags"),
        ),
        # nginx takes it, and means the same by it.
        arrives=(("GET", "/api/tags"),),
    ),
    # A port is no part of the name.
    Case2(":authority with a port that is none", _post((":authority", "ai-services.local:x")), b"{}", (_GENERATE,)),
    Case2("no :path", ((":method", "GET"), (":scheme", "https"), (":authority", "ai-services.local"), _KEY)),
    Case2(
        "no :method", ((":scheme", "https"), (":authority", "ai-services.local"), (":path", "/ollama/api/tags"), _KEY)
    ),
    Case2(
        "no :authority and another Host",
        ((":method", "GET"), (":scheme", "https"), (":path", "/ollama/api/tags"), ("host", "other.example"), _KEY),
    ),
    Case2(
        "extended CONNECT",
        (
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "ai-services.local"),
            (":path", "/comfyui/ws"),
            _KEY,
        ),
    ),
    Case2("5,000 fields", _post(*((f"x{number}", "y") for number in range(5000))), b"{}"),
    Case2("cookies in 2,000 pieces", _post(*(("cookie", f"a{number}={60 * 'b'}") for number in range(2000))), b"{}"),
    Case2("nobody", tuple(pair for pair in _post() if pair != _KEY), b"{}"),
)
