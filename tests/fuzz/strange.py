"""Requests as nobody should send them: the same for a seed, number and world, but for the times in their tokens.

Each knows whether it bears what opens a door (a valid signature, verify token or media token), and nothing else about
the answer: that is judged in `verdict`.
"""

import base64
import copy
import hashlib
import hmac
import json
import random
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from local.template import Route
from tests import builders

Made = TypeVar("Made")
Headers = tuple[tuple[bytes, bytes], ...]

METHODS = [
    *(b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND"),
    *(b"get", b"Post", b"G\x00T", b"M" * 300, b"\xc3\xa4"),
]
TYPES = [
    *(b"application/json", b"application/json; charset=utf-8", b"text/plain", b"application/octet-stream", b""),
    *(b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b"text/html; charset=utf-16"),
    *(b"APPLICATION/JSON", b"\xff\xfe", b"a/" + b"b" * 2000, b"application/json, text/plain"),
]
ACCEPTS = [b"*/*", b"application/json", b"image/avif,image/webp,*/*;q=0.8", b"application/json;q=0", b",,;", b"\xe4"]
PIECES = [
    *("..", ".", "/", "//", "\\", "%2e%2e", "%2F", "%252F", "%00", "%2500", "%", "%zz", "%c0%af", "%ff", "%E2%80%AE"),
    *(
        "%0d%0aX-Injected:%201",
        "?",
        "#",
        ";",
        "a",
        "*",
        "'",
        '"',
        "<svg/onload=alert(1)>",
        "${jndi:ldap://x}",
        "é",
        "💥",
    ),
    *("{message_id}", "MSG#", "__proto__", "-1", "0", "null", "%F0%9F%92%A5", " ", "+", "&", "=", "@", "~"),
]
HOSTILE_TEXTS = [
    *(
        "",
        "\0",
        "\ud83d",
        "\udc00",
        "\u202e",
        "é" * 50,
        "x" * 5000,
        "__proto__",
        "constructor",
        "../../etc",
        "a/b",
        "a#b",
    ),
    *("<script>alert(1)</script>", "'; DROP TABLE", "\r\nX-Injected: 1", "💥", "\x7f\x1b[31m", "NaN", "-1", "1e999"),
]
NUMBERS = [0, -1, 1, 2**31, 2**63, 2**64, 10**30, -(10**40), 1.5, 1e308, 99999999999999]
KNOWN_NAMES = [
    *("object", "entry", "id", "changes", "field", "value", "metadata", "phone_number_id", "messages", "statuses"),
    *("contacts", "history", "threads", "message_echoes", "type", "image", "from", "timestamp", "errors", "wa_id"),
    *("interactive", "nfm_reply", "response_json", "edit", "message", "original_message_id", "group_id", "status"),
    *("__proto__", "constructor", "", "pk", "sk", "ttl"),
]

ROOM = 9000  # bytes of target and header values that API Gateway takes for certain


@dataclass(frozen=True, slots=True)
class World:
    """What the requests can know: routes, messages by what is known of them, secrets, and Meta's real payloads."""

    routes: Sequence[Route]
    known: Sequence[str]
    phone_number_id: str
    app_secret: str
    verify_token: str
    media_token_secret: str
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Strange:
    """A request: where it aims, its parts as bytes, whether it may open a door, and whether it must."""

    aim: str
    method: bytes
    target: bytes
    headers: Headers
    body: bytes = b""
    may: bool = False
    must: int | None = None
    chunked: bool = False

    @property
    def wire(self) -> bytes:
        """The bytes to send."""
        head = [b"%b %b HTTP/1.1" % (self.method, self.target), b"Host: api.example.com"]
        head += [b"%b: %b" % (name, value) for name, value in self.headers]
        head.append(b"Transfer-Encoding: chunked" if self.chunked else b"Content-Length: %d" % len(self.body))
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(self.body), self.body) if self.chunked and self.body else self.body
        return b"\r\n".join(head) + b"\r\n\r\n" + (body or (b"0\r\n\r\n" if self.chunked else b""))


def request(world: World, seed: str, number: int, *, signed: bool) -> Strange:
    """Give one request; only with `signed` may it bear a valid signature of Meta's."""
    dice = random.Random(f"{seed}:{number}")
    route = dice.choice(world.routes)
    if signed and dice.random() < 0.7:
        return _notification(world, dice, signed=True)
    if dice.random() < 0.1:
        return _anywhere(world, dice)
    if route.path != "/webhook":
        return _view(world, dice, route)
    return _notification(world, dice, signed=signed) if route.method == "POST" else _handshake(world, dice)


