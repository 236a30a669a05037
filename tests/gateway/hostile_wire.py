"""Requests that two readers may read in two ways (smuggling), and such as are too much of something."""

from tests.gateway.hostile import Case, request

_VICTIM = request("GET", "/ollama/api/version")
_INNER = request("POST", "/ollama/api/pull", body=b"{}", keep=True)
_BARE = b"POST /api/pull HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
_VERSION = ("GET", "/api/version")
_GENERATE = ("POST", "/api/generate")


def _generate(*fields: str | bytes, body: bytes = b"", key: str = "use", keep: bool = True) -> bytes:
    return request("POST", "/ollama/api/generate", *fields, body=body, key=key, keep=keep)


def _chunks(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(one), one) for one in chunks) + b"0\r\n\r\n"


# The chunked body of each ends a request before the one that is hidden; with the length, that one is part of the body.
_BOTH = b"0\r\n\r\n" + _BARE

LENGTHS = (
    Case("length and chunks", _generate(f"Content-Length: {len(_BOTH)}", "Transfer-Encoding: chunked", body=_BOTH)),
    Case("chunks and length", _generate("Transfer-Encoding: chunked", "Content-Length: 4", body=_BOTH)),
    Case("length 0 and chunks", _generate("Content-Length: 0", "Transfer-Encoding: chunked", body=_BOTH)),
    Case("length twice, different", _generate("Content-Length: 2", "Content-Length: 100", body=b"{}" + _BARE)),
    Case("length twice, alike", _generate("Content-Length: 2", "Content-Length: 2", body=b"{}" + _BARE)),
    Case("two lengths in one field", _generate("Content-Length: 2, 2", body=b"{}" + _BARE)),
    Case("two different lengths in one field", _generate("Content-Length: 2, 100", body=b"{}" + _BARE)),
    *(
        Case(f"length is {value!r}", _generate(b"Content-Length: " + value, body=b"{}" + _BARE))
        for value in (
            b"+2",
            b"-2",
            b"2 2",
            b"0x2",
            b"2.0",
            b"2e0",
            b"\x0b2",
            b"2\x00",
            b"2;",
            b"'2'",
            b"",
            b"99999999999999999999999999",
            b"18446744073709551618",
            b"9223372036854775810",
        )
    ),
    Case("length, blank before the colon", _generate("Content-Length : 100", body=b"{}" + _BARE)),
    Case("length, tab before the colon", _generate("Content-Length\t: 100", body=b"{}" + _BARE)),
    Case("length, underscore", _generate("Content_Length: 100", body=b""), arrives=(_GENERATE,)),
    Case("length, folded", _generate("Content-Length:\r\n 100", body=b"{}" + _BARE)),
    Case("length with NUL in its name", _generate(b"Content-\x00Length: 100", body=b"{}" + _BARE)),
    Case("no length where a body comes", request("POST", "/ollama/api/generate", keep=True) + _BARE, (_GENERATE,)),
)

CODINGS = tuple(
    Case(f"coding {field!r}", _generate(field, body=_BOTH))
    for field in (
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding: identity, chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: chunked, chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding: chunked\x0b",
        b"Transfer-Encoding: chunked\x00",
        b"Transfer-Encoding: \x00chunked",
        b'Transfer-Encoding: "chunked"',
        b"Transfer-Encoding: chunked;q=1",
        b"Transfer-Encoding: chunk",
        b"Transfer-Encoding: ,chunked",
        b"Transfer-Encoding: x\r\n chunked",
        b"Transfer-Encoding:\r\n chunked",
        b"Transfer-Encoding : chunked",
        b"Transfer-Encoding\t: chunked",
        b" Transfer-Encoding: chunked",
        b"Transfer-Encoding\x00: chunked",
        b"X: y\rTransfer-Encoding: chunked",
        b"X: y\nTransfer-Encoding: chunked\nContent-Length: 5",
        b"Transfer-Encoding: cow\r\nContent-Length: 5",
        b"Content-Length: 5\nTransfer-Encoding: chunked",
        b"Content-Encoding: chunked\r\nTransfer-Encoding: deflate",
        b"Transfer-Encoding: chunked\xa0",
        b"Transfer-Encoding: \xc5\xbfhunked",
    )
)

