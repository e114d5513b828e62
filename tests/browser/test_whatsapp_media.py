"""<whatsapp-media> on the true system: handlers and edge on origins of their own, bytes that a browser decodes."""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from inbound.media import message_id
from local import faults
from local.stack import STATE
from tests import builders
from tests.browser.desk import Desk
from tests.builders import Sample
from tests.integration.system import LOGS, System, running_system

SHOW = """([attributes]) => {
    const element = Object.assign(document.createElement("whatsapp-media"), attributes);
    element.id = `m${document.shown = (document.shown ?? 0) + 1}`;
    document.getElementById("thread").append(element);
    return element.id;
}"""
LARGE = 16 * 1000 * 1000 + 1  # bytes that a view does not wait for
PICTURES = [builders.PHOTO, builders.DRAWING, builders.STICKER, builders.ANIMATED_STICKER]
PLAYED = [builders.VOICE, builders.TUNE, builders.VIDEO]


@pytest.fixture(name="desk", scope="module")
def _desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


@pytest.fixture(name="system", scope="module")
def _system(desk: Desk) -> Iterator[System]:
    with running_system(STATE / f"element-{LOGS.name}", AllowedOrigins=desk.url) as system:
        desk.media_origins = f"{system.stack.api_url} {system.stack.edge_url}"
        yield system
        assert system.not_granted() == {}


@pytest.fixture(name="page", scope="module")
def _page(chromium: Browser, desk: Desk, system: System) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 900, "height": 900})
    context.set_default_timeout(10_000)
    yield opened(context, desk)
    context.close()


def opened(context: BrowserContext, desk: Desk) -> Page:
    page = context.new_page()
    page.goto(desk.url)
    page.wait_for_function("() => Boolean(customElements.get('whatsapp-media'))")
    return page


def show(page: Page, src: str, **attributes: Any) -> Locator:
    return page.locator(f"#{page.evaluate(SHOW, [{'src': src, 'loading': 'eager', **attributes}])}")


def ready(element: Locator) -> Locator:
    expect(element).to_have_attribute("state", "ready", timeout=10_000)
    return element


class Answered(NamedTuple):
    """An answer that a page got, and whether it came from the browser's own cache."""

    url: str
    status: int
    cached: bool

    @property
    def origin(self) -> str:
        return "{0.scheme}://{0.netloc}".format(urlsplit(self.url))


def watched(page: Page) -> list[Answered]:
    """Give the list of answers that the page gets from now on, redirects included; it grows."""
    answers: list[Answered] = []
    from_memory: set[str] = set()

    def note(event: Any, response: Any) -> None:
        cached = response["fromDiskCache"] or event["requestId"] in from_memory
        answers.append(Answered(response["url"], response["status"], cached))

    def requested(event: Any) -> None:
        if "redirectResponse" in event:
            note(event, event["redirectResponse"])

    session = page.context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", requested)
    session.on("Network.requestServedFromCache", lambda event: from_memory.add(event["requestId"]))
    session.on("Network.responseReceived", lambda event: note(event, event["response"]))
    session.send("Network.enable")
    return answers


def kind_of(sample: Sample) -> str:
    return "voice" if sample is builders.VOICE else sample.kind


