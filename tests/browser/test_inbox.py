"""The inbox, in a real browser on the real local run: what it shows, that it keeps up, and that nothing in it runs."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, Request, Route, ViewportSize, expect

from inbound.media import contact_id, message_id
from local.stack import ROOT
from tests import builders
from tests.browser.pictures import picture, pictures
from tests.builders import PAYLOADS, Json, Sample
from tests.integration.system import System

WEB = ROOT / "web"
PHONE: ViewportSize = {"width": 360, "height": 740}
DESK: ViewportSize = {"width": 1440, "height": 900}
MINUTE = 60
PATIENCE = 15_000  # milliseconds: the machine may be busy
SLOW = 30_000  # for what is fetched from Graph
JS = "text/javascript"
ADA, ADA_PHONE = "US.90000000000000000101", "15550100101"  # who writes in tests/payloads
CSP = "addEventListener('securitypolicyviolation', e => console.error('CSP', e.violatedDirective, e.blockedURI))"
SETTLED = """async () => {
    const media = [...document.querySelectorAll("whatsapp-media")];
    for (let look = 0; look < 200; look++) {
        if (media.every(element => !["loading", "pending"].includes(element.state))) return;
        await new Promise(done => setTimeout(done, 50));
    }
}"""
# What each row says besides who and when; a medium says that it is one.
SAID = """() => Object.fromEntries([...document.querySelectorAll("#messages > [id]")].map(row => {
    const copy = row.cloneNode(true);
    copy.querySelectorAll(".meta, .spoken, .quote, time").forEach(part => part.remove());
    const media = copy.querySelector("whatsapp-media") ? "medium" : "";
    return [row.id.replace("message-", ""), media + copy.textContent.trim()];
}))"""


@dataclass
class Inbox:
    """The page, and what has happened on it that must not: errors of scripts, refusals of its policy."""

    page: Page
    system: System
    number: str
    wrong: list[str] = field(default_factory=list)

    def open(self, contact: str = "") -> None:
        self.page.goto(f"{self.system.stack.page_url}/#{contact}")

    def look(self) -> None:
        """Let the page look for what is new, as one that hears of it does."""
        self.page.evaluate("dispatchEvent(new Event('inbox-news'))")

    def message(self, own_id: str) -> Locator:
        return self.page.locator(f"#message-{own_id}")

    @property
    def log(self) -> Locator:
        return self.page.get_by_role("log")

    @property
    def messages(self) -> Locator:
        return self.page.locator("#messages > .message")

    def link(self, contact: str) -> Locator:
        return self.page.locator(f"a[href='#{contact}']")

    def overflowing(self) -> list[str]:
        """Give what is wider than its room: there a bar to scroll sideways would be."""
        return list(
            self.page.evaluate("""() => [...document.querySelectorAll("html, .scroller, .bubble, .card > div")]
                .filter(part => part.scrollWidth > part.clientWidth).map(part => part.className || part.tagName)""")
        )


@pytest.fixture
def number(system: System, context: BrowserContext) -> str:
    """Give a business number of the test's own, and let the inbox show that one."""
    config = requests.get(f"{system.stack.page_url}/simulator/config", timeout=10).json()
    own = builders.any_phone_number_id()
    context.route("**/simulator/config", lambda route: route.fulfill(json=config | {"phone_number_id": own}))
    return own


@pytest.fixture
def inbox(context: BrowserContext, system: System, number: str) -> Iterator[Inbox]:
    page = context.new_page()
    page.set_viewport_size(DESK)
    inbox = Inbox(page, system, number)
    page.on("pageerror", lambda error: inbox.wrong.append(str(error)))
    page.on("console", lambda line: inbox.wrong.append(line.text) if line.text.startswith("CSP") else None)
    page.add_init_script(CSP)
    expect.set_options(timeout=PATIENCE)
    yield inbox
    expect.set_options(timeout=5_000)  # Playwright's own
    assert inbox.wrong == []


