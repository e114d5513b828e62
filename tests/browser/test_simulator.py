"""The simulator's panel in a real browser, on the real system: what its forms send, and what it shows of it."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, ViewportSize, expect

from local.panel import CONTACTS, GROUPS
from tests.browser.pictures import picture
from tests.builders import SAMPLES, Json
from tests.integration.system import System

FILES = {
    "image": "photo.jpg",
    "video": "video.mp4",
    "voice": "voice.ogg",
    "audio": "tune.m4a",
    "document": "brochure.pdf",
    "sticker": "sticker.webp",
    "animated_sticker": "sticker-animated.webp",
}
# What is offered besides, the type that Meta gives it, and a word that is in what was stored.
OTHERS = {
    "too_large": ("video", "131052"),
    "text": ("text", "Is it still free?"),
    "location": ("location", "Praça do Comércio"),
    "contacts": ("contacts", "Bo Example"),
    "order": ("order", "life-jacket-m"),
    "unsupported": ("unsupported", "131051"),
    "button_reply": ("interactive", "Yes, please"),
    "list_reply": ("interactive", "list_reply"),
    "flow_reply": ("interactive", "By the window"),
    "button": ("button", "Yes, please"),
}
NARROW: ViewportSize = {"width": 360, "height": 740}
WIDE: ViewportSize = {"width": 1440, "height": 900}


@dataclass
class Panel:
    """The page, as somebody uses it."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def newest(self) -> Locator:
        return self.page.locator("#posts > li").first

    def choice(self, name: str) -> Locator:
        return self.page.locator("form").get_by_role("combobox", name=name, exact=True)

    def text(self, name: str) -> Locator:
        return self.page.get_by_role("textbox", name=name, exact=True)

    def number(self, name: str) -> Locator:
        return self.page.get_by_role("spinbutton", name=name, exact=True)

    def choose(self, kind: str) -> None:
        self.choice("Kind").select_option(kind)

    def more(self) -> None:
        self.page.get_by_text("Reply, age, how many").click()

    def sent(self, answer: str = "The webhook answered 200.") -> Locator:
        """Press the button; give the line that appears."""
        last = self.last_number()
        self.page.get_by_role("button", name="Send", exact=True).click()
        expect(self.page.locator("#outcome")).to_have_text(answer)
        expect(self.newest).not_to_have_attribute("data-number", last)
        return self.page.locator(f'#posts > li[data-number="{self.last_number()}"]')

    def last_number(self) -> str:
        return self.newest.get_attribute("data-number") or "" if self.newest.count() else ""

    def send_file(self, name: str, kind: str, **fields: str) -> Locator:
        if self.page.locator("#file").is_hidden():
            self.choose(kind)
        self.page.get_by_role("button", name="File", exact=True).set_input_files(SAMPLES / name)
        self.choose(kind)
        for label, value in fields.items():
            self.text(label).fill(value)
        return self.sent()

    def items(self, post: Locator) -> dict[str, str]:
        """Open a webhook; give the items that were stored, by sort key."""
        if post.locator("details.post").get_attribute("open") is None:
            post.locator("summary").first.click()
        expect(post.locator(".items > *").first).to_be_visible()
        expect(post.get_by_text("Looking…")).to_have_count(0)
        found = reversed(post.locator(".item").all())  # its own come first, and stay
        return {item.locator("strong").inner_text(): item.locator("pre").text_content() or "" for item in found}

    def close(self, post: Locator) -> None:
        """Close a webhook: what is open is read again and again."""
        post.locator("summary").first.click()

    def webhook(self, post: Locator) -> str:
        return post.get_by_role("region", name="The webhook as it was sent").text_content() or ""

    def scrolls_sideways(self) -> bool:
        wide: bool = self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        return wide


@pytest.fixture(name="panel")
def _panel(context: BrowserContext, system: System) -> Iterator[Panel]:
    panel = Panel(context.new_page())

    def said(message: ConsoleMessage) -> None:
        if message.type == "error":
            panel.complaints.append(message.text)

    panel.page.on("console", said)
    panel.page.on("pageerror", lambda error: panel.complaints.append(str(error)))
    panel.page.set_viewport_size(WIDE)
    panel.page.goto(f"{system.stack.page_url}/simulator")
    expect(panel.page.get_by_role("button", name="Send", exact=True)).to_be_enabled()
    yield panel
    assert panel.complaints == []


def stored(system: System, items: dict[str, str]) -> Json:
    """Give the message item, and see that the table has it as the panel shows it."""
    shown: Json = json.loads(items["MESSAGE"])
    assert system.message(shown["message_id"]) == shown
    return shown