def waiting(system: System) -> str:
    """Give a message whose picture is left to the worker, which does not run here."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(
        builders.PHOTO.content, builders.PHOTO.mime_type, phone_number_id=number, size=LARGE
    )
    message = builders.message("image", {"id": media.id, "mime_type": builders.PHOTO.mime_type})
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"])


@pytest.mark.parametrize("sample", PICTURES, ids=lambda s: s.name)
def test_a_picture_arrives_as_it_was_sent(page: Page, system: System, sample: Sample) -> None:
    element = ready(show(page, system.link(system.receive(sample)), kind=kind_of(sample)))

    shown = element.locator("img").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    assert shown == page.evaluate(
        """async bytes => {
            const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
            return [bitmap.width, bitmap.height];
        }""",
        list(sample.content),
    )


@pytest.mark.parametrize("sample", PLAYED, ids=lambda s: s.name)
def test_what_is_played_has_its_length_and_plays(page: Page, system: System, sample: Sample) -> None:
    element = ready(show(page, system.link(system.receive(sample))))  # which kind it is, the proxy says

    assert element.evaluate("e => e.shadowRoot.querySelector('.root').classList[1]") == kind_of(sample)
    tag = element.locator("audio, video")
    assert 5 < tag.evaluate("e => e.duration") < 10
    tag.evaluate("e => { e.muted = true; return e.play(); }")
    page.wait_for_function("e => e.currentTime > 0", arg=tag.element_handle())


def test_seeking_into_the_middle_asks_for_a_range_and_plays_on(page: Page, system: System) -> None:
    answers = watched(page)
    element = ready(show(page, system.link(system.receive(builders.VIDEO)), kind="video"))
    video = element.locator("video")

    middle = video.evaluate("v => { v.muted = true; v.currentTime = v.duration / 2; return v.currentTime; }")
    video.evaluate("v => v.play()")

    page.wait_for_function("([v, middle]) => v.currentTime > middle", arg=[video.element_handle(), middle])
    ranges = [one for one in answers if one.url.startswith(system.stack.edge_url) and one.status == 206]
    assert ranges
    origins = {one.origin for one in answers if one.url.startswith("http")}  # the controls have data of their own
    assert origins == {system.stack.api_url, system.stack.edge_url}


def test_a_document_is_saved_under_its_name(page: Page, system: System) -> None:
    element = ready(show(page, system.link(system.receive(builders.BROCHURE))))  # name and size are asked for
    assert "brochure.pdf" in element.evaluate("e => e.shadowRoot.querySelector('.info').innerText")

    with page.expect_download() as download:
        element.get_by_role("link", name="Download").click()

    assert download.value.suggested_filename == "brochure.pdf"
    assert download.value.path().read_bytes() == builders.BROCHURE.content


def test_a_picture_that_the_worker_has_to_fetch_appears_by_itself(page: Page, system: System) -> None:
    own_id = waiting(system)
    element = show(page, system.link(own_id), kind="image")
    expect(element).to_have_attribute("state", "pending")

    assert system.work(own_id) == []

    assert ready(element).locator("img").evaluate("e => e.naturalWidth") > 100


def test_what_meta_no_longer_has_is_gone(page: Page, system: System) -> None:
    own_id = refused(system, faults.Gone())

    element = show(page, system.link(own_id), kind="image", filename="harbour.jpg")

    expect(element).to_have_attribute("state", "gone")
    expect(element.get_by_role("status")).to_have_text("WhatsApp no longer has this file. Ask for it to be sent again.")
    assert "harbour.jpg" in element.evaluate("e => e.shadowRoot.querySelector('.info').innerText")


def test_what_meta_refuses_for_a_moment_is_had_by_the_button(page: Page, system: System) -> None:
    own_id = refused(system, faults.RateLimited(retry_after=30))
    element = show(page, system.link(own_id), kind="image")
    expect(element).to_have_attribute("state", "error")
    expect(element.get_by_role("status")).to_have_text("WhatsApp is busy.")

    system.stack.meta.faults.clear()
    system.change(own_id, "MEDIA", next_attempt_at=0)  # as half a minute later
    element.get_by_role("button", name="Try again").click()

    ready(element)


def refused(system: System, *given: faults.Fault) -> str:
    """Give a picture that Graph does not hand over at once."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(builders.PHOTO.content, builders.PHOTO.mime_type, phone_number_id=number)
    system.stack.meta.faults.add(media.id, *given)
    message = builders.media_message(builders.PHOTO, media.id)
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"])