class Customer:
    """Somebody with a user id of their own, who writes to a business number."""

    def __init__(self, system: System, number: str, name: str = "Ada Example") -> None:
        self.system, self.number, self.name = system, number, name
        self.phone, self.user = builders.any_phone(), builders.any_user_id()
        self.id = contact_id(number, self.user)

    def media(self, sample: Sample, **fields: Any) -> Json:
        """Let Meta hold a file; give the message that carries it, with these fields in its media object."""
        held = self.system.stack.meta.add_media(sample.content, sample.mime_type, phone_number_id=self.number)
        return builders.media_message(sample, held.id, media=fields)

    def send(self, *messages: Json) -> list[str]:
        """Deliver messages from this customer; give the ids that they are stored under."""
        mine = [{**message, "from": self.phone, "from_user_id": self.user} for message in messages]
        contacts = [{"profile": {"name": self.name}, "wa_id": self.phone, "user_id": self.user}]
        self._post(*mine, contacts=contacts)
        return [message_id(self.number, message["id"]) for message in mine]

    def say(self, *texts: str, ago: int = 0, **fields: Any) -> list[str]:
        """Send texts, one each second, the last of them `ago` seconds ago."""
        start = int(time.time()) - ago - len(texts)
        moments = (str(start + place) for place in range(len(texts)))
        return self.send(
            *(builders.text_message(text, timestamp=at, **fields) for text, at in zip(texts, moments, strict=True))
        )

    def answered(self, text: str, **fields: Any) -> Json:
        """Echo what the business sends to this customer from its phone; give Meta's message."""
        message = builders.text_message(text, sender=self.number, to=self.phone, to_user_id=self.user, **fields)
        self._post(message, field="smb_message_echoes")
        return message

    def status(self, message: Json, name: str, **fields: Any) -> None:
        status = builders.status(name, message["id"], recipient_id=self.phone, **fields)
        self._post(statuses=[status])

    def _post(self, *messages: Json, **parts: Any) -> None:
        body = builders.notification(*messages, phone_number_id=self.number, **parts)
        assert self.system.post(body).status_code == 200


@pytest.fixture
def ada(system: System, number: str) -> Customer:
    return Customer(system, number)


@pytest.fixture
def ben(system: System, number: str) -> Customer:
    return Customer(system, number, "Ben Okafor")


# --- what it shows ------------------------------------------------------------------------------------------


def deliver_everything(customer: Customer) -> None:
    """Deliver all of tests/payloads at once, as from one customer."""
    texts = [path.read_text("utf-8") for path in sorted(PAYLOADS.glob("*.json"))]
    bodies = [json.loads(text.replace(ADA, customer.user).replace(ADA_PHONE, customer.phone)) for text in texts]
    entries = [entry for body in bodies for entry in body["entry"]]
    for change in (change for entry in entries for change in entry.get("changes", [])):
        change["value"].setdefault("metadata", {})["phone_number_id"] = customer.number
    whole = {"object": "whatsapp_business_account", "entry": entries}
    assert customer.system.post(whole).status_code == 200


def listed(customer: Customer) -> list[Json]:
    """Give all messages of a conversation, as the read API has them."""
    stack = customer.system.stack
    address = f"{stack.api_url}/conversations/{customer.id}/messages"
    asked = {"phone_number_id": customer.number, "token": stack.media_token, "limit": "100"}
    answer = requests.get(address, asked, timeout=30).json()
    found: list[Json] = answer["messages"]
    while answer["cursor"]:
        answer = requests.get(address, asked | {"cursor": answer["cursor"]}, timeout=30).json()
        found += answer["messages"]
    return found


def test_every_kind_of_message_is_shown_in_words(inbox: Inbox, ada: Customer) -> None:
    deliver_everything(ada)
    shown = [message["message_id"] for message in listed(ada) if message["type"] != "reaction"]
    assert len(shown) > 80

    inbox.open(ada.id)
    while inbox.page.locator("#messages > [id]").count() < len(shown):
        inbox.log.evaluate("log => log.scrollTop = -log.scrollHeight")
        inbox.page.wait_for_timeout(100)

    said = inbox.page.evaluate(SAID)
    assert said.keys() >= set(shown)
    assert [own_id for own_id, words in said.items() if not words] == []
    text = inbox.page.locator("body").inner_text()
    for raw in ("undefined", "[object", "NaN", "Invalid Date", '{"', "null"):
        assert raw not in text
    for words in (
        "Pier 4",
        "53.54610, -9.96610",
        "Bo Example",
        "bo@example.com",
        "life-jacket-m",
        "99.90",
        "Gift wrapped, please",
        "Old Whale",
        "13:00",
        "Book now",
        "Window, please",
        "seagull",
        "Harbour tours",
        "Forwarded many times",
        "A poll. WhatsApp does not hand it on",
        "“hologram”",
        "changed from",
        "to an earlier message",
    ):
        assert words in text
    assert inbox.overflowing() == []
    inbox.page.set_viewport_size(PHONE)
    assert inbox.overflowing() == []