@pytest.mark.timeout(180)
def test_every_kind_is_sent_stored_and_shown(panel: Panel, system: System) -> None:
    for kind, name in FILES.items():
        post = panel.send_file(name, kind)
        message = stored(system, panel.items(post))
        panel.close(post)
        assert message["provider_media_id"]
        assert system.bytes_of(message["message_id"]).content == (SAMPLES / name).read_bytes()

    for kind, (type_, word) in OTHERS.items():
        panel.choose(kind)
        if kind == "text":
            panel.text("Text").fill(word)
        post = panel.sent()
        message = stored(system, panel.items(post))
        panel.close(post)
        assert message["type"] == type_
        assert word in message["raw"]

    panel.choose("other_field")
    assert list(panel.items(panel.sent())) == ["EVENT"]


def test_reactions_edits_deletions_replies_and_statuses_are_about_other_messages(panel: Panel, system: System) -> None:
    page = panel.page
    panel.choose("text")
    panel.choice("Customer").select_option(str([contact.name for contact in CONTACTS].index("🌊 Kai")))
    panel.text("Text").fill("first")
    first = stored(system, panel.items(panel.sent()))
    assert "contact_phone" not in first

    panel.choose("reaction")
    reaction = stored(system, panel.items(panel.sent()))
    assert json.loads(reaction["raw"])["reaction"] == {"message_id": first["wamid"], "emoji": "👍"}

    panel.choose("edit")
    panel.text("New text or caption").fill("second")
    edit = panel.sent()
    assert json.loads(panel.items(edit)["MESSAGE"])["type"] == "edit"
    assert [sk.partition("#")[0] for sk in edit.locator(".item strong").all_inner_texts()] == [
        "MESSAGE",
        "MESSAGE",
        "EDIT",
    ]
    panel.choose("revoke")
    panel.sent()
    marks = {sk.partition("#")[0] for sk in system.items(f"MSG#{first['message_id']}")}
    assert marks == {"MESSAGE", "EDIT", "REVOKE"}

    panel.choose("text")
    panel.more()
    panel.choice("In reply to").select_option(first["wamid"])
    panel.text("Text").fill("an answer")
    answer = stored(system, panel.items(panel.sent()))
    assert json.loads(answer["context"])["id"] == first["wamid"]
    panel.choice("In reply to").select_option("")

    page.get_by_label("the business (echo)").check()
    panel.text("Text").fill("from us")
    echo = stored(system, panel.items(panel.sent()))
    assert (echo["direction"], echo["contact_id"]) == ("outbound", first["contact_id"])
    panel.choose("status")
    expect(page.get_by_label("the customer")).to_be_checked()
    for name in ("sent", "delivered", "read", "failed"):
        panel.choice("Status").select_option(name)
        panel.sent()
    statuses = {sk.split("#")[1] for sk in system.items(f"MSG#{echo['message_id']}") if sk.startswith("STATUS#")}
    assert statuses == {"sent", "delivered", "read", "failed"}

    panel.choose("text")
    panel.choice("Chat").select_option(next(iter(GROUPS)))
    panel.text("Text").fill("to all")
    assert stored(system, panel.items(panel.sent()))["group_id"] == next(iter(GROUPS))


