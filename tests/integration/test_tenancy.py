"""Random tenants against a model of a few lines: what an app may write, and what a token may see or find out.

Each example is a world: apps with bindings and secrets, what they say of whose numbers, erasures, old ids, tokens.
The handlers of the template run on a table of their own, and afterwards the table holds exactly what the model says,
and each token sees exactly what its scope says: all else answers as an id that never was, after the same calls.
"""

import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inbound.media import contact_id, digest, key_part, message_id
from local.environments import Environments
from local.stack import STATE
from local.template import tables
from tests import builders
from tests.builders import Json
from tests.integration import system as systems
from tests.integration.system import System

Kind = Literal["text", "image", "status", "revoke", "a_new_field"]
App = tuple[str, frozenset[str] | Literal["*"]]  # its secret, and the numbers that it is bound to
Invoke = Callable[[str, Json], Json]

PLAIN = ("710000000000001", "710000000000002", "710000000000003")
# What no Meta sends, and an app that is bound to it may: none of it leads to anybody else's items or objects.
ODD = (f"{PLAIN[0]}/../{PLAIN[1]}", f"{PLAIN[0]}#", "..", "\0", PLAIN[0] + "x" * 10_000, "\u202e\u00e9\U0001f4a9")
NUMBERS = (*PLAIN, *ODD)
WAMIDS = tuple(f"wamid.{place}" for place in range(3))
PHONES = ("15550100001", "15550100002")
OLD_IDS = ("4711", "4712", "4713")
UNKNOWN = "a" * 26
# Records of each kind, and how many of them are messages.
RECORDS = {"text": 1, "image": 1, "status": 1, "revoke": 2, "a_new_field": 1}
MESSAGES = frozenset({"text", "image", "revoke"})
NOW = int(time.time()) - 10_000
APPS = ("app-0", "app-1", "app-2")
OWN_TOKENS = {PLAIN[0]: "token-of-0", PLAIN[1]: "token-of-1", ODD[0]: "token-of-odd"}
DEFAULT_TOKEN = "token-of-all-others"


# --- worlds -------------------------------------------------------------------------------------------------


class Item(NamedTuple):
    """One thing that an app says of a number: a revoke `names` a message, an image has the media that `lends`."""

    number: str
    kind: Kind
    wamid: str
    phone: str
    names: str
    lends: str


@dataclass(frozen=True)
class World:
    """Apps by name; what they say, in order; what is erased beforehand; old ids; the scopes of tokens."""

    apps: dict[str, App]
    posts: list[tuple[str, list[Item]]]
    erased: list[tuple[str, str]]
    aliases: dict[str, tuple[str, str]]
    scopes: tuple[Json, ...]

    @property
    def ids(self) -> dict[str, tuple[str, str]]:
        """All ids that could be asked for, and which message each would be."""
        numbers = {one.number for _, items in self.posts for one in items} | {PLAIN[0]}
        ids = {message_id(number, wamid): (number, wamid) for number in sorted(numbers) for wamid in WAMIDS}
        return {**ids, **{old_id: self.aliases.get(old_id, ("", old_id)) for old_id in OLD_IDS}, UNKNOWN: ("", "")}

    def signers(self, secret: str) -> list[str]:
        return sorted(name for name, (own, _) in self.apps.items() if own == secret)

    def owners(self, number: str) -> set[str]:
        return {name for name, (_, bound) in self.apps.items() if bound == "*" or number in bound}