def test_text_is_formatted_and_links_lead_to_the_web_only(inbox: Inbox) -> None:
    inbox.open()
    cases = {
        "a *b _c_* d": "a <strong>b <em>c</em></strong> d",
        "~s~ `*c*` ```*m*\n```": "<s>s</s> <code>*c*</code> ",
        "2*3*4 snake_case_name * a *": "2*3*4 snake_case_name * a *",
        "(https://a.example/b_c_d), www.b.example.": None,
        "javascript:alert(1) data:text/html,x file:///etc": "javascript:alert(1) data:text/html,x file:///etc",
        "<b>&amp;": "&lt;b&gt;&amp;amp;",
    }
    html = inbox.page.evaluate(
        """async texts => {
            const {formatted} = await import("/inbox-text.js");
            return texts.map(text => {
                const part = document.createElement("p");
                part.append(formatted(text));
                return part.innerHTML;
            });
        }""",
        list(cases),
    )

    found = dict(zip(cases, html, strict=True))
    links = found.pop("(https://a.example/b_c_d), www.b.example.")
    for text, expected in cases.items():
        assert expected is None or found[text].startswith(expected)
    assert 'href="https://a.example/b_c_d"' in links
    assert 'href="https://www.b.example/"' in links
    assert links.count('rel="noopener noreferrer"') == 2
    assert links.endswith("</a>.")


def test_a_message_that_cannot_be_shown_does_not_take_the_others_with_it(inbox: Inbox) -> None:
    inbox.open()
    messages = [
        {"message_id": name, "type": kind, "direction": "inbound", "timestamp": 1_790_000_000, **content}
        for name, kind, content in (
            ("a", "contacts", {"contacts": [None]}),
            ("b", "location", {"location": {"name": "Pier 4"}}),
            ("c", "text", {"text": "Fine"}),
        )
    ]
    said = inbox.page.evaluate(
        """async messages => {
            const {rowsOf, rowElement} = await import("/inbox-rows.js");
            const rows = rowsOf(messages).filter(row => row.message);
            const elements = rows.map(row => rowElement(row, {mediaChanged() {}}).element);
            return elements.map(element => element.querySelector(".bubble > :nth-child(2)").textContent);
        }""",
        messages,
    )
    assert said[:2] == ["This message cannot be shown.", "Pier 4"]
    assert said[2].startswith("Fine")


def test_hostile_text_in_every_place_runs_nothing(inbox: Inbox, system: System, number: str) -> None:
    evil = '<img src=x onerror="window.hit=1"><script>window.hit=1</script>\'"><svg onload=window.hit=1>'
    customer = Customer(system, number, evil)
    note = customer.media(builders.NOTE, filename=f"{evil}.txt", caption=evil)
    sent = customer.send(
        builders.text_message(evil),
        builders.text_message(f"*{evil}* https://example.com/{evil}"),
        note,
        builders.message(
            "location", {"latitude": 1, "longitude": 2, "name": evil, "address": evil, "url": f"javascript:{evil}"}
        ),
        builders.message(
            "contacts",
            [
                {
                    "name": {"formatted_name": evil},
                    "phones": [{"phone": evil, "type": evil}],
                    "emails": [{"email": evil}],
                }
            ],
        ),
        builders.message(
            "interactive", {"type": "list_reply", "list_reply": {"id": evil, "title": evil, "description": evil}}
        ),
        builders.message(
            "order",
            {
                "text": evil,
                "product_items": [{"product_retailer_id": evil, "quantity": 1, "item_price": 1, "currency": evil}],
            },
        ),
        builders.message("button", {"text": evil, "payload": evil}),
        builders.message(evil, {"id": evil}),
        builders.message("unsupported", {"type": evil}, errors=[{"code": 131051, "title": evil}]),
        builders.text_message("ad", referral={"headline": evil, "body": evil, "source_url": f"javascript:{evil}"}),
    )
    customer.send(builders.message("reaction", {"message_id": "wamid.none", "emoji": evil}))

    inbox.open(customer.id)
    for own_id in sent:
        expect(inbox.message(own_id)).to_be_visible()

    assert evil in inbox.link(customer.id).inner_text()
    assert inbox.page.evaluate("window.hit") is None
    assert inbox.page.locator("#inbox :is(img, script)").count() == 0
    schemes = set(inbox.page.eval_on_selector_all("#inbox a", "links => links.map(link => link.protocol)"))
    assert schemes <= {"http:", "https:", "mailto:", "tel:"}
    assert inbox.overflowing() == []
    inbox.page.set_viewport_size(PHONE)
    assert inbox.overflowing() == []


