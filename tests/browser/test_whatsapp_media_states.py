"""<whatsapp-media> before a proxy that says what it is told: every state, every code, and nothing left behind."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect
from werkzeug.wrappers import Request, Response

from inbound import errors
from inbound.errors import MediaError
from tests import builders
from tests.browser.desk import Answer, Desk
from tests.browser.pictures import pictures
from tests.builders import Sample
from tools.error_docs import documented

CODES = documented(MediaError)
PHONE = {"width": 400, "height": 800}
# What may keep an element alive or doing things after it has gone.
COUNTED = """
counted = {timers: new Set(), listeners: 0, fetches: 0};
const {setTimeout: later, clearTimeout: never, fetch: ask, addEventListener: listen} = window;
window.setTimeout = (act, ...rest) => {
    const timer = later(() => { counted.timers.delete(timer); act?.(); }, ...rest);
    counted.timers.add(timer);
    return timer;
};
window.clearTimeout = timer => { counted.timers.delete(timer); never(timer); };
window.addEventListener = (type, act, options) => {
    if (options?.signal) {
        counted.listeners++;
        options.signal.addEventListener("abort", () => counted.listeners--);
    }
    listen.call(window, type, act, options);
};
window.fetch = async (...all) => {
    counted.fetches++;
    try { return await ask(...all); } finally { counted.fetches--; }
};
"""
SHOW = """([attributes, properties]) => {
    const element = document.createElement("whatsapp-media");
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    Object.assign(element, properties);
    element.id = `m${document.shown = (document.shown ?? 0) + 1}`;
    document.getElementById("thread").append(element);
    return element.id;
}"""


@pytest.fixture(name="desk", scope="module")
def _desk() -> Iterator[Desk]:
    with Desk() as desk:
        yield desk


@pytest.fixture(name="opened", scope="module")
def _opened(chromium: Browser, desk: Desk) -> Iterator[Page]:
    """Give the page of all tests of this file. None of them may make it fail, or do what its policy forbids."""
    context = chromium.new_context(viewport={"width": 900, "height": 900}, device_scale_factor=2, locale="en-GB")
    context.set_default_timeout(10_000)
    context.add_init_script(COUNTED)
    page = context.new_page()
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.goto(desk.url)
    page.wait_for_function("() => Boolean(customElements.get('whatsapp-media'))")
    yield page
    assert failures == []
    assert page.evaluate("violations") == []
    context.close()


@pytest.fixture(name="page")
def _page(opened: Page) -> Iterator[Page]:
    yield opened
    opened.evaluate("document.getElementById('thread').replaceChildren()")
    opened.evaluate("document.activeElement?.blur(); scrollTo(0, 0)")


Shows = Callable[..., Locator]


@pytest.fixture(name="show")
def _show(page: Page) -> Shows:
    """Put an element on the page: `show(src, kind=…, mime_type=…)`."""

    def show(src: str, **attributes: Any) -> Locator:
        given = {name.replace("_", "-"): str(value) for name, value in attributes.items()}
        return page.locator(f"#{page.evaluate(SHOW, [{'src': src, **given}, {}])}")

    return show


def state_is(element: Locator, state: str) -> None:
    """Wait for a state; it is the only one, for styles old and new."""
    expect(element).to_have_attribute("state", state)
    matching = element.evaluate(
        "e => ['loading', 'pending', 'ready', 'error', 'gone'].filter(s => e.matches(`:state(${s})`))"
    )
    assert matching == [state] == [element.evaluate("e => e.state")]


def about(sample: Sample, **more: Any) -> dict[str, Any]:
    """Give the attributes of a file, as a page knows them from the read API."""
    kind = "voice" if sample is builders.VOICE else sample.kind
    known = {"kind": kind, "filename": sample.name, "mime_type": sample.mime_type, "size": len(sample.content)}
    return {**known, "caption": f"This is {sample.name}", **more}


def at_once(sample: Sample, **more: Any) -> dict[str, Any]:
    """Give the attributes of a file that is loaded wherever it is on the page."""
    return about(sample, loading="eager", **more)


def message(element: Locator) -> Locator:
    return element.get_by_role("status")


def again(element: Locator) -> Locator:
    return element.get_by_role("button", name="Try again")


def shown_text(element: Locator) -> str:
    """Give what is to be read, without what is hidden."""
    text: str = element.evaluate("e => e.shadowRoot.querySelector('.root').innerText")
    return text


# --- every code ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", CODES, ids=lambda error: str(error.code))
def test_every_code_has_a_text_and_a_button_where_it_helps_and_the_file_is_still_named(
    page: Page, desk: Desk, show: Shows, error: type[MediaError]
) -> None:
    element = show(desk.src(desk.refused(error())), **about(builders.PHOTO))

    state_is(element, "error" if error.retryable else "gone")
    expect(message(element)).to_have_text(
        page.evaluate("c => customElements.get('whatsapp-media').texts[c]", error.code)
    )
    expect(again(element)).to_have_count(int(error.retryable))
    text = shown_text(element)
    for known in ("photo.jpg", "JPG", "kB", "This is photo.jpg"):
        assert known in text


def test_every_code_has_a_text_of_its_own(page: Page) -> None:
    texts = page.evaluate("customElements.get('whatsapp-media').texts")

    of_codes = [texts[error.code] for error in CODES]
    assert len(set(of_codes)) == len(CODES)
    assert all(of_codes)


@pytest.mark.parametrize(
    "sample", [builders.VOICE, builders.VIDEO, builders.STICKER, builders.BROCHURE], ids=lambda s: s.kind
)
def test_every_kind_says_why_it_is_not_there(desk: Desk, show: Shows, sample: Sample) -> None:
    src = desk.src(desk.refused(errors.MediaExpired(final=True), sample))

    element = show(
        src, kind="voice" if sample is builders.VOICE else sample.kind
    )  # a document without a name asks at once

    state_is(element, "gone")
    expect(message(element)).to_contain_text("no longer has this file")
    assert sample.name in shown_text(element)  # as the proxy says
    expect(element.locator("audio:visible, video:visible, img:visible")).to_have_count(0)


def test_an_unknown_code_and_an_answer_that_is_no_json_are_a_fault_of_ours(desk: Desk, show: Shows) -> None:
    gateway = Response("<b>Bad gateway</b>", 502, content_type="text/html")
    newer = Response('{"code": "constructor", "retryable": true}', 500, content_type="application/problem+json")

    for answer in (gateway, newer):
        element = show(desk.src(always(answer)), kind="image")
        state_is(element, "error")
        expect(message(element)).to_have_text("Something went wrong on our side.")
        expect(again(element)).to_have_count(1)


def always(response: Response) -> Answer:
    return lambda _: response


def test_a_proxy_that_cannot_be_reached_is_told_from_no_network_at_all(page: Page, desk: Desk, show: Shows) -> None:
    nobody = f"{desk.proxy_url}/media/messages/nobody"
    page.route(nobody, lambda route: route.abort())

    element = show(nobody, kind="image")
    state_is(element, "error")
    expect(message(element)).to_have_text("The server cannot be reached.")

    page.context.set_offline(True)
    try:
        element = show(nobody, kind="image")
        state_is(element, "error")
        expect(message(element)).to_have_text("You are offline.")
    finally:
        page.context.set_offline(False)
        page.unroute(nobody)


def test_texts_can_be_others_for_all_and_for_one(page: Page, desk: Desk, show: Shows) -> None:
    gone = desk.src(desk.refused(errors.MediaExpired(final=True)))
    page.evaluate("original = {...customElements.get('whatsapp-media').texts}")
    try:
        page.evaluate("customElements.get('whatsapp-media').texts.media_expired = 'Não existe mais'")
        first, second = show(gone, kind="image"), show(gone, kind="image")
        expect(message(first)).to_have_text("Não existe mais")

        second.evaluate("e => { e.texts = {media_expired: 'Weg', image: 'Bild'} }")

        expect(message(second)).to_have_text("Weg")
        assert "Bild" in shown_text(second)
        expect(message(first)).to_have_text("Não existe mais")
    finally:
        page.evaluate("Object.assign(customElements.get('whatsapp-media').texts, original)")


# --- on its way, and again -------------------------------------------------------------------------------------------


def test_what_is_on_its_way_says_so_and_appears_by_itself(desk: Desk, show: Shows) -> None:
    src = desk.src(desk.pending(builders.PHOTO), desk.pending(builders.PHOTO), desk.ready(builders.PHOTO))

    element = show(src)  # the kind, too, is asked for

    state_is(element, "pending")
    expect(message(element)).to_have_text("On its way from WhatsApp")
    assert element.locator("[part=frame]").get_attribute("aria-busy") == "true"
    state_is(element, "ready")
    expect(message(element)).to_have_text("")
    assert element.locator("img").evaluate("e => e.naturalWidth") > 100


def test_it_asks_again_when_it_was_told_to_and_not_before(desk: Desk, show: Shows) -> None:
    src = desk.src(
        desk.refused(errors.RateLimited(retry_after=2)),
        desk.refused(errors.RateLimited(retry_after=2)),
        desk.ready(builders.PHOTO),
    )
    began = time.monotonic()

    element = show(src, kind="image")  # the tag and the question why are the first two

    state_is(element, "error")
    state_is(element, "ready")
    assert 2 <= time.monotonic() - began < 4


def test_it_asks_by_itself_a_few_times_and_then_when_the_button_is_pressed(page: Page, desk: Desk, show: Shows) -> None:
    src = desk.src(desk.refused(errors.GraphUnavailable()))
    with hurried(page):
        element = show(src, kind="image")
        state_is(element, "error")
        page.wait_for_timeout(1000)
        assert len(desk.asked_for(src)) == 1 + 1 + 3

        desk.answer(src, desk.ready(builders.PHOTO))
        again(element).click()

        state_is(element, "ready")
        expect(again(element)).to_have_count(0)


@contextmanager
def hurried(page: Page) -> Iterator[None]:
    """Let what the page waits for take a hundredth of the time."""
    page.evaluate("real = setTimeout; window.setTimeout = (act, wait) => real(act, wait / 100)")
    try:
        yield
    finally:
        page.evaluate("window.setTimeout = real")


def test_what_is_gone_is_not_asked_for_again(page: Page, desk: Desk, show: Shows) -> None:
    src = desk.src(desk.refused(errors.MediaTooLarge()))

    with hurried(page):
        state_is(show(src, kind="image"), "gone")
        page.wait_for_timeout(300)

    assert len(desk.asked_for(src)) == 2  # the tag, and the question why


def test_a_redirect_that_the_browser_has_kept_and_that_leads_nowhere_is_not_taken_again(
    page: Page, desk: Desk, show: Shows
) -> None:
    src = desk.src(desk.ready(builders.PHOTO, f"broken-{time.monotonic()}.jpg"), desk.ready(builders.PHOTO))
    page.evaluate("src => new Promise(done => { const img = new Image(); img.onerror = done; img.src = src; })", src)
    assert len(desk.asked_for(src)) == 1

    element = show(src, kind="image")

    state_is(element, "ready")
    assert [(one.query.get("retry"), one.as_json) for one in desk.asked_for(src)[1:]] == [("1", True)]


def test_a_file_whose_bytes_never_come_offers_the_file_and_the_button(desk: Desk, show: Shows) -> None:
    src = desk.src(desk.ready(builders.PHOTO, "broken.jpg"))

    element = show(src, kind="image")

    state_is(element, "error")
    expect(message(element)).to_contain_text("Download it instead")
    expect(element.get_by_role("link", name="Download")).to_be_visible()
    expect(again(element)).to_be_visible()
    again(element).click()
    expect(again(element)).to_be_visible()
    assert [one.query.get("retry") for one in desk.asked_for(src)][:2] == [None, "1"]


# --- bearer tokens ---------------------------------------------------------------------------------------------------


def let_in(answer: Answer, token: str) -> Answer:
    """Give an answer for the holder of a token."""

    def checked(request: Request) -> Response:
        if request.headers.get("Authorization") == f"Bearer {token}":
            return answer(request)
        return Response('{"code": "unauthenticated", "retryable": false}', 401)

    return checked


@pytest.mark.parametrize("provider", ["() => 'good'", "async () => 'good'", "renew => renew ? 'good' : 'old'"])
def test_a_function_of_the_page_gives_the_token(page: Page, desk: Desk, provider: str) -> None:
    src = desk.src(let_in(desk.ready(builders.PHOTO), "good"))
    page.context.add_cookies([{"name": "media_token", "value": "of-somebody", "url": desk.proxy_url}])

    own_id = page.evaluate(
        f"""src => {{
            const element = document.createElement("whatsapp-media");
            Object.assign(element, {{src, getToken: {provider}, id: "by-token"}});
            document.getElementById("thread").append(element);
            return element.id;
        }}""",
        src,
    )

    state_is(page.locator(f"#{own_id}"), "ready")
    assert {one.as_json for one in desk.asked_for(src)} == {True}
    assert {one.cookie for one in desk.asked_for(src)} == {None}
    page.context.clear_cookies()


def test_a_token_that_is_refused_twice_ends_in_a_text(page: Page, desk: Desk, show: Shows) -> None:
    element = show(desk.src(let_in(desk.ready(builders.PHOTO), "good")))
    element.evaluate("e => { e.getToken = () => 'bad'; e.retry(); }")

    state_is(element, "gone")
    expect(message(element)).to_contain_text("session has ended")


# --- one after the other ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_json", [False, True])
def test_a_source_that_changes_in_mid_flight_shows_only_the_new_one(
    page: Page, desk: Desk, show: Shows, by_json: bool
) -> None:
    go = threading.Event()
    late = desk.src(desk.held(desk.ready(builders.PHOTO, f"late-{by_json}.jpg"), go))
    soon = desk.src(desk.ready(builders.DRAWING))
    element = show(late, **({} if by_json else {"kind": "image"}))
    wait_until(page, lambda: desk.asked_for(late))

    page.evaluate("states = []")
    element.evaluate("e => e.addEventListener('statechange', ({detail}) => states.push(detail.state))")
    element.evaluate("(e, src) => { e.src = src; }", soon)
    state_is(element, "ready")
    go.set()
    page.wait_for_timeout(300)

    assert page.evaluate("states") in (["ready"], ["loading", "ready"])
    expect(element.locator("img")).to_have_count(1)
    assert size_of(page, desk.file(builders.DRAWING)) == natural(element) != size_of(page, desk.file(builders.PHOTO))
    assert "drawing" in shown_text(element) or not by_json


def wait_until(page: Page, true: Callable[[], object]) -> None:
    for _ in range(200):
        if true():
            return
        page.wait_for_timeout(25)
    raise AssertionError("it has not happened")


def natural(element: Locator) -> list[int]:
    size: list[int] = element.locator("img").first.evaluate("e => [e.naturalWidth, e.naturalHeight]")
    return size


def size_of(page: Page, url: str) -> list[int]:
    size: list[int] = page.evaluate(
        """src => new Promise(done => {
            const img = Object.assign(new Image(), {src});
            img.onload = () => done([img.naturalWidth, img.naturalHeight]);
        })""",
        url,
    )
    return size


def test_an_element_that_is_removed_leaves_nothing_behind(page: Page, desk: Desk, show: Shows) -> None:
    go = threading.Event()
    sources = {
        "pending": desk.src(desk.pending(builders.PHOTO)),
        "error": desk.src(desk.refused(errors.GraphUnavailable(retry_after=1))),
        "flying": desk.src(desk.held(desk.ready(builders.PHOTO), go)),
        "video": desk.src(desk.ready(builders.VIDEO)),
    }
    elements = {name: show(src, **({"kind": "video"} if name == "video" else {})) for name, src in sources.items()}
    for name, state in (("pending", "pending"), ("error", "error"), ("video", "ready")):
        state_is(elements[name], state)
    wait_until(page, lambda: desk.asked_for(sources["flying"]))
    held = page.evaluate("({...counted, timers: counted.timers.size})")
    assert held["timers"] >= 2
    assert held["fetches"] >= 1
    page.evaluate("weak = [...document.querySelectorAll('whatsapp-media')].map(one => new WeakRef(one))")
    page.evaluate("videos = [document.querySelector('[kind=video]').shadowRoot.querySelector('video')]")

    page.evaluate("document.getElementById('thread').replaceChildren()")
    page.wait_for_timeout(100)

    assert page.evaluate("[counted.timers.size, counted.listeners, counted.fetches]") == [0, 0, 0]
    assert page.evaluate("(([v]) => [v.getAttribute('src'), v.networkState, v.isConnected])(videos.splice(0))") == [
        None,
        0,
        False,
    ]
    so_far = len(desk.asked)
    go.set()
    page.wait_for_timeout(2500)  # longer than any of them would have waited
    assert len(desk.asked) == so_far
    page.request_gc()
    assert page.evaluate("weak.filter(one => one.deref()).length") == 0


def test_an_element_that_is_only_moved_stays_as_it_is(page: Page, desk: Desk, show: Shows) -> None:
    element = show(desk.src(desk.ready(builders.PHOTO)), kind="image")
    state_is(element, "ready")
    page.evaluate("states = []")
    element.evaluate("e => e.addEventListener('statechange', ({detail}) => states.push(detail.state))")

    element.evaluate("e => document.getElementById('thread').prepend(e)")

    page.wait_for_timeout(200)
    assert page.evaluate("states") == []
    state_is(element, "ready")


def test_properties_may_be_set_before_the_element_is_defined(page: Page, desk: Desk) -> None:
    src = desk.src(let_in(desk.ready(builders.PHOTO), "good"))

    page.evaluate(
        """src => {
            const element = document.createElement("early-media");
            const texts = {image: "Foto"};
            Object.assign(element, {src, getToken: () => "good", texts, mimeType: "image/jpeg", id: "early"});
            document.getElementById("thread").append(element);
            const media = customElements.get("whatsapp-media");
            media.define("early-media");
            media.define("early-media");
            media.define();
        }""",
        src,
    )

    early = page.locator("#early")
    state_is(early, "ready")
    assert early.get_attribute("mime-type") == "image/jpeg"
    assert early.evaluate("e => [e.texts.image, e.texts.video, Object.keys(e)]") == ["Foto", "Video", ["getToken"]]


def test_events_say_what_happens(page: Page, desk: Desk) -> None:
    src = desk.src(desk.refused(errors.MediaExpired(final=True)))
    events = page.evaluate(
        """([good, bad]) => new Promise(done => {
            const element = document.createElement("whatsapp-media");
            const heard = [];
            for (const type of ["load", "error", "statechange"]) element.addEventListener(type, e => {
                heard.push([type, e.detail.state, e.detail.code, e.detail.retryable]);
                if (type === "load") element.src = bad;
                if (type === "error") done(heard);
            });
            Object.assign(element, {src: good, kind: "image"});
            document.getElementById("thread").append(element);
        })""",
        [desk.src(desk.ready(builders.PHOTO)), src],
    )

    assert events == [
        ["statechange", "loading", "", False],
        ["statechange", "ready", "", False],
        ["load", "ready", "", False],
        ["statechange", "loading", "", False],
        ["statechange", "gone", "media_expired", False],
        ["error", "gone", "media_expired", False],
    ]


# --- playing ---------------------------------------------------------------------------------------------------------


def test_a_video_whose_address_has_ended_goes_on_where_it_was(page: Page, desk: Desk, show: Shows) -> None:
    src = desk.src(desk.ready(builders.VIDEO, "ending.mp4"), desk.ready(builders.VIDEO))
    element = show(src, kind="video")
    state_is(element, "ready")
    video = element.locator("video")
    page.evaluate("heard = []")
    video.evaluate(
        """v => {
            for (const type of ["error", "playing", "ended"])
                v.addEventListener(type, () => heard.push([type, v.currentTime]));
            v.muted = true;
            v.defaultPlaybackRate = v.playbackRate = 2;
            v.currentTime = 2;
            v.play();
        }"""
    )
    desk.over.set()

    page.wait_for_function("() => heard.some(([type]) => type === 'ended')")

    heard = page.evaluate("heard")
    (stopped,) = [at for type_, at in heard if type_ == "error"]
    (resumed,) = [at for type_, at in heard[heard.index(["error", stopped]) :] if type_ == "playing"]
    assert 2 <= stopped < resumed + 0.1 < stopped + 1
    assert [one.query for one in desk.asked_for(src)][-1] == {"retry": "1"}
    state_is(element, "ready")


def test_a_type_that_the_browser_cannot_play_is_not_even_fetched(desk: Desk, show: Shows) -> None:
    src = desk.src(desk.ready(builders.VOICE))

    element = show(src, kind="audio", mime_type="audio/x-unheard-of", filename="song.xyz")

    state_is(element, "error")
    expect(message(element)).to_contain_text("cannot show this file")
    expect(again(element)).to_have_count(0)
    expect(element.get_by_role("link", name="Download")).to_be_visible()
    assert desk.asked_for(src) == []


def test_a_voice_note_has_its_length_and_three_speeds(page: Page, desk: Desk, show: Shows) -> None:
    element = show(desk.src(desk.ready(builders.VOICE)), **about(builders.VOICE))
    state_is(element, "ready")

    audio = element.locator("audio")
    duration = round(audio.evaluate("a => a.duration"))
    assert f"0:{duration:02}" in shown_text(element)
    speeds = []
    for _ in range(4):
        button = element.get_by_role("button", name=re.compile("Playback speed"))
        speeds.append((button.inner_text(), audio.evaluate("a => a.playbackRate")))
        button.click()
    assert speeds == [("1\u00d7", 1), ("1.5\u00d7", 1.5), ("2\u00d7", 2), ("1\u00d7", 1)]


def test_a_voice_note_whose_length_is_known_costs_nothing_until_it_is_played(
    page: Page, desk: Desk, show: Shows
) -> None:
    src = desk.src(desk.pending(builders.VOICE), desk.ready(builders.VOICE))
    element = show(src, **about(builders.VOICE, duration=7))
    state_is(element, "ready")
    assert "0:07" in shown_text(element)
    assert desk.asked_for(src) == []

    element.locator("audio").evaluate("a => { a.muted = true; a.play().catch(() => {}); }")

    page.wait_for_function("a => a.currentTime > 0", arg=element.locator("audio").element_handle())


# --- documents -------------------------------------------------------------------------------------------------------


def test_a_document_is_a_card_that_asks_nothing_until_it_is_wanted(page: Page, desk: Desk, show: Shows) -> None:
    src = desk.src(desk.ready(builders.BROCHURE))
    element = show(src, **about(builders.BROCHURE))
    state_is(element, "ready")
    assert desk.asked_for(src) == []
    text = shown_text(element)
    for known in ("brochure.pdf", "PDF", "kB"):
        assert known in text

    with page.context.expect_event("response", lambda response: "/files/" in response.url):
        element.get_by_role("link", name="Download").click()

    (asked,) = desk.asked_for(src)
    assert (asked.query, asked.as_json) == ({"download": "1"}, True)


def test_a_document_that_is_not_there_says_so_in_its_card(page: Page, desk: Desk, show: Shows) -> None:
    src = desk.src(desk.refused(errors.MediaUnavailable()))
    element = show(src, **about(builders.LETTER))

    element.get_by_role("link", name="Download").click()

    state_is(element, "gone")
    expect(message(element)).to_contain_text("did not deliver")
    assert "letter.docx" in shown_text(element)
    expect(element.get_by_role("link")).to_have_count(0)
    assert page.url.rstrip("/") == desk.url


def test_a_picture_that_is_shown_stays_when_its_download_fails(desk: Desk, show: Shows) -> None:
    src = desk.src(desk.ready(builders.PHOTO), desk.refused(errors.RateLimited()))
    element = show(src, kind="image")
    state_is(element, "ready")

    element.get_by_role("link", name="Download").click()

    expect(message(element)).to_have_text("WhatsApp is busy.")
    state_is(element, "ready")
    expect(element.locator("img")).to_be_visible()


# --- strangers -------------------------------------------------------------------------------------------------------

MARKUP = '<img src=x onerror="hacked = 1">'


def test_what_strangers_write_is_text_and_leads_nowhere(page: Page, desk: Desk, show: Shows) -> None:
    about_it = {"filename": MARKUP, "caption": MARKUP, "type": "constructor", "mime_type": MARKUP, "size": MARKUP}
    answer = {"url": "javascript:hacked=1", "media": about_it, "code": MARKUP, "retryable": True}
    src = desk.src(always(Response(json.dumps(answer), 200, content_type="application/json")))
    elements = [
        show(src),
        show(
            desk.src(desk.refused(errors.NoMedia())),
            filename=MARKUP,
            caption=MARKUP,
            kind=MARKUP,
            alt=MARKUP,
            width=MARKUP,
        ),
        show("javascript:hacked=1", kind="document", filename="x"),
        show(desk.src(desk.ready(builders.PHOTO)), kind="constructor", filename="x"),
    ]
    state_is(elements[0], "error")
    state_is(elements[3], "ready")
    for element in elements[:2]:
        assert MARKUP in shown_text(element)
    elements[1].get_by_role("link", name="Download").click()
    state_is(elements[1], "gone")

    assert elements[2].locator("a").get_attribute("href") == ""
    assert page.evaluate("[typeof hacked, document.querySelectorAll('img').length]") == ["undefined", 0]


def test_the_page_would_know_of_what_its_policy_forbids(page: Page) -> None:
    assert page.evaluate("violations") == []
    try:
        page.evaluate("document.body.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))")
        page.wait_for_function("() => violations.length === 1")
    finally:
        page.evaluate("document.querySelector('body > style').remove(); violations.length = 0")


# --- people ----------------------------------------------------------------------------------------------------------


def test_with_the_keyboard_alone_a_picture_opens_large_and_focus_comes_back(
    page: Page, desk: Desk, show: Shows
) -> None:
    element = show(desk.src(desk.ready(builders.PHOTO)), **about(builders.PHOTO, alt="A harbour"))
    state_is(element, "ready")

    page.keyboard.press("Tab")
    opener = element.get_by_role("button", name="A harbour")
    expect(opener).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="A harbour")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Close")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("link", name="Download")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(opener).to_be_focused()
    page.keyboard.press("Tab")
    expect(element.get_by_role("link", name="Download")).to_be_focused()


def test_the_button_keeps_the_focus_while_it_tries(page: Page, desk: Desk, show: Shows) -> None:
    go = threading.Event()
    refused = desk.refused(errors.MediaCorrupt(retry_after=60))
    element = show(desk.src(refused, refused, desk.held(refused, go), refused), kind="image")
    state_is(element, "error")

    again(element).focus()
    page.keyboard.press("Enter")
    state_is(element, "loading")
    expect(again(element)).to_be_focused()
    go.set()

    state_is(element, "error")
    expect(again(element)).to_be_focused()


def test_it_follows_direction_scheme_and_motion_of_the_page(page: Page, desk: Desk, show: Shows) -> None:
    element = show(desk.src(desk.ready(builders.VOICE)), **about(builders.VOICE))
    waiting = show(desk.src(desk.pending(builders.PHOTO, 60)), kind="image")
    state_is(element, "ready")
    state_is(waiting, "pending")
    find = "e.shadowRoot.querySelector(`[part=${p}]`)"
    places = f"e => ['speed', 'filename', 'download'].map(p => {find}.getBoundingClientRect().x)"

    speed, name, download = element.evaluate(places)
    page.evaluate("document.documentElement.dir = 'rtl'")
    mirrored = element.evaluate(places)
    page.evaluate("document.documentElement.dir = ''")
    assert name < speed
    assert name < download
    assert mirrored[0] < mirrored[1] > mirrored[2]

    colour = "e => getComputedStyle(e.shadowRoot.querySelector('[part=filename]')).color"
    light = element.evaluate(colour)
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    turns = "e => getComputedStyle(e.shadowRoot.querySelector('.spinner')).animationDuration"
    assert element.evaluate(colour) != light
    assert waiting.evaluate(turns) == "9s"
    page.emulate_media(color_scheme="light", reduced_motion="no-preference")
    assert waiting.evaluate(turns) == "1s"


def test_axe_finds_nothing_in_any_kind_or_state_and_finds_a_planted_fault(page: Page, desk: Desk, show: Shows) -> None:
    go = threading.Event()
    try:
        shown = everything(desk, show, go)
        axe = Axe()
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert violations(axe, page) == {}
        page.emulate_media(color_scheme="light")
        take_pictures(page, shown)

        shown["photo.jpg"].get_by_role("button", name="This is photo.jpg").click()
        page.evaluate("dialogs = document.querySelector('whatsapp-media').shadowRoot.querySelectorAll('dialog[open]')")
        assert page.evaluate("dialogs.length") == 1
        assert violations(axe, page) == {}
        page.keyboard.press("Escape")
    finally:
        go.set()

    img = "document.querySelector('whatsapp-media').shadowRoot.querySelector('img')"
    page.evaluate(f"['alt', 'aria-label'].forEach(name => {img}.removeAttribute(name))")
    assert violations(axe, page).keys() & {"image-alt", "button-name"}


def violations(axe: Axe, page: Page) -> dict[str, list[str]]:
    """Give what axe finds: the rule, and the nodes that break it."""
    found = axe.run(page).response["violations"]
    return {one["id"]: [node["html"] + node["failureSummary"] for node in one["nodes"]] for one in found}


def everything(desk: Desk, show: Shows, go: threading.Event) -> dict[str, Locator]:
    """Show every kind, and a picture in every state; what is `loading` is so until `go`."""
    kinds = [
        builders.PHOTO,
        builders.STICKER,
        builders.VOICE,
        builders.TUNE,
        builders.VIDEO,
        builders.BROCHURE,
        builders.LETTER,
    ]
    shown = {sample.name: show(desk.src(desk.ready(sample)), **at_once(sample)) for sample in kinds}
    for element in shown.values():
        state_is(element, "ready")
    answers = {
        "pending": desk.pending(builders.PHOTO, 60),
        "error": desk.refused(errors.RateLimited(retry_after=60)),
        "gone": desk.refused(errors.MediaExpired(final=True)),
        "loading": desk.held(desk.ready(builders.PHOTO), go),
    }
    for state, answer in answers.items():
        shown[state] = show(desk.src(answer), **at_once(builders.PHOTO))
        state_is(shown[state], state)
    voice = at_once(builders.VOICE, mime_type="audio/x-unheard-of")
    shown["unplayable"] = show(desk.src(desk.ready(builders.VOICE)), **voice)
    state_is(shown["unplayable"], "error")
    return shown


def take_pictures(page: Page, shown: dict[str, Locator]) -> None:
    """Make the pictures of docs/element.md."""
    page.wait_for_timeout(400)  # the turning ring comes late
    pictures(page, shown["photo.jpg"], "image")
    pictures(page, shown["sticker.webp"], "sticker")
    pictures(page, shown["voice.ogg"], "voice")
    pictures(page, shown["tune.m4a"], "audio")
    pictures(page, shown["video.mp4"], "video")
    pictures(page, shown["brochure.pdf"], "document")
    pictures(page, shown["loading"], "loading")
    pictures(page, shown["pending"], "pending")
    pictures(page, shown["error"], "error")
    pictures(page, shown["gone"], "gone")
    pictures(page, shown["unplayable"], "unplayable")


# --- a long thread ---------------------------------------------------------------------------------------------------

THREAD = """messages => {
    const thread = document.getElementById("thread");
    thread.append(...messages.map(message => Object.assign(document.createElement("whatsapp-media"), message)));
}"""


def test_two_hundred_messages_scroll_without_jumps_and_load_only_what_is_near(page: Page, desk: Desk) -> None:
    samples = [builders.PHOTO, builders.VOICE, builders.VIDEO, builders.BROCHURE, builders.STICKER]
    sources = []
    messages = []
    for place in range(200):
        sample = samples[place % len(samples)]
        answer = desk.refused(errors.MediaExpired(final=True)) if place % 20 == 0 else desk.ready(sample)
        sources.append(desk.src(answer))
        kind = "voice" if sample is builders.VOICE else sample.kind
        messages.append({"src": sources[-1], "kind": kind, "filename": sample.name, "caption": f"Message {place}"})
    page.evaluate("shifts = 0")
    page.evaluate(THREAD, messages)
    page.wait_for_timeout(1500)
    loaded = [place for place, src in enumerate(sources) if desk.asked_for(src)]
    near = "e => e.getBoundingClientRect().top < innerHeight + 300"
    seen = page.evaluate(f"[...document.querySelectorAll('whatsapp-media')].filter({near}).length")
    assert 0 < len(loaded) <= seen < 20

    height = page.evaluate("document.body.scrollHeight")
    while page.evaluate("scrollY + innerHeight < document.body.scrollHeight - 2"):
        page.mouse.wheel(0, 1500)
        page.wait_for_timeout(60)
    page.wait_for_timeout(500)

    assert page.evaluate("document.body.scrollHeight") == height
    moved = page.evaluate("shifts")
    print(f"cumulative layout shift over 200 messages: {moved:.4f}")
    assert moved < 0.01
