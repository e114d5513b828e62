"""Page, API and edge on three origins, in a real browser: by cookie, by a token in the address, by a bearer token.

With the cookie they share a site, as crm.example.com, api.example.com and media.example.com do.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page

from inbound.media import message_id
from local.stack import STATE
from tests import builders
from tests.browser.crm import Crm
from tests.integration.system import LOGS, System, running_system

SITE = "example.localhost"
DESK, API, EDGE = f"desk.{SITE}", f"api.{SITE}", f"media.{SITE}"
STRANGER = "desk.elsewhere.localhost"
"""A page of another site, on an origin that nobody has allowed."""
SHOWN = """async () => {
    const element = document.querySelector("img, video, audio");
    for (let look = 0; look < 100; look++) {
        if (element.naturalWidth || element.duration > 0) return true;
        if (element.error || (element.complete && element.naturalWidth === 0)) return false;
        await new Promise(done => setTimeout(done, 100));
    }
}"""
# Gives what a script of the page can learn: status, Retry-After, JSON; or that it learns nothing.
FETCH = """async ([address, options]) => {
    try {
        const answer = await fetch(address, options);
        const length = (await answer.clone().arrayBuffer()).byteLength;
        const json = await answer.json().catch(() => null);
        return {status: answer.status, after: answer.headers.get("Retry-After"), length, json};
    } catch (error) {
        return {error: error.name};
    }
}"""
UNREADABLE = {"error": "TypeError"}
SHOWN_SAMPLES = pytest.mark.parametrize(
    "sample", [builders.PHOTO, builders.VIDEO, builders.VOICE], ids=lambda s: s.kind
)


@pytest.fixture(name="system", scope="module")
def _system(crm: Crm) -> Iterator[System]:
    with running_system(
        STATE / f"origins-{LOGS.name}",
        AllowedOrigins=named(crm.url, DESK),
        EdgeDomain=EDGE,
        EdgeCertificateArn="arn:aws:acm:us-east-1:123456789012:certificate/edge",
    ) as system:
        yield system


@pytest.fixture
def opened(context: BrowserContext, crm: Crm) -> Any:
    """Open a page on an origin by this name."""

    def open_page(body: str = "", name: str = DESK, **headers: str) -> Page:
        page = context.new_page()
        page.goto(named(crm.page(body, **headers), name))
        return page

    return open_page


@pytest.fixture
def asked(context: BrowserContext) -> dict[str, None]:
    """Give the origins that pages make the browser ask, in order, each once; they grow."""
    origins: dict[str, None] = {}
    context.on("request", lambda request: origins.setdefault("{0.scheme}://{0.netloc}".format(urlsplit(request.url))))
    return origins


def named(url: str, name: str) -> str:
    """Give the address under another name of this machine."""
    return urlsplit(url)._replace(netloc=f"{name}:{urlsplit(url).port}").geturl()


def address(system: System, own_id: str, query: str = "") -> str:
    return named(f"{system.stack.api_url}/media/messages/{own_id}{query}", API)


def element(sample: builders.Sample, source: str) -> str:
    tag = "img" if sample.kind == "image" else sample.kind
    return f'<{tag} src="{source}" preload="auto"></{tag}>'


def cookie(system: System) -> dict[str, str]:
    """Give the header with which a CRM lets its agent's browser in."""
    token = system.token()
    return {"Set-Cookie": f"media_token={token}; Domain={SITE}; Path=/; HttpOnly; SameSite=Strict"}


def fetched(page: Page, url: str, **options: Any) -> Any:
    return page.evaluate(FETCH, [url, options])


def bearer(system: System) -> dict[str, str]:
    return {"Authorization": f"Bearer {system.token()}", "Accept": "application/json"}


def waiting(system: System) -> str:
    """Give a message whose media is left to the worker, which does not run here."""
    number = system.stack.phone_number_id
    media = system.stack.meta.add_media(b"large", "video/mp4", phone_number_id=number, size=17 * builders.MIB)
    message = builders.media_message(builders.VIDEO, media.id, media={"sha256": media.sha256})
    assert system.post(builders.notification(message, phone_number_id=number)).status_code == 200
    return message_id(number, message["id"])


# --- the cookie --------------------------------------------------------------------------------------------------


@SHOWN_SAMPLES
def test_with_the_cookie_of_a_shared_site_a_bare_address_is_enough(
    opened: Any, asked: dict[str, None], system: System, crm: Crm, sample: builders.Sample
) -> None:
    own_id = system.receive(sample)

    page = opened(element(sample, address(system, own_id)), **cookie(system))

    assert page.evaluate(SHOWN)
    assert list(asked) == [named(crm.url, DESK), named(system.stack.api_url, API), system.stack.edge_url]
    assert urlsplit(system.stack.edge_url).hostname == EDGE