@st.composite
def worlds(draw: st.DrawFn) -> World:
    numbers = draw(st.lists(st.sampled_from(NUMBERS), min_size=2, max_size=3, unique=True))
    number, wamid, phone = st.sampled_from(numbers), st.sampled_from(WAMIDS), st.sampled_from(PHONES)
    apps = draw(bound_apps(numbers))
    some = st.fixed_dictionaries({"phone_numbers": st.lists(number, min_size=1) | st.just(["*"])})
    fewer = st.fixed_dictionaries(
        {"phone_numbers": st.lists(number, min_size=1) | st.just(["*"]) | st.none()},
        optional={
            "conversation": st.builds(contact_id, number, phone),
            "message": st.builds(message_id, number, wamid) | st.sampled_from(OLD_IDS),
        },
    )
    return World(
        apps,
        draw(st.lists(posts(apps, numbers), min_size=3, max_size=6)),
        draw(st.lists(st.tuples(number, wamid), max_size=2)),
        draw(st.dictionaries(st.sampled_from(OLD_IDS), st.tuples(number, wamid), min_size=1)),
        draw(st.tuples(some, fewer)),
    )


@st.composite
def bound_apps(draw: st.DrawFn, numbers: list[str]) -> dict[str, App]:
    """Give two or three apps; most numbers have one, some two or none, and now and then an app has all."""
    names = draw(st.sampled_from([APPS[:2], APPS]))
    owners = {number: draw(st.lists(st.sampled_from([*names, None]), min_size=1, max_size=2)) for number in numbers}
    of_all = draw(st.sampled_from([*names, *[None] * 9]))
    return {
        name: (
            draw(st.sampled_from([f"secret-of-{name}", f"secret-of-{name}", "secret-of-many"])),
            "*" if name == of_all else frozenset(number for number in numbers if name in owners[number]),
        )
        for name in names
    }


@st.composite
def posts(draw: st.DrawFn, apps: dict[str, App], numbers: list[str]) -> tuple[str, list[Item]]:
    """Give a secret, and what is said with it: more of the app's own numbers than of others."""
    secret, bound = draw(st.sampled_from(list(apps.values())))
    own = numbers if bound == "*" else sorted(bound)
    number, wamid = st.sampled_from([*numbers, *own, *own]), st.sampled_from(WAMIDS)
    kind = st.sampled_from(("text", "image", "image", "status", "revoke", "a_new_field"))
    lends = st.sampled_from(numbers)
    item = st.builds(Item, number, kind, wamid, st.sampled_from(PHONES), wamid, lends)
    # The same key twice in one POST is merged by rules that are tested elsewhere.
    return secret, draw(st.lists(item, min_size=2, max_size=5, unique_by=lambda one: (one.number, one.wamid)))