@pytest.mark.timeout(180)
def test_faults_numbers_age_replay_and_forgetting(panel: Panel, system: System) -> None:
    page, meta = panel.page, system.stack.meta
    panel.choice("Break").select_option("gone")
    broken = stored(system, panel.items(panel.send_file("photo.jpg", "image", Caption="broken")))
    system.problem(broken["message_id"], 410, "media_expired")
    panel.choice("Break").select_option("")
    expect(panel.newest.locator(".item").last.locator(".fine")).to_contain_text("media_expired")

    panel.more()
    panel.number("How many").fill("100")
    hundred = panel.send_file("photo.jpg", "image", Caption="many")
    expect(hundred.locator("summary").first).to_contain_text(re.compile("^100 . Image"))
    panel.items(hundred)
    hundred.get_by_role("combobox", name="Message").select_option("99")
    expect(hundred.locator("pre").first).to_contain_text('"caption": "many (100)"')
    body = panel.webhook(hundred)
    assert len(re.findall('"type": "image"', body)) == 100

    # The same bytes again: nothing new is stored, and what is broken now strikes what was not fetched before.
    media_ids = re.findall(r'"id": "(\d{16})"', body)
    hundred.get_by_role("combobox", name="Break").select_option("always_down")
    hundred.get_by_role("button", name="Send again").click()
    expect(hundred.get_by_role("status")).to_have_text("The webhook answered 200.")
    replay = panel.newest
    expect(replay.locator("summary").first).to_contain_text(f"number {hundred.get_attribute('data-number')} again")
    panel.items(replay)
    assert panel.webhook(replay) == body
    assert {fault["media_id"] for fault in meta.faults.listed()} >= set(media_ids)
    meta.faults.clear()

    hundred.get_by_role("button", name="Forget its media").click()
    expect(hundred.get_by_role("status")).to_contain_text("forgotten 100 files")
    assert not any(map(meta.forget_media, media_ids))

    panel.number("How many").fill("3")
    panel.choice("Sent in").select_option("each")
    panel.choose("text")
    panel.text("Text").fill("each")
    panel.sent("The webhook answered 200 to 3 POSTs.")

    panel.number("How many").fill("1")
    panel.number("Age").fill("8")
    old = stored(system, panel.items(panel.send_file("photo.jpg", "image", Caption="old")))
    assert abs(time.time() - old["timestamp"] - 8 * 24 * 3600) < 120
    assert system.problem(old["message_id"], 410, "media_expired")["retryable"] is False

    panel.number("Age").fill("0")
    fresh = stored(system, panel.items(panel.send_file("photo.jpg", "image", Caption="fresh")))
    page.get_by_role("button", name="Forget all media").click()
    expect(page.locator("#forgotten")).to_contain_text("Graph has forgotten")
    system.problem(fresh["message_id"], 410, "media_expired")


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_the_panel_fits_and_is_used_by_keyboard_alone(panel: Panel, system: System, size: ViewportSize) -> None:
    page = panel.page
    page.set_viewport_size(size)
    page.keyboard.press("Tab")  # who writes
    page.keyboard.press("Tab")  # customer
    page.keyboard.press("Tab")  # chat
    page.keyboard.press("Tab")  # kind
    expect(panel.choice("Kind")).to_be_focused()
    page.keyboard.type("Text")
    page.keyboard.press("Tab")
    page.keyboard.type("<img src=x onerror=alert(1)> مرحبا")
    page.keyboard.press("Tab")  # more
    page.keyboard.press("Tab")  # send
    page.keyboard.press("Enter")
    expect(page.locator("#outcome")).to_have_text("The webhook answered 200.")
    expect(panel.newest).to_contain_text("<img src=x")
    panel.newest.locator("summary").first.focus()
    page.keyboard.press("Enter")
    assert "<img src=x" in panel.items(panel.newest)["MESSAGE"]

    for kind in page.locator("#kind option").all():
        panel.choose(str(kind.get_attribute("value")))
        assert not panel.scrolls_sideways()
    assert page.locator("#posts img").count() == 0


def test_it_can_be_used_by_everybody_and_its_picture_is_taken(panel: Panel, system: System) -> None:
    page = panel.page
    panel.choice("Customer").select_option(label="Zoë Brandt (number, user id)")
    panel.choose("text")
    panel.text("Text").fill("Hello! Is the 14:30 tour still free?")
    panel.sent()
    panel.choose("location")
    panel.sent()
    page.get_by_label("the business (echo)").check()
    panel.choose("text")
    panel.text("Text").fill("It is. Here is where we meet.")
    panel.sent()
    panel.choose("status")
    panel.choice("Status").select_option("read")
    panel.sent()
    panel.choice("Customer").select_option(label="Ana Silva (number)")
    post = panel.send_file("photo.jpg", "image", Caption="Look at this")
    system.bytes_of(stored(system, panel.items(post))["message_id"])
    expect(post.locator(".item")).to_have_count(2)
    page.get_by_text("What other systems hear").click()

    axe = Axe()
    for kind in page.locator("#kind option").all():
        panel.choose(str(kind.get_attribute("value")))
        assert violations(axe, page) == {}
    page.emulate_media(color_scheme="dark")
    assert violations(axe, page) == {}
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(NARROW)
    assert violations(axe, page) == {}
    page.set_viewport_size(WIDE)
    panel.choose("image")
    page.evaluate("scrollTo(0, 0)")
    picture(page, "simulator")
    page.locator("#posts-title").evaluate("title => { title.style.color = 'var(--line)'; }")
    assert violations(axe, page).keys() == {"color-contrast"}


def violations(axe: Axe, page: Page) -> dict[str, list[str]]:
    """Give what axe finds: the rule, and the nodes that break it."""
    found = axe.run(page).response["violations"]
    return {broken["id"]: [node["html"] for node in broken["nodes"]] for broken in found}


def test_a_refused_form_and_a_dead_simulator_are_said(panel: Panel) -> None:
    page = panel.page
    panel.choose("flow_reply")
    panel.text("Answers, as JSON").fill("no JSON")
    page.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#outcome.bad")).to_contain_text("answers")
    panel.complaints.clear()  # the browser notes the 400

    panel.more()
    panel.number("How many").fill("")
    panel.more()
    page.get_by_role("button", name="Send", exact=True).click()
    expect(panel.number("How many")).to_be_visible()  # what is wrong in it is not hidden

    page.route("**/simulator/**", lambda route: route.abort())
    expect(page.locator("#outcome.bad")).to_have_text("The simulator does not answer.")
    page.unroute_all()
    panel.complaints.clear()