def test_media_are_shown_by_the_element(inbox: Inbox, ada: Customer) -> None:
    picture, note, lost = ada.send(
        ada.media(builders.PHOTO, caption="The *quay*") | {"timestamp": str(int(time.time()) - 30)},
        ada.media(builders.VOICE) | {"timestamp": str(int(time.time()) - 20)},
        builders.media_message(builders.PHOTO),  # Graph knows nothing of it
    )

    inbox.open(ada.id)

    element = inbox.message(picture).locator("whatsapp-media")
    expect(element).to_have_attribute("state", "ready", timeout=SLOW)
    assert element.locator("img").evaluate("image => image.naturalWidth") > 100
    expect(inbox.message(picture).locator("strong")).to_have_text("quay")
    inbox.message(note).scroll_into_view_if_needed()
    expect(inbox.message(note).locator("whatsapp-media")).to_contain_text("0:08", timeout=SLOW)
    expect(inbox.message(lost).locator("whatsapp-media")).to_have_attribute("state", "error", timeout=SLOW)
    expect(inbox.link(ada.id)).to_contain_text("Photo")


def test_the_settings_that_are_to_be_copied_work_with_a_bearer_token_and_with_a_cookie(
    inbox: Inbox, ada: Customer, context: BrowserContext
) -> None:
    (picture,) = ada.send(ada.media(builders.PHOTO))
    stack, asked = inbox.system.stack, list[str]()
    tokens: list[Json] = [{"status": 403}, {"body": "an-old-one"}]
    context.route(
        "**/media-token", lambda route: route.fulfill(**tokens.pop(0) if tokens else {"body": stack.media_token})
    )
    context.on("request", lambda request: asked.append(request.url))

    for way in ("bearer", "cookie"):
        settings = (WEB / "inbox-settings.js").read_text("utf-8").replace("https://api.example.com", stack.api_url)
        settings = settings.replace("100000000000001", ada.number).replace('media: "bearer"', f'media: "{way}"')
        context.route("**/inbox-settings.js", partial(Route.fulfill, body=settings, content_type=JS))
        inbox.page.goto("about:blank")
        inbox.open(ada.id)
        if way == "bearer":  # not signed in, at first
            expect(inbox.page.locator("#notice")).to_contain_text("Your session has ended")
            inbox.page.get_by_role("button", name="Try again").click()
        element = inbox.message(picture).locator("whatsapp-media")
        expect(element).to_have_attribute("state", "ready", timeout=SLOW)
        assert element.locator("img").evaluate("image => image.naturalWidth") > 100
        context.add_cookies([{"name": "media_token", "value": stack.media_token, "url": stack.api_url}])

    assert not [url for url in asked if "token=" in url]


# --- that it keeps up ---------------------------------------------------------------------------------------