# --- the model ----------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What there must be after some POSTs: messages by number and wamid, all keys, events, jobs, counts."""

    world: World
    messages: dict[tuple[str, str], tuple[Item, str]] = field(default_factory=dict)
    keys: set[tuple[str, str]] = field(default_factory=set)
    heads: dict[tuple[str, str], str] = field(default_factory=dict)
    events: set[tuple[str, str]] = field(default_factory=set)
    jobs: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def take(self, secret: str, item: Item, mark: str) -> None:
        """Take what an app says of a number, if it may say it."""
        signers, owners = self.world.signers(secret), self.world.owners(item.number)
        if owners and not owners & set(signers):
            self.counts["ForeignNumber"] += RECORDS[item.kind]
        elif not owners or item.kind == "a_new_field":
            self.events.add((signers[0], mark))
        else:
            self._store(item, mark)

    def _store(self, item: Item, mark: str) -> None:
        own_id = message_id(item.number, item.wamid)
        self.counts["Statuses" if item.kind == "status" else "Messages"] += 1
        if item.kind == "revoke" and (item.number, item.names) not in self.world.erased:
            self.keys.add((f"MSG#{message_id(item.number, item.names)}", f"REVOKE#{time_of(mark):010d}#{own_id}"))
        if (item.number, item.wamid) in self.world.erased:
            return
        if item.kind == "status":
            self.keys.add((f"MSG#{own_id}", f"STATUS#read#{contact_id(item.number, item.phone)}"))
            return
        self.messages[item.number, item.wamid] = item, mark
        self.keys.add((f"MSG#{own_id}", "MESSAGE"))
        if item.kind != "revoke":
            self.heads[f"CONV#{key_part(item.number)}", contact_id(item.number, item.phone)] = own_id
        if item.kind == "image":
            self.jobs.append(own_id)

    def lists(self, scope: Json, number: str, contact: str) -> bool:
        """Tell whether a token sees a conversation: there is one, though its message may since be another's."""
        numbers, bounds = scope.get("phone_numbers"), []
        if numbers is not None:
            bounds.append("*" in numbers or number in numbers)
        if "conversation" in scope:
            bounds.append(scope["conversation"] == contact)
        known = (f"CONV#{key_part(number)}", contact) in self.heads
        return known and "message" not in scope and bool(bounds) and all(bounds)

    def listed(self, scope: Json, number: str, phone: str) -> set[str]:
        """Give the messages that a token sees in the conversation of a number with a phone."""
        if "message" in scope:
            return set()
        found = {
            message_id(number, wamid)
            for (own, wamid), (item, _) in self.messages.items()
            if (own, item.phone) == (number, phone) and item.kind != "revoke"
        }
        return {own_id for own_id in found if self.seen(scope, own_id) is not None}

    def seen(self, scope: Json, asked: str) -> tuple[Item, str] | None:
        """Give the message (and the id that it has) which a token sees under an id."""
        number, wamid = self.world.ids[asked]
        if (number, wamid) in self.world.erased or (number, wamid) not in self.messages:
            return None
        item, own_id = self.messages[number, wamid][0], message_id(number, wamid)
        numbers, bounds = scope.get("phone_numbers"), []
        if numbers is not None:
            bounds.append("*" in numbers or number in numbers)
        if "conversation" in scope:
            bounds.append(scope["conversation"] == contact_id(number, item.phone))
        if "message" in scope:
            bounds.append(scope["message"] in {asked, own_id})
        return (item, own_id) if bounds and all(bounds) else None


def time_of(mark: str) -> int:
    return NOW + int(mark.rpartition("-")[2])


# --- the system ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """Where the worlds are played: the running system, and the media that Graph holds for each number."""

    system: System
    media: dict[str, str]

    def post(self, invoke: Invoke, secret: str, items: list[tuple[Item, str]]) -> None:
        raw = builders.wire(builders.envelope(*([self.change(*one)] for one in items), waba_id="of-anybody"))
        event = builders.http_event("POST", "/webhook", headers=builders.signed(raw, secret), body=raw)
        assert invoke("WebhookFunction", event)["statusCode"] == 200

    def change(self, item: Item, mark: str) -> Json:
        common = {"id": item.wamid, "timestamp": str(time_of(mark)), "mark": mark}
        if item.kind == "status":
            said = builders.status("read", recipient_id=item.phone, **common)
            return builders.change_of(statuses=[said], phone_number_id=item.number)
        if item.kind == "a_new_field":
            return builders.change_of(field=item.kind, statuses=[common], phone_number_id=item.number)
        content: Json = {"body": mark}
        if item.kind == "image":
            content = builders.media_object(builders.PHOTO, self.media[item.lends], sha256=None)
        elif item.kind == "revoke":
            content = {"original_message_id": item.names}
        said = {"from": item.phone, "type": item.kind, item.kind: content, **common}
        return builders.change_of(said, phone_number_id=item.number)

    def items(self, table: str) -> list[Json]:
        pages = self.system.client("dynamodb").get_paginator("scan").paginate(TableName=table)
        return [systems.plain(item) for page in pages for item in page["Items"]]

    def put(self, table: str, item: Json) -> None:
        self.system.client("dynamodb").put_item(TableName=table, Item=systems.typed(item))

    @contextmanager
    def playing(self, world: World, table: str) -> Iterator[Invoke]:
        """Give the handlers, on an empty table, for the apps of a world."""
        stack, dynamodb = self.system.stack, self.system.client("dynamodb")
        apps = {
            name: {
                "secrets": [secret],
                "verify_token": name,
                "phone_number_ids": "*" if bound == "*" else sorted(bound),
            }
            for name, (secret, bound) in world.apps.items()
        }
        self.system.client("secretsmanager").put_secret_value(SecretId="tenants", SecretString=json.dumps(apps))
        own = {"TABLE_NAME": table, "APPS_SECRET_ID": "tenants", "GRAPH_SECRET_ID": "tenants-graph"}
        own["AWS_SDK_UA_APP_ID"] = ""  # the roles of the template grant nothing on this table
        functions = [
            replace(function, environment={**function.environment, **own})
            for name, function in stack.functions._functions.items()
            if name in {"WebhookFunction", "MediaProxyFunction", "InboxFunction"}
        ]
        LOG.unlink(missing_ok=True)
        dynamodb.create_table(TableName=table, **tables(stack.template)["Table"].definition)
        try:
            with Environments(functions, stack.access.environment, logs=LOG) as environments:
                yield environments.invoke
        finally:
            dynamodb.delete_table(TableName=table)
            LOG.unlink(missing_ok=True)