def _one(dice: random.Random, ways: Sequence[Callable[[], Made]]) -> Made:
    """Make one of several things."""
    return dice.choice(ways)()


# --- where to ----------------------------------------------------------------------------------------------------


def _anywhere(world: World, dice: random.Random) -> Strange:
    """Aim at a path that is no route, or nearly one."""
    path = _one(
        dice,
        [
            lambda: "/" + "".join(dice.choices(PIECES, k=dice.randint(0, 8))),
            lambda: dice.choice(world.routes).path + dice.choice(PIECES),
            lambda: dice.choice(world.routes).path.swapcase() + dice.choice(["", "/"]),
            lambda: "/" + "a" * dice.choice([1, 255, 8192, 9500, 20_000]),
            lambda: "//webhook",
            lambda: "/webhook/",
            lambda: "/%77ebhook" if dice.random() < 0.5 else "/webhook%20",
            lambda: "http://127.0.0.1/webhook",
            lambda: "*",
            lambda: "/media/messages/" + "/".join(dice.choices(PIECES, k=3)),
        ],
    )
    method = dice.choice(METHODS)
    body = _any_bytes(dice) if dice.random() < 0.5 else b""
    return Strange("elsewhere", method, _target(path, _query(dice)), _headers(dice), body)


def _method(dice: random.Random, own: str) -> bytes:
    return own.encode() if dice.random() < 0.85 else dice.choice(METHODS)


def _target(path: str, query: str) -> bytes:
    """Write a target; blanks and line ends, which would end it, are left to `_headers` and to encodings."""
    text = path + (f"?{query}" if query else "")
    return text.encode("utf-8", "surrogatepass").replace(b" ", b"%20").replace(b"\r", b"").replace(b"\n", b"")