def test_older_messages_come_while_the_reader_scrolls_and_nothing_jumps(inbox: Inbox, ada: Customer) -> None:
    texts = [f"Message {place}" for place in range(130)]
    ids = ada.say(*texts, ago=3600)

    inbox.open(ada.id)
    expect(inbox.message(ids[-1])).to_be_in_viewport()
    loaded = inbox.messages.count()
    assert loaded < 130
    moved = inbox.log.evaluate(
        """async log => {
            const top = () => row.getBoundingClientRect().top;
            log.scrollTop = -(log.scrollHeight - log.clientHeight - 300);
            const row = [...log.querySelectorAll(".message")].find(each => each.getBoundingClientRect().top > 200);
            const count = document.querySelectorAll(".message").length;
            const before = top();
            while (document.querySelectorAll(".message").length === count) await new Promise(requestAnimationFrame);
            await new Promise(done => setTimeout(done, 100));
            return top() - before;
        }"""
    )
    assert abs(moved) <= 1
    while inbox.messages.count() < 130:
        inbox.log.evaluate("log => log.scrollTop = -log.scrollHeight")
        inbox.page.wait_for_timeout(50)
    assert [text.split("\n")[0] for text in inbox.page.locator(".message .words").all_inner_texts()] == texts


def test_what_is_new_appears_without_a_reload(inbox: Inbox, ada: Customer, ben: Customer) -> None:
    (first,) = ada.say("Hello", ago=60)
    ben.say("I am Ben", ago=120)
    inbox.open(ada.id)
    expect(inbox.message(first)).to_be_visible()

    (second,) = ada.say("And again")  # found by the page itself, by and by
    expect(inbox.message(second)).to_be_in_viewport()
    expect(inbox.link(ada.id)).to_contain_text("And again")

    ben.say("Ben again")
    inbox.look()
    expect(inbox.link(ben.id)).to_contain_text("Ben again")
    expect(inbox.link(ben.id)).to_contain_text("new")
    expect(inbox.page).to_have_title("(1) Inbox")
    inbox.link(ben.id).click()
    expect(inbox.page.locator("#thread-title")).to_have_text("Ben Okafor")
    expect(inbox.page).to_have_title("Inbox")


def test_who_reads_further_up_stays_there_and_is_told(inbox: Inbox, ada: Customer) -> None:
    ada.say(*(f"Message {place}" for place in range(40)), ago=600)
    inbox.open(ada.id)
    expect(inbox.messages).to_have_count(40)
    # Without scroll anchoring, which not every browser has.
    inbox.log.evaluate("log => { log.style.overflowAnchor = 'none'; log.scrollTop = -600; }")
    place = "() => [...document.querySelectorAll('.message')].find(m => m.getBoundingClientRect().top > 200).innerText"
    before = inbox.page.evaluate(place)

    newest = ada.say("One", "Two")[-1]
    inbox.look()

    pill = inbox.page.get_by_role("button", name="2 new messages")
    expect(pill).to_be_visible()
    assert inbox.page.evaluate(place) == before
    pill.click()
    expect(inbox.message(newest)).to_be_in_viewport()
    expect(pill).to_be_hidden()


def test_ticks_edits_deletions_and_reactions_come_to_their_messages(inbox: Inbox, ada: Customer) -> None:
    sent, failed = ada.answered("On our way"), ada.answered("This one fails")
    (asked, wrong, gone) = (builders.text_message(text) for text in ("How long?", "At noon", "Never mind"))
    own = dict(zip(("asked", "wrong", "gone"), ada.send(asked, wrong, gone), strict=True))
    row = inbox.message(message_id(ada.number, sent["id"]))
    inbox.open(ada.id)
    expect(row).to_be_visible()

    for status, word in (("sent", "Sent"), ("delivered", "Delivered"), ("read", "Read")):
        ada.status(sent, status)
        inbox.look()
        expect(row.locator(".ticks")).to_have_text(word)
    ada.status(failed, "failed", errors=[{"code": 131026, "title": "Message undeliverable"}])
    edit = {"original_message_id": wrong["id"], "message": {"type": "text", "text": {"body": "At *one*"}}}
    ada.send(
        builders.message("edit", edit),
        builders.message("revoke", {"original_message_id": gone["id"]}),
        builders.message("reaction", {"message_id": sent["id"], "emoji": "👍"}),
    )
    inbox.look()

    expect(inbox.message(message_id(ada.number, failed["id"]))).to_contain_text("Message undeliverable (131026)")
    changed = inbox.message(own["wrong"])
    expect(changed.locator("strong")).to_have_text("one")
    expect(changed.locator(".meta")).to_contain_text("edited")
    changed.get_by_text("Before the edit").click()
    expect(changed.get_by_text("At noon")).to_be_visible()
    expect(inbox.message(own["gone"])).to_contain_text("This message was deleted.")
    expect(inbox.message(own["gone"])).not_to_contain_text("Never mind")
    expect(row.locator(".reactions")).to_have_text("👍 from Ada Example")

    ada.send(builders.message("reaction", {"message_id": sent["id"], "emoji": ""}, timestamp=str(int(time.time()) + 1)))
    inbox.look()
    expect(row.locator(".reactions")).to_have_count(0)