LOG = STATE / f"tests-tenancy-{os.getpid()}.log"


@pytest.fixture(name="site", scope="session")
def _site(running: System) -> Site:
    secrets, meta = running.client("secretsmanager"), running.stack.meta
    graph = {
        "tokens": {**{number: [token] for number, token in OWN_TOKENS.items()}, "default": [DEFAULT_TOKEN]},
        "media_token_secrets": [running.stack.media_token_secret],
    }
    secrets.create_secret(Name="tenants", SecretString="{}")
    secrets.create_secret(Name="tenants-graph", SecretString=json.dumps(graph))
    for number, token in OWN_TOKENS.items():
        meta.accept_token(token, frozenset({number}))
    meta.accept_token(DEFAULT_TOKEN)
    media = {number: meta.add_media(content_of(number), "image/jpeg", phone_number_id=number).id for number in NUMBERS}
    return Site(running, media)


def content_of(number: str) -> bytes:
    """Give the picture that Graph holds for a number: another one for each."""
    return builders.PHOTO.content + digest(number).encode()


# --- one by one ---------------------------------------------------------------------------------------------

A, B = systems.NUMBER_A, systems.NUMBER_B


def partitions(system: System, *pks: str) -> list[dict[str, Json]]:
    return [system.items(pk) for pk in pks]


@pytest.mark.parametrize("waba_id", ["200000000000001", "the-account-of-b"])
def test_nothing_that_an_app_says_of_its_own_number_touches_a_message_of_another(system: System, waba_id: str) -> None:
    phone, wamid = builders.any_phone(), builders.any_wamid()
    theirs = builders.image_message(sender=phone, id=wamid, media={"caption": "theirs"})
    of_b = builders.notification(theirs, phone_number_id=B, statuses=[builders.status("sent", wamid)], waba_id=waba_id)
    assert system.post(of_b, secret=systems.APP_B).status_code == 200
    places = (f"MSG#{message_id(B, wamid)}", f"CONV#{B}")
    before = partitions(system, *places)
    assert before[0].keys() >= {"MESSAGE"}
    system.aws.forget()

    said: list[Json] = [
        builders.image_message(sender=phone, id=wamid, media={"caption": "ours"}),
        builders.message("edit", {"original_message_id": wamid, "message": {"type": "text", "text": {"body": "!"}}}),
        builders.message("revoke", {"original_message_id": wamid}),
        builders.message("reaction", {"message_id": wamid, "emoji": "x"}),
        builders.text_message(context={"id": wamid, "from": phone}),
    ]
    statuses = [builders.status(name, wamid, recipient_id=phone) for name in ("read", "failed")]
    body = builders.notification(*said, phone_number_id=A, statuses=statuses, waba_id=waba_id)
    assert system.post(body, secret=systems.APP_A).status_code == 200

    assert partitions(system, *places) == before
    ours = system.items(f"MSG#{message_id(A, wamid)}")
    assert ours["MESSAGE"]["caption"] == "ours"
    assert {sk.partition("#")[0] for sk in ours} == {"MESSAGE", "STATUS", "EDIT", "REVOKE"}
    assert message_id(B, wamid) not in system.jobs()