_CODED = "Transfer-Encoding: chunked"
CHUNKS = tuple(
    Case(f"chunk {name}", _generate(_CODED, body=body + _BARE))
    for name, body in (
        ("size with a sign", b"+2\r\n{}\r\n0\r\n\r\n"),
        ("size below nothing", b"-2\r\n{}\r\n0\r\n\r\n"),
        ("size with 0x", b"0x2\r\n{}\r\n0\r\n\r\n"),
        ("size with an underscore", b"0_2\r\n{}\r\n0\r\n\r\n"),
        ("size beyond all numbers", b"ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("size that turns negative", b"8000000000000002\r\n{}\r\n0\r\n\r\n"),
        ("size of nothing", b"\r\n{}\r\n0\r\n\r\n"),
        ("size of letters", b"xyz\r\n{}\r\n0\r\n\r\n"),
        ("longer than its size", b"2\r\n{}{}\r\n0\r\n\r\n"),
        ("without an end", b"2\r\n{}0\r\n\r\n"),
        ("ended by a bare carriage return", b"2\r{}\r0\r\r"),
        ("with a blank before its size", b" 2\r\n{}\r\n0\r\n\r\n"),
        ("with a NUL in its size", b"2\x00\r\n{}\r\n0\r\n\r\n"),
        ("last one with letters", b"2\r\n{}\r\n0x\r\n\r\n"),
    )
)
CHUNKS_THAT_MAY_PASS = (
    # nginx reads these as RFC 9112 allows, and sends on a body without chunks.
    Case("chunk extension", _generate(_CODED, body=b"2;x=y\r\n{}\r\n0\r\n\r\n", keep=False), (_GENERATE,)),
    Case("chunk extension with a bare line feed", _generate(_CODED, body=b"2;\n{}\r\n0\r\n\r\n"), (_GENERATE,)),
    Case("chunk ended by line feeds", _generate(_CODED, body=b"2\n{}\n0\n\n"), (_GENERATE,)),
    Case("chunk with leading zeros", _generate(_CODED, body=b"0000000002\r\n{}\r\n0\r\n\r\n"), (_GENERATE,)),
    Case(
        "trailer that is a header",
        _generate(_CODED, body=b"2\r\n{}\r\n0\r\nContent-Length: 100\r\nAuthorization: x\r\n\r\n", keep=False),
        (_GENERATE,),
    ),
    Case("hidden within a body", _generate(body=_INNER, keep=False), (_GENERATE,)),
    Case("hidden within a chunk", _generate(_CODED, body=_chunks(_INNER), keep=False), (_GENERATE,)),
    Case("coding in capitals", _generate("transfer-ENCODING: CHUNKED", body=_chunks(b"{}"), keep=False), (_GENERATE,)),
    Case("two in a row, the second closed", _VICTIM.replace(b"Connection: close\r\n", b"") + _INNER, (_VERSION,)),
    Case("body with a GET", request("GET", "/ollama/api/version", body=_INNER), (_VERSION,)),
    Case("chunks with a GET", request("GET", "/ollama/api/version", _CODED, body=_chunks(_INNER)), (_VERSION,)),
    Case("two blanks in the request line", _VICTIM.replace(b"GET ", b"GET  "), (_VERSION,)),
    Case("field without a colon", _generate(b"Nothing", body=b"{}", keep=False), (_GENERATE,)),
    Case("expectation that nobody has", request("GET", "/ollama/api/version", "Expect: 200-maybe"), (_VERSION,)),
)

LINES = tuple(
    Case(f"request line {line[:60]!r}", line + b"\r\nHost: ai-services.local\r\nAuthorization: Bearer @use@\r\n\r\n")
    for line in (
        b"POST /ollama/api/pull",
        b"GET\t/ollama/api/version\tHTTP/1.1",
        b"GET /ollama/api/version HTTP/1.1 HTTP/1.1",
        b"GET /ollama/api/version HTTP/2.0",
        b"GET /ollama/api/version HTTP/11.1",
        b"GET /ollama/api/version HTTP/-1.1",
        b"GET /ollama/api/version http/1.1",
        b"GET /ollama/api/version HTTPS/1.1",
        b"GET /ollama/api/version ICAP/1.0",
        b"GET /ollama/api/version\x00 HTTP/1.1",
        b"GET\x00 /ollama/api/version HTTP/1.1",
        b"get /ollama/api/version HTTP/1.1",
        b"Get /ollama/api/version HTTP/1.1",
        b"G\xc3\x8bT /ollama/api/version HTTP/1.1",
        b"GET HTTP/1.1",
        b"GET /ollama/api/version",
        b"/ollama/api/version HTTP/1.1",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1",
        b"PRI * HTTP/2.0",
        b"\x00GET /ollama/api/version HTTP/1.1",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2",
    )
)

_FIELDS = tuple(
    Case(f"header {name}", request("POST", "/ollama/api/generate", field, body=b"{}"), arrives)
    for name, field, arrives in (
        ("without a name", b": x", ()),
        ("with a NUL in its value", b"X: a\x00b", ()),
        ("with a NUL in its name", b"X\x00Y: a", ()),
        ("with a blank in its name", b"X Y: a", ()),
        ("folded", b"X: a\r\n b", ()),
        ("that a bare carriage return follows", b"X: a\rX-Other: b", ()),
        ("of 9,000 bytes", b"X: " + 9000 * b"a", ()),
        ("of 9,000 bytes of name", 9000 * b"a" + b": x", ()),
        ("of 40,000 bytes in many fields", b"\r\n".join(b"X-%d: " % n + 1000 * b"a" for n in range(40)), ()),
        ("count of 5,000", b"\r\n".join(b"X%d: y" % n for n in range(5000)), ()),
        ("of cookies without end", b"\r\n".join(b"Cookie: a%d=%b" % (n, 1000 * b"b") for n in range(40)), ()),
    )
)
HEADERS = (
    *_FIELDS,
    Case("path of 9,000 bytes", request("GET", "/ollama/api/version?" + 9000 * "a")),
    Case("path of 9,000 bytes that is closed", request("GET", "/ollama/" + 9000 * "a")),
    Case("path of 3,000 segments back", request("GET", "/ollama/" + 2500 * "../" + "api/version")),
    Case("method of 9,000 letters", request(9000 * "A", "/ollama/api/version")),
    Case("body larger than it may be", _generate("Content-Length: 33554433", body=b"{}", keep=False), says=(413,)),
    Case("body of an endless length", _generate("Content-Length: 9223372036854775807", body=b"{}"), says=(413,)),
    Case("nobody's body", _generate("Content-Length: 100", body=b"{}", key="", keep=False), says=(401,)),
    Case("nobody's chunks", _generate(_CODED, body=b"2\r\n{}\r\n", key="", keep=False), says=(401,)),
)
METHODS = tuple(
    Case(f"method {method} {target} {' '.join(fields)}", request(method, target, *fields, body=b"{}"), arrives)
    for method, target, fields, arrives in (
        *(
            (method, "/ollama/api/version", (), ())
            for method in (
                "post",
                "PUT",
                "PATCH",
                "DELETE",
                "OPTIONS",
                "TRACE",
                "TRACK",
                "DEBUG",
                "PROPFIND",
                "PURGE",
                "X",
            )
        ),
        *((method, "/ollama/api/pull", (), ()) for method in ("GET", "HEAD", "PUT", "PATCH", "OPTIONS", "pull")),
        *((method, "/comfyui/free", (), ()) for method in ("GET", "HEAD", "PUT", "OPTIONS", "DELETE")),
        *((method, "/comfyui/userdata/x.json", (), ()) for method in ("PUT", "PATCH", "MOVE", "COPY", "LOCK")),
        ("CONNECT", "127.0.0.11:11434", (), ()),
        ("CONNECT", "ai-services.local:443", (), ()),
        ("OPTIONS", "*", (), ()),
        ("GET", "*", (), ()),
        *(
            ("POST", "/ollama/api/delete", (f"{field}: DELETE",), ())
            for field in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override")
        ),
        ("POST", "/ollama/api/delete?_method=DELETE", (), ()),
    )
)
CASES = (*LENGTHS, *CODINGS, *CHUNKS, *CHUNKS_THAT_MAY_PASS, *LINES, *HEADERS, *METHODS)