def _query(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return ""
    names = [
        "token=word",
        "retry=",
        "download=",
        "hub.mode=",
        "hub.challenge=",
        "hub.verify_token=word",
        "a[]=",
        "=",
        "%=",
    ]
    return "&".join(dice.choice(names) + dice.choice(PIECES) for _ in range(dice.randint(1, 5)))


# --- headers -----------------------------------------------------------------------------------------------------


def _headers(dice: random.Random) -> Headers:
    """Give headers that are none of ours to check."""
    return tuple(_header(dice) for _ in range(dice.choice([0, 0, 1, 2, 5])))


def _header(dice: random.Random) -> tuple[bytes, bytes]:
    return dice.choice(
        [
            (b"Accept", dice.choice(ACCEPTS)),
            (b"Origin", dice.choice([b"null", b"https://evil.example", b"http://localhost:1", b"\xff"])),
            (b"X-Forwarded-For", b"1.2.3.4, " * dice.choice([1, 50])),
            (b"X-Forwarded-Host", b"evil.example"),
            (b"X-HTTP-Method-Override", b"DELETE"),
            (b"X-Amzn-Trace-Id", b"Root=1-0-0;Sampled=1"),
            (b"If-None-Match", b"*"),
            (b"Range", b"bytes=0-0,-1"),
            (b"Cookie", dice.choice([b";;;", b"a=b; a=c", b"\x80=\x81", b"media_token", b'x="' + b"y" * 3000])),
            (b"X-" + b"h" * dice.choice([1, 100]), bytes(dice.choices(range(33, 127), k=20))),
            (b"X-Long", b"l" * dice.choice([100, 8000, 12_000])),
            (b"Expect", b"100-continue"),
            (b"Access-Control-Request-Method", b"GET"),
            (b"X-Odd", bytes([dice.choice([1, 9, 127, 128, 255])])),
        ]
    )


# --- the webhook -------------------------------------------------------------------------------------------------


def _handshake(world: World, dice: random.Random) -> Strange:
    right = dice.random() < 0.3
    # Not what stands in challenges: those are repeated to who knows the token, and tokens must never be.
    wrong = [
        *(f"word{text}" for text in HOSTILE_TEXTS),
        world.verify_token[:-1],
        world.verify_token + "\0",
        world.verify_token.upper(),
    ]
    token = world.verify_token if right else dice.choice(wrong)
    query = [("hub.mode", "subscribe"), ("hub.challenge", dice.choice(HOSTILE_TEXTS)), ("hub.verify_token", token)]
    pairs = [(name, value.encode("utf-8", "surrogatepass")) for name, value in query]
    dice.shuffle(pairs)
    if not right:
        del pairs[dice.randint(0, 6) :]
    method, headers, target = _method(dice, "GET"), _headers(dice), _target("/webhook", urlencode(pairs))
    fits = method == b"GET" and _head_size(headers) + len(target) < ROOM
    return Strange("GET /webhook", method, target, headers, may=right, must=(200 if right else 403) if fits else None)


def _notification(world: World, dice: random.Random, *, signed: bool) -> Strange:
    body, method, headers = _webhook_body(world, dice), _method(dice, "POST"), _headers(dice)
    if dice.random() < 0.9:
        headers += ((b"Content-Type", dice.choice(TYPES)),)
    good = _signature(world.app_secret, body)
    if signed:
        headers += ((b"X-Hub-Signature-256", good),)
    elif dice.random() < 0.9:
        headers += ((b"X-Hub-Signature-256", _bad_signature(dice, good, body)),)
    fits = len(body) <= 3 * builders.MIB and _head_size(headers) < ROOM
    must = 200 if signed and method == b"POST" and fits else None
    return Strange(
        "POST /webhook", method, b"/webhook", headers, body, may=signed, must=must, chunked=dice.random() < 0.05
    )


def _head_size(headers: Headers) -> int:
    return sum(len(value) for _, value in headers)


def _signature(secret: str, body: bytes) -> bytes:
    return b"sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest().encode()


def _bad_signature(dice: random.Random, good: bytes, body: bytes) -> bytes:
    return dice.choice(
        [
            b"",
            b"sha256=",
            b"sha256=" + b"0" * 64,
            good.upper(),
            good[:-1],
            good + b"0",
            good + b"," + good,
            good.removeprefix(b"sha256="),
            good.replace(b"sha256", b"sha1"),
            _signature("", body),
            _signature("another secret", body),
            b"sha1=" + hmac.new(b"local", body, hashlib.sha1).hexdigest().encode(),
            bytes(dice.choices(range(128, 256), k=64)),
            b"sha256=" + b"f" * 4000,
        ]
    )


def _webhook_body(world: World, dice: random.Random) -> bytes:
    """Give a body: something of Meta's, bent; or any JSON; or no JSON at all."""
    chance = dice.random()
    if chance < 0.5:
        return _bent(dice, dice.choice(world.payloads), world)
    if chance < 0.75:
        return _json(_any_json(dice, 5))
    return _any_bytes(dice)


def _bent(dice: random.Random, payload: bytes, world: World) -> bytes:
    """Bend a payload: as JSON in some places, and now and then as bytes."""
    content = json.loads(payload)
    for _ in range(dice.choice([1, 1, 2, 4])):
        holder, name = dice.choice(_places(content))
        holder[name] = _instead_of(holder[name], dice, world)
    body = _json(content)
    return _broken(dice, body) if dice.random() < 0.3 else body


def _instead_of(value: Any, dice: random.Random, world: World) -> Any:
    """Give something to put in the place of a value."""
    return _one(
        dice,
        [
            lambda: _any_json(dice, 3),
            lambda: dice.choice(HOSTILE_TEXTS),
            lambda: dice.choice(NUMBERS),
            lambda: dice.choice([None, True, [], {}, [[]], {"": {}}]),
            lambda: [copy.deepcopy(value)] * dice.choice([2, 30]),
            lambda: {dice.choice(KNOWN_NAMES): copy.deepcopy(value)},
            lambda: world.phone_number_id,
        ],
    )


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Give all places in JSON, each as what holds it and the name or number that it has there."""
    found: list[tuple[Any, Any]] = []
    todo = [content]
    while todo:
        holder = todo.pop()
        inner = holder.items() if isinstance(holder, dict) else enumerate(holder)
        for name, value in inner:
            found.append((holder, name))
            if isinstance(value, dict | list):
                todo.append(value)
    return found


def _json(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _any_json(dice: random.Random, depth: int) -> Any:
    kind = dice.random()
    if depth == 0 or kind < 0.4:
        return dice.choice([dice.choice(HOSTILE_TEXTS), dice.choice(NUMBERS), None, True, dice.choice(KNOWN_NAMES)])
    if kind < 0.6:
        return [_any_json(dice, depth - 1) for _ in range(dice.randint(0, 4))]
    return {dice.choice(KNOWN_NAMES): _any_json(dice, depth - 1) for _ in range(dice.randint(0, 6))}


def _broken(dice: random.Random, body: bytes) -> bytes:
    """Break bytes: cut, flip, repeat, put something in."""
    place = dice.randrange(len(body))
    return dice.choice(
        [
            body[:place],
            body[:place] + bytes([body[place] ^ 0x80]) + body[place + 1 :],
            body[:place] + b"\x00" + body[place:],
            body[:place] + b"\xff\xfe" + body[place:],
            body + body,
            b"\xef\xbb\xbf" + body,
            body.decode().encode("utf-16"),
            body.replace(b'"id":', b'"id":1,"id":', 3),
            body.replace(b'"', b"'", 2),
            body.replace(b"{", b'{"__proto__":{"admin":true},', 3),
        ]
    )


def _any_bytes(dice: random.Random) -> bytes:
    """Give bytes that are no notification, or one that is hard to read."""
    return _one(
        dice,
        [
            lambda: b"",
            lambda: dice.randbytes(dice.choice([1, 50, 2000])),
            lambda: b"[" * dice.choice([50, 3000, 100_000]),
            lambda: b'{"entry":[' + b'{"a":' * 1500 + b"1" + b"}" * 1500 + b"]}",
            lambda: b'{"entry":[],"n":' + b"9" * dice.choice([20, 5000]) + b"}",
            lambda: b'{"entry":[],"n":1e999,"m":NaN,"o":-Infinity}',
            lambda: b'{"entry":[],"entry":[{}],"entry":null}',
            lambda: (
                b'{"entry":[{"changes":[{"field":"messages","value":{"metadata":{"phone_number_id":"'
                + b"7" * dice.choice([1, 129, 5000])
                + b'"},"messages":[{"id":"wamid.A","type":"image","image":{"id":"1"}}]}}]}]}'
            ),
            lambda: base64.b64encode(dice.randbytes(30))[:-1],
            lambda: urlencode({"payload": '{"entry":[]}'}).encode(),
            lambda: b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
            lambda: b"\x1f\x8b\x08\x00" + dice.randbytes(40),
            lambda: struct.pack(">I", 7) * 10,
            lambda: b'"\\ud83d"',
            lambda: b" " * dice.choice([10, 200_000]),
            lambda: b"x" * (3 * builders.MIB + 1) if dice.random() < 0.05 else b"null",
        ],
    )


# --- the media ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Token:
    """A media token, and whether it is one of ours that opens what its scope says."""

    text: bytes
    valid: bool


def _view(world: World, dice: random.Random, route: Route) -> Strange:
    own_id, is_known = _message(world, dice)
    token, method = _token(world, dice), _method(dice, route.method)
    headers, query, plain = _presented(world, dice, token)
    if dice.random() < 0.3:
        headers, query, plain = headers + _headers(dice), f"{_query(dice)}&{query}", False
    if route.path.startswith("/conversations"):
        query = f"{query}&{_listing(world, dice)}"
    target = _target(route.path.replace("{message_id}", own_id).replace("{contact_id}", own_id), query)
    fits = method == route.method.encode() and _head_size(headers) + len(target) < ROOM
    must = 401 if fits and plain and is_known and not token.valid else None
    body = _any_bytes(dice) if dice.random() < 0.05 else b""
    return Strange(route.key, method, target, headers, body, may=token.valid, must=must)


def _listing(world: World, dice: random.Random) -> str:
    """Ask for a part of a listing, in ways that make sense one by one."""
    strange = [*HOSTILE_TEXTS, *PIECES, base64.urlsafe_b64encode(dice.randbytes(20)).decode()]
    asked = {
        "phone_number_id": world.phone_number_id if dice.random() < 0.7 else dice.choice(strange),
        "limit": str(dice.choice([1, 50, 100, *NUMBERS])),
        "cursor": dice.choice(["MTIzNDU2NzgxNzkwODAwMDAw", *strange]),
        "since": dice.choice(["0", "1790800000", *strange]),
    }
    names = [name for name in asked if dice.random() < (0.9 if name == "phone_number_id" else 0.3)]
    return "&".join(f"{name}={quote(asked[name], errors='replace')}" for name in names)


def _presented(world: World, dice: random.Random, token: Token) -> tuple[Headers, str, bool]:
    """Present a token in one of its places: headers, query, and whether it arrives as it is."""
    in_header = bytes(char for char in token.text if char not in b"\r\n\0")
    bearer = (b"Authorization", dice.choice([b"Bearer ", b"bearer ", b"BEARER  "]) + in_header)
    return _one(
        dice,
        [
            lambda: ((bearer,), "", True),
            lambda: (((b"Cookie", b"a=b; media_token=" + in_header.replace(b";", b"")),), "", False),
            lambda: ((), "token=" + quote(token.text, safe=""), True),
            # The first that is present decides, however good the second is.
            lambda: ((bearer,), "token=" + quote(_sealed(world, phone_numbers=["*"])), True),
        ],
    )


def _message(world: World, dice: random.Random) -> tuple[str, bool]:
    """Give what stands for a message id in a path, and whether it plainly is one that is known."""
    known = dice.choice(world.known)
    if dice.random() < 0.4:
        return known, True
    return (
        _one(
            dice,
            [
                lambda: "".join(dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=26)),
                lambda: "".join(f"%{ord(char):02x}" for char in known),
                lambda: "".join(f"%25{ord(char):02X}" for char in known),
                known.upper,
                lambda: known + dice.choice(PIECES),
                lambda: dice.choice(PIECES) + known,
                lambda: "".join(dice.choices(PIECES, k=dice.randint(1, 6))),
                lambda: quote(dice.choice(HOSTILE_TEXTS).encode("utf-8", "surrogatepass"), safe=""),
                lambda: str(dice.randrange(10**6)),
                lambda: "a" * dice.choice([27, 129, 2048, 8192]),
                lambda: "%F0%9F%92%A5" * 30,
                lambda: f"{known}#MEDIA",
                lambda: f"{known}%23MESSAGE",
            ],
        ),
        False,
    )


def _sealed(world: World, **claims: Any) -> bytes:
    """Sign a token as we would; by hand, for PyJWT refuses to write most of what is wrong."""
    return _jwt({"alg": "HS256", "typ": "JWT"}, {"exp": int(time.time()) + 3600, **claims}, world.media_token_secret)


def _jwt(head: Any, claims: Any, secret: str, digest: str = "sha256") -> bytes:
    signed = _base64(_json(head)) + b"." + _base64(_json(claims))
    return signed + b"." + _base64(hmac.digest(secret.encode(), signed, digest))


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _token(world: World, dice: random.Random) -> Token:
    if dice.random() < 0.35:
        scope = dice.choice([{"phone_numbers": ["*"]}, {"phone_numbers": [world.phone_number_id, "1"]}])
        return Token(_sealed(world, **scope), valid=True)
    return Token(_bad_token(world, dice), valid=False)


def _bad_token(world: World, dice: random.Random) -> bytes:
    claims = {"exp": int(time.time()) + 3600, "phone_numbers": ["*"]}
    secret, good = world.media_token_secret, _sealed(world, **claims)
    head, middle, seal = good.split(b".")
    return _one(
        dice,
        [
            lambda: b"",
            lambda: b"null",
            lambda: dice.randbytes(40),
            lambda: b"e" * dice.choice([1, 100, 6000]),
            lambda: b".".join(dice.randbytes(9) for _ in range(3)),
            lambda: good[:-2],
            lambda: good[::-1],
            lambda: good + b"." + seal,
            lambda: head + b"." + middle + b".",
            lambda: good.replace(middle, middle[::-1]),
            lambda: _sealed(world, **claims | {"exp": int(time.time()) - 3600}),
            lambda: _sealed(world, **claims | {"exp": dice.choice(["soon", -1, 0, None, [], {}, True])}),
            lambda: _jwt({"alg": "HS256"}, claims, "another secret of more than thirty-two bytes"),
            lambda: _jwt({"alg": "HS256"}, claims, ""),
            lambda: _jwt({"alg": "HS384"}, claims, secret, "sha384"),
            lambda: _jwt({"alg": "HS512"}, claims, secret, "sha512"),
            lambda: _jwt({"alg": "none"}, claims, secret),
            lambda: _jwt({"alg": "none"}, claims, secret).rpartition(b".")[0] + b".",
            lambda: _jwt({"alg": "RS256", "kid": "../../dev/null"}, claims, secret),
            lambda: _jwt({"alg": "ES256", "jwk": {"kty": "oct", "k": "AA"}}, claims, secret),
            lambda: _jwt({"alg": dice.choice([["HS256"], "", None, 7, {}, "hs256"])}, claims, secret),
            lambda: _jwt({}, claims, secret),
            lambda: _jwt([], claims, secret),
            lambda: _jwt({"alg": "HS256"}, dice.choice([[], "a", None, 7]), secret),
            lambda: _jwt({"alg": "HS256"}, {"phone_numbers": ["*"]}, secret),
            lambda: _jwt({"alg": "HS256"}, claims | {"phone_numbers": dice.choice(["*", {"*": 1}, [1], 7])}, secret),
            lambda: _jwt({"alg": "HS256", "crit": ["exp"]}, claims, secret),
            lambda: head + b"." + _base64(b"[" * 3000) + b"." + seal,
        ],
    )