def test_the_accounts_id_gives_no_right_to_a_number(system: System) -> None:
    wamid = builders.any_wamid()
    system.post(builders.notification(builders.image_message(id=wamid), phone_number_id=B), secret=systems.APP_A)

    assert system.items(f"MSG#{message_id(B, wamid)}") == {}
    assert system.jobs() == []


# --- what must hold -----------------------------------------------------------------------------------------


def check_table(found: list[Json], model: Model) -> None:
    """Compare all that is stored with the model: keys, contents, indexes, heads, events."""
    stored = {(item["pk"], item["sk"]): item for item in found if item["sk"] not in {"ALIAS", "ERASED", "EVENT"}}
    assert stored.keys() == model.keys | model.heads.keys()
    for (number, wamid), (item, mark) in model.messages.items():
        kept = stored[f"MSG#{message_id(number, wamid)}", "MESSAGE"]
        assert (kept["phone_number_id"], kept["wamid"], kept["type"]) == (number, wamid, item.kind)
        assert mark in kept["raw"]
        listed = f"CONV#{key_part(number)}#{contact_id(number, item.phone)}"
        assert kept.get("gsi1pk") == (None if item.kind == "revoke" else listed)
    for head, newest in model.heads.items():
        assert stored[head]["message_id"] == newest
        assert stored[head]["gsi1pk"] == head[0].replace("CONV#", "HEADS#", 1)
    events = [item for item in found if item["sk"] == "EVENT"]
    assert {(event["app_id"], mark) for event in events for mark in marks(event)} == model.events
    assert all(event["gsi1pk"] == f"EVENTS#{event['app_id']}" for event in events)


def marks(event: Json) -> set[str]:
    return set(re.findall(r"mark-\d+", event["raw"]))


def counted() -> Counter[str]:
    """Give the sums of the webhook's counts."""
    lines = [line for line in systems.json_lines(LOG.read_text("utf-8")) if "_aws" in line]
    names = ("Messages", "Statuses", "ForeignNumber")
    return Counter({name: int(sum(sum(line.get(name, [])) for line in lines)) for name in names})


def ask(site: Site, invoke: Invoke, own_id: str, token: str) -> tuple[Json, list[str]]:
    """Ask for an id; give the whole answer and the calls to AWS that it took."""
    event = builders.http_event(
        "GET",
        f"/media/messages/{own_id}",
        headers={"Authorization": f"Bearer {token}"},
        route="/media/messages/{message_id}",
    )
    site.system.aws.calls.clear()
    answer = invoke("MediaProxyFunction", event)
    return answer, list(site.system.aws.calls)


def check_given(site: Site, answer: Json, item: Item, own_id: str, table: str) -> None:
    """Check the answer for a message that may be seen: its own picture, by its own token, under its own key."""
    asked = [one for one in site.system.stack.meta.requests() if one.hop == "resolve"]
    assert {one.headers["Authorization"] for one in asked} <= {f"Bearer {OWN_TOKENS.get(item.number, DEFAULT_TOKEN)}"}
    if item.kind != "image":
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "no_media")
    elif item.lends != item.number:
        assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (410, "media_expired")
    else:
        folder = item.number if item.number in PLAIN else digest(item.number)
        (media,) = [one for one in site.items(table) if (one["pk"], one["sk"]) == (f"MSG#{own_id}", "MEDIA")]
        assert answer["statusCode"] == 302
        assert media["s3_key"] == f"inline/{folder}/{own_id}/1"
        assert f"{site.system.stack.edge_url}/{media['s3_key']}?" in answer["headers"]["Location"]
        assert site.system.object(media["s3_key"]) == content_of(item.number)