def test_it_asks_now_and_then_more_seldom_in_trouble_and_not_while_it_is_hidden(inbox: Inbox, ada: Customer) -> None:
    page, asked, unanswered = inbox.page, list[str](), list[Request]()
    page.on("request", lambda request: asked.append(request.url) if "/conversations?" in request.url else None)
    page.on("request", lambda request: unanswered.append(request))  # noqa: PLW0108  # Playwright marks what it is given
    page.on("requestfinished", lambda request: unanswered.remove(request))  # noqa: PLW0108
    page.clock.install()
    told = ada.answered("On our way", timestamp=str(int(time.time()) - 15 * MINUTE))  # what is new tells nothing of it
    ada.say("Thank you")
    inbox.open(ada.id)
    expect(inbox.messages).to_have_count(2)

    def minute_passes() -> int:
        asked.clear()
        for _ in range(20):
            page.clock.run_for(3_000)
            page.wait_for_timeout(30)
            while unanswered:  # the page's clock does not hasten the answers
                page.wait_for_timeout(30)
        return len(asked)

    ada.status(told, "read")
    assert 10 < minute_passes() <= 21
    expect(inbox.messages.locator(".ticks")).to_have_text("Read")

    refuse = partial(Route.fulfill, status=503, json={}, headers={"Access-Control-Allow-Origin": "*"})
    page.context.route("**/conversations?*", refuse)
    assert 2 <= minute_passes() <= 6
    page.context.unroute("**/conversations?*")

    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert minute_passes() == 0
    page.evaluate("delete document.hidden")
    with page.expect_request("**/conversations?*"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_quote_leads_to_what_it_answers_however_far_up(inbox: Inbox, ada: Customer) -> None:
    first = builders.text_message("The very first", timestamp=str(int(time.time()) - 9000))
    (target,) = ada.send(first)
    ada.say(*(f"Message {place}" for place in range(120)), ago=3600)
    (answer,) = ada.say("This one", context={"id": first["id"]})
    inbox.open(ada.id)

    quote = inbox.message(answer).get_by_role("button")
    expect(quote).to_contain_text("The very first")
    quote.click()

    expect(inbox.message(target)).to_be_in_viewport()
    expect(inbox.message(target)).to_be_focused()


def test_a_group_says_who_writes(inbox: Inbox, ada: Customer, ben: Customer) -> None:
    group = f"GROUP-{ada.user}"
    (one,) = ada.say("Hello everybody", ago=9, group_id=group)
    (other,) = ben.say("Hi Ada", ago=5, group_id=group)

    inbox.open(contact_id(ada.number, group))

    expect(inbox.message(one).locator(".sender")).to_contain_text("Ada Example")
    expect(inbox.message(other).locator(".sender")).to_contain_text("Ben Okafor")
    expect(inbox.page.locator("#thread-title")).to_have_text("Group chat")


def test_either_id_of_a_person_opens_their_conversation(inbox: Inbox, ada: Customer) -> None:
    (own_id,) = ada.say("Hello")
    inbox.open(contact_id(ada.number, ada.phone))

    expect(inbox.message(own_id)).to_be_visible()
    expect(inbox.page).to_have_url(f"{inbox.system.stack.page_url}/#{ada.id}")
    expect(inbox.link(ada.id)).to_have_attribute("aria-current", "true")


# --- how it is used -----------------------------------------------------------------------------------------


def test_on_a_phone_there_is_one_pane_and_a_way_back_by_keyboard_alone(inbox: Inbox, ada: Customer) -> None:
    (own_id,) = ada.say("Hello")
    inbox.page.set_viewport_size(PHONE)
    inbox.open()
    link = inbox.link(ada.id)
    expect(link).to_be_visible()
    expect(inbox.log).to_be_hidden()
    assert inbox.overflowing() == []

    link.focus()
    inbox.page.keyboard.press("Enter")
    expect(inbox.message(own_id)).to_be_visible()
    expect(link).to_be_hidden()
    expect(inbox.log).to_be_focused()
    assert inbox.overflowing() == []
    inbox.page.keyboard.press("Escape")
    expect(link).to_be_focused()
    inbox.page.keyboard.press("Enter")
    inbox.page.keyboard.press("Shift+Tab")
    expect(inbox.page.get_by_role("link", name="All conversations")).to_be_focused()
    inbox.page.keyboard.press("Enter")
    expect(link).to_be_focused()


def test_arrows_go_through_the_conversations(inbox: Inbox, ada: Customer, ben: Customer) -> None:
    ben.say("I am Ben")
    ada.say("I am Ada", ago=-5)
    inbox.open()
    inbox.link(ada.id).focus()

    inbox.page.keyboard.press("ArrowDown")
    expect(inbox.link(ben.id)).to_be_focused()
    inbox.page.keyboard.press("ArrowUp")
    expect(inbox.link(ada.id)).to_be_focused()


def test_older_conversations_come_while_the_reader_scrolls(inbox: Inbox, ada: Customer) -> None:
    start = int(time.time()) - 3600
    crowd = [builders.text_message(f"Number {place}", timestamp=str(start + place)) for place in range(70)]
    assert ada.system.post(builders.notification(*crowd, phone_number_id=ada.number)).status_code == 200
    inbox.open()
    conversations = inbox.page.locator(".conversation")
    expect(conversations).to_have_count(50)
    expect(conversations.first).to_contain_text("Number 69")

    conversations.nth(49).scroll_into_view_if_needed()

    expect(conversations).to_have_count(70)
    expect(conversations.last).to_contain_text("Number 0")


def test_troubles_are_said_and_pass(inbox: Inbox, ada: Customer) -> None:
    ada.say("Hello")
    api = f"{inbox.system.stack.api_url}/conversations*"
    answers: dict[str, Any] = {"status": 401, "json": {"code": "unauthenticated"}}
    allow = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*"}
    inbox.page.route(api, lambda route: route.fulfill(headers=allow, **answers))
    inbox.open()
    notice = inbox.page.locator("#notice")
    expect(notice).to_contain_text("Your session has ended")

    answers |= {"status": 503, "json": {"code": "internal_error"}}
    notice.get_by_role("button", name="Try again").click()
    expect(notice).to_contain_text("The server has trouble answering")

    inbox.page.context.set_offline(offline=True)
    inbox.page.unroute(api)
    inbox.look()
    expect(notice).to_contain_text("You are offline")

    inbox.page.context.set_offline(offline=False)  # which the browser tells
    expect(inbox.link(ada.id)).to_be_visible()
    expect(notice).to_be_hidden()

    inbox.page.evaluate("location.hash = 'nobody'")
    expect(inbox.page.get_by_text("This conversation is not here, or it is not yours to see.")).to_be_visible()


def test_the_simulator_stands_beside_it_and_what_it_sends_appears(inbox: Inbox, context: BrowserContext) -> None:
    context.unroute("**/simulator/config")  # it sends to the local run's own number
    inbox.open()
    frame = inbox.page.frame_locator("iframe[title=Simulator]")
    expect(frame.get_by_role("heading", name="Simulator")).to_be_visible()

    inbox.page.get_by_role("button", name="Close the simulator").click()
    expect(inbox.page.get_by_role("dialog")).to_be_hidden()
    inbox.page.set_viewport_size(PHONE)
    inbox.page.get_by_role("button", name="Simulator", exact=True).click()
    expect(frame.get_by_role("heading", name="Simulator")).to_be_visible()
    frame.get_by_role("combobox", name="Kind").select_option("Text")
    frame.get_by_role("textbox", name="Text", exact=True).fill("Sent from the panel")
    frame.get_by_role("button", name="Send", exact=True).click()
    expect(inbox.page.locator(".conversation", has_text="Sent from the panel")).to_be_attached()
    inbox.page.get_by_role("button", name="Close the simulator").click()
    expect(inbox.page.get_by_role("dialog")).to_be_hidden()


# --- how it looks -------------------------------------------------------------------------------------------


def a_day_at_the_harbour(system: System, number: str) -> str:
    """Deliver some conversations as they may be; give the contact whose one is the longest."""
    ana = Customer(system, number, "Ana Silva")
    now = int(time.time())

    def at(minutes: int) -> str:
        return str(now - MINUTE * minutes)

    asked = builders.text_message("Hello! Is there room for four on the *harbour tour* today?", timestamp=at(52))
    ana.send(asked)
    told = ana.answered("There is. At 11:00, or at 13:00 with lunch on board.", timestamp=at(50))
    chosen = builders.message(
        "interactive",
        {"type": "button_reply", "button_reply": {"id": "13", "title": "13:00 with lunch"}},
        context={"id": told["id"]},
        timestamp=at(48),
    )
    picture = ana.media(builders.PHOTO, caption="We are here. Is it _far_?") | {"timestamp": at(40)}
    ana.send(chosen, picture)
    place = {"latitude": 53.5461, "longitude": -9.9661, "name": "Pier 4", "address": "1 Example Quay"}
    ana.send(builders.message("location", place, timestamp=at(39)))
    far = ana.answered(
        "Five minutes on foot. Our boat is the blue one.", timestamp=at(30), context={"id": picture["id"]}
    )
    ana.send(builders.message("reaction", {"message_id": far["id"], "emoji": "❤"}, timestamp=at(29)))
    ana.send(ana.media(builders.VOICE) | {"timestamp": at(20)})
    late = ana.answered("Your tickets are at the counter, under B-1042: https://example.com/b-1042", timestamp=at(10))
    ana.send(builders.text_message("Thank you, see you soon!", timestamp=at(6)))
    for message in (told, far):
        ana.status(message, "read")
    ana.status(late, "delivered")
    layla = Customer(system, number, "ليلى حداد")
    layla.send(layla.media(builders.DRAWING) | {"timestamp": at(70)})
    ben = Customer(system, number, "Ben Okafor")
    ben.say("Can I come on Friday?", ago=MINUTE * 95)
    ben.status(ben.answered("Of course. Until Friday!", timestamp=at(90)), "read")
    group = {"group_id": f"GROUP-{ana.user}"}
    Customer(system, number, "Chidi Nwosu").say("The tide is early tomorrow", ago=MINUTE * 26 * 60, **group)
    zoe = Customer(system, number, "Zoë Martin")
    zoe.send(zoe.media(builders.BROCHURE) | {"timestamp": at(60 * 50)})
    mai = Customer(system, number, "Mai Tran")
    mai.send(mai.media(builders.VOICE) | {"timestamp": at(60 * 75)})
    return ana.id


def test_it_can_be_used_by_everybody_and_its_pictures_are_taken(inbox: Inbox, system: System, number: str) -> None:
    contact = a_day_at_the_harbour(system, number)
    inbox.open(contact)
    inbox.page.get_by_role("button", name="Close the simulator").click()
    expect(inbox.page.get_by_text("Thank you, see you soon!")).to_have_count(2)
    inbox.page.evaluate(SETTLED)
    for scheme in ("light", "dark"):
        inbox.page.emulate_media(color_scheme=scheme)
        assert faults(inbox.page) == []
    pictures(inbox.page, inbox.page, "inbox")

    inbox.page.set_viewport_size(PHONE)
    assert faults(inbox.page) == []
    picture(inbox.page, "inbox-phone")
    inbox.page.get_by_role("link", name="All conversations").click()
    assert faults(inbox.page) == []
    inbox.page.emulate_media(color_scheme="dark")
    picture(inbox.page, "inbox-phone-list")


def faults(page: Page) -> list[str]:
    """Give what axe finds wrong, https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md."""
    found = Axe().run(page).response["violations"]
    return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"]]