def test_an_object_that_has_left_the_bucket_is_fetched_anew_past_the_redirect_that_the_browser_keeps(
    page: Page, system: System
) -> None:
    own_id = system.receive()
    ready(show(page, system.link(own_id), kind="image"))
    key = system.media(own_id)["s3_key"]
    system.client("s3").delete_object(Bucket=system.stack.bucket_name, Key=key)
    page.context.new_cdp_session(page).send("Network.clearBrowserCache")
    page.evaluate(
        "src => new Promise(done => { const i = new Image(); i.onerror = done; i.src = src; })", system.link(own_id)
    )

    element = ready(show(page, system.link(own_id), kind="image"))  # the redirect is in the cache, and leads nowhere

    assert system.media(own_id)["s3_key"] != key
    assert element.locator("img").evaluate("e => e.naturalWidth") > 100


def test_the_second_look_at_thirty_pictures_asks_nobody(chromium: Browser, desk: Desk, system: System) -> None:
    links = [system.link(own_id) for own_id in album(system, 30)]
    context = chromium.new_context(viewport={"width": 900, "height": 900})
    try:
        page = opened(context, desk)
        first = watched(page)
        look(page, links)
        assert sum(not one.cached for one in first) == 60  # a redirect and a file for each

        page.goto(desk.url)
        page.wait_for_function("() => Boolean(customElements.get('whatsapp-media'))")
        second = watched(page)
        system.aws.forget()
        began = time.monotonic()
        look(page, links)
        print(f"thirty pictures in the browser's cache are shown within {(time.monotonic() - began) * 1000:.0f} ms")

        assert [one for one in second if not one.cached] == []
        assert system.aws.calls == []

        page.evaluate("document.getElementById('thread').replaceChildren()")
        print(f"one of them, from a click until it is painted: {page.evaluate(UNTIL_PAINTED, links[0]):.0f} ms")
        asked = system.receive()
        system.bytes_of(asked)
        print(f"one that we have but the browser has not: {page.evaluate(UNTIL_PAINTED, system.link(asked)):.0f} ms")
    finally:
        context.close()


def album(system: System, count: int) -> list[str]:
    """Let so many pictures come at once; give their ids."""
    number, meta = system.stack.phone_number_id, system.stack.meta
    sent = [
        builders.media_message(
            builders.PHOTO,
            meta.add_media(builders.PHOTO.content, builders.PHOTO.mime_type, phone_number_id=number).id,
        )
        for _ in range(count)
    ]
    assert system.post(builders.notification(*sent, phone_number_id=number)).status_code == 200
    return [message_id(number, message["id"]) for message in sent]


UNTIL_PAINTED = """src => new Promise(done => {
    const began = performance.now();
    const element = Object.assign(document.createElement("whatsapp-media"), {src, kind: "image"});
    element.addEventListener("load", () => requestAnimationFrame(() => requestAnimationFrame(
        () => done(performance.now() - began))));
    document.getElementById("thread").append(element);
})"""


def look(page: Page, links: list[str]) -> None:
    for link in links:
        show(page, link, kind="image")
    page.wait_for_function("() => document.querySelectorAll('whatsapp-media[state=ready]').length === 30")
    page.wait_for_timeout(200)


def test_with_a_bearer_token_every_kind_is_shown(page: Page, system: System) -> None:
    for sample in (builders.PHOTO, builders.VOICE, builders.VIDEO):
        link = system.link(system.receive(sample)).partition("?")[0]
        own_id = page.evaluate(
            """([src, token]) => {
                const element = document.createElement("whatsapp-media");
                Object.assign(element, {src, getToken: async () => token, loading: "eager", id: src.split("/").at(-1)});
                document.getElementById("thread").append(element);
                return element.id;
            }""",
            [link, system.token()],
        )
        ready(page.locator(f"[id='{own_id}']"))


def test_a_cookie_is_enough(chromium: Browser, desk: Desk, system: System) -> None:
    context = chromium.new_context()
    context.add_cookies([{"name": "media_token", "value": system.token(), "url": system.stack.api_url}])
    try:
        page = opened(context, desk)
        ready(show(page, system.link(system.receive()).partition("?")[0], kind="image"))
        ready(show(page, system.link(system.receive(builders.BROCHURE)).partition("?")[0]))  # asks with the cookie, too
    finally:
        context.close()