@pytest.mark.timeout(600)  # what fails is made small first, which takes minutes
def test_no_tenant_reaches_another(site: Site) -> None:
    met: Counter[str] = Counter()

    @settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(world=worlds())
    def each_has_its_own(world: World) -> None:
        met.update(played(site, world))

    each_has_its_own()
    # Worlds in which nothing happens would prove nothing.
    assert (
        min(
            met[kind]
            for kind in ("stored", "foreign", "unbound", "opened", "refused", "not there", "listed", "not listed")
        )
        > 5
    ), met


def played(site: Site, world: World) -> Counter[str]:
    """Play a world, compare, and count what there was to see."""
    model, table = Model(world), f"tenants-{time.monotonic_ns()}"
    site.system.aws.forget()
    with site.playing(world, table) as invoke:
        for number, wamid in world.erased:
            site.put(table, {"pk": f"MSG#{message_id(number, wamid)}", "sk": "ERASED"})
        for old_id, named in world.aliases.items():
            site.put(table, {"pk": f"MSG#{old_id}", "sk": "ALIAS", "message_id": message_id(*named)})
        count = 0
        for secret, items in world.posts:
            marked = [(item, f"mark-{count + place}") for place, item in enumerate(items)]
            count += len(items)
            site.post(invoke, secret, marked)
            for item, mark in marked:
                model.take(secret, item, mark)
        check_table(site.items(table), model)
        assert Counter(site.system.jobs()) == Counter(model.jobs)
        assert counted() == model.counts
        seen = check_views(site, invoke, model, table) + check_listings(site, invoke, model)
    kept = {"stored": len(model.messages), "foreign": model.counts["ForeignNumber"], "unbound": len(model.events)}
    return seen + Counter(kept)


def check_listings(site: Site, invoke: Invoke, model: Model) -> Counter[str]:
    """Let each token list the conversations of each number, and read each of them; count what they met."""
    met: Counter[str] = Counter()
    for scope in model.world.scopes:
        token = site.system.token(**{"phone_numbers": None, **scope})
        for number in sorted({number for number, _ in model.world.ids.values() if number}):
            expected = {contact_id(number, phone): model.listed(scope, number, phone) for phone in PHONES}
            found = read(invoke, "/conversations", number, token).get("conversations", [])
            assert {row["contact_id"] for row in found} == {
                contact for contact in expected if model.lists(scope, number, contact)
            }
            for contact, own in expected.items():
                listed = read(invoke, f"/conversations/{contact}/messages", number, token).get("messages", [])
                assert {message["message_id"] for message in listed} == own
                met["listed" if own else "not listed"] += 1
    return met


def read(invoke: Invoke, path: str, number: str, token: str) -> Json:
    """Ask for a listing; give its body."""
    headers = {"Authorization": f"Bearer {token}"}
    event = builders.http_event("GET", path, headers=headers, query={"phone_number_id": number})
    answer = invoke("InboxFunction", event)
    assert answer["statusCode"] in {200, 404}
    body: Json = json.loads(answer["body"])
    return body


def check_views(site: Site, invoke: Invoke, model: Model, table: str) -> Counter[str]:
    """Let each token ask for each id; count what they met."""
    met: Counter[str] = Counter()
    there = {message_id(*named) for named in model.messages}
    ask(site, invoke, UNKNOWN, site.system.token())  # the process has read its secrets
    for scope in model.world.scopes:
        token = site.system.token(**{"phone_numbers": None, **scope})
        unknown = ask(site, invoke, UNKNOWN, token)
        for asked, named in model.world.ids.items():
            site.system.stack.meta.forget_requests()
            answer, calls = ask(site, invoke, asked, token)
            seen = model.seen(scope, asked)
            if seen is None:
                assert (answer, calls) == unknown
                assert site.system.stack.meta.requests() == []
                met["refused" if message_id(*named) in there else "not there"] += 1
            else:
                check_given(site, answer, *seen, table)
                met["opened"] += 1
    return met