def test_with_the_cookie_a_script_reads_the_answer_too(opened: Any, system: System) -> None:
    own_id = system.receive()
    page = opened(**cookie(system))

    answer = fetched(page, address(system, own_id), credentials="include", headers={"Accept": "application/json"})

    assert (answer["status"], answer["json"]["media"]["type"]) == (200, "image")
    assert fetched(page, address(system, own_id))["status"] == 401  # a fetch sends no cookies of its own accord


def test_a_page_of_another_site_has_no_use_of_the_cookie(opened: Any, system: System) -> None:
    own_id = system.receive()
    picture = element(builders.PHOTO, address(system, own_id))
    agent = opened(picture, **cookie(system))

    stranger = opened(picture, STRANGER)

    assert agent.evaluate(SHOWN)
    assert not stranger.evaluate(SHOWN)
    assert fetched(stranger, address(system, own_id), credentials="include") == UNREADABLE


def test_without_the_cookie_there_is_nothing_to_see(opened: Any, system: System) -> None:
    page = opened(element(builders.PHOTO, address(system, system.receive())))

    assert not page.evaluate(SHOWN)


# --- the token in the address ------------------------------------------------------------------------------------


@SHOWN_SAMPLES
@pytest.mark.parametrize("name", [DESK, STRANGER])
def test_with_the_token_in_its_address_a_bare_element_shows_it_on_any_page(
    opened: Any, asked: dict[str, None], system: System, crm: Crm, sample: builders.Sample, name: str
) -> None:
    link = address(system, system.receive(sample), f"?token={system.token()}")

    page = opened(element(sample, link), name)

    assert page.evaluate(SHOWN)
    assert list(asked) == [named(crm.url, name), named(system.stack.api_url, API), system.stack.edge_url]


def test_a_token_in_the_address_that_is_over_shows_nothing(opened: Any, system: System) -> None:
    link = address(system, system.receive(), f"?token={system.token(exp=1)}")

    assert not opened(element(builders.PHOTO, link)).evaluate(SHOWN)


# --- the bearer token --------------------------------------------------------------------------------------------


def test_with_a_bearer_token_a_script_reads_where_the_bytes_are_and_then_the_bytes(opened: Any, system: System) -> None:
    own_id, page = system.receive(), opened()
    preflights = preflights_of(page)

    told = fetched(page, address(system, own_id), headers=bearer(system))
    got = fetched(page, told["json"]["url"])

    assert (told["status"], told["json"]["media"]["mime_type"]) == (200, "image/jpeg")
    assert (got["status"], got["length"]) == (200, len(builders.PHOTO.content))
    assert preflights == [address(system, own_id)]
    page.evaluate("url => { const img = new Image(); img.src = url; document.body.append(img) }", told["json"]["url"])
    assert page.evaluate(SHOWN)


def preflights_of(page: Page) -> list[str]:
    """Give the list of addresses that the browser asks for permission; it grows."""
    found: list[str] = []

    def requested(event: Any) -> None:
        if event["request"]["method"] == "OPTIONS":
            found.append(event["request"]["url"])

    session = page.context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", requested)
    session.send("Network.enable")
    return found


def test_a_script_reads_when_to_ask_again(opened: Any, system: System) -> None:
    answer = fetched(opened(), address(system, waiting(system)), headers=bearer(system))

    assert (answer["status"], answer["json"]["status"]) == (202, "pending")
    assert int(answer["after"]) > 0


def test_a_script_reads_why_there_is_nothing(opened: Any, system: System) -> None:
    answer = fetched(opened(), address(system, "unknown"), headers=bearer(system))

    assert (answer["status"], answer["json"]["code"]) == (404, "message_not_found")


def test_a_script_of_an_origin_that_is_not_allowed_reads_nothing(opened: Any, system: System) -> None:
    own_id, token = system.receive(), system.token()
    signed = system.get(own_id).headers["Location"]
    stranger = opened(name=STRANGER)

    asked = fetched(stranger, address(system, own_id), headers=bearer(system))  # the preflight is refused
    simple = fetched(stranger, address(system, own_id, f"?token={token}"), headers={"Accept": "application/json"})

    assert [asked, simple, fetched(stranger, signed)] == [UNREADABLE] * 3
    assert fetched(opened(), signed)["status"] == 200  # it was the origin, nothing else
