"""What the simulator page offers and what its forms ask for. Pure: it reads forms, and decides what is to be sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, Json, JsonValue, field_validator, model_validator

from local import faults
from local.faults import Fault
from local.notifications import Contact
from local.outgoing import BY_BUSINESS, Outgoing, Told
from local.posts import Post

MAX_AT_ONCE = 1000
"""Messages in one POST: Meta's own limit.

https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/create-webhook-endpoint
"""
MAX_WORDS = 2_000_000
"""Characters in all messages of a form together: some 3 MB in a POST, which is Meta's limit, too."""
SHOWN_MESSAGES = 25
"""Messages of a webhook that the list of webhooks names."""

CONTACTS = (
    Contact(),
    Contact("Zoë Brandt", "493023125103", "DE.8801376544219087"),
    Contact("ليلى حدّاد", "971501234567", "AE.7719023345518820"),
    Contact("נועם לוי", "972521234567"),
    Contact("🌊 Kai", None, "US.6620019987341255", "kai.surfs"),
    Contact("山田 花子", "819012345678", "JP.5538812200417766"),
    Contact("Dr. Maximiliane von Hohenstein-Wittgenstein zu Berleburg", "4366412345678"),
)
"""Ready-made people: left to right and right to left, known by number, by user id, or by both."""
GROUPS: Mapping[str, str] = {"GROUP-120363041234567890": "Weekend hike 🥾"}


@dataclass(frozen=True, slots=True)
class Preset:
    """Something to break, as the page offers it."""

    label: str
    faults: tuple[Fault, ...] = ()


_200_MB = 200 * 1000 * 1000
PRESETS: dict[str, Preset] = {
    "": Preset("nothing: all is well"),
    "rate_limited": Preset("rate limit (429), twice", (faults.RateLimited(times=2, retry_after=1),)),
    "server_error": Preset("server error (500), once", (faults.ServerError(times=1),)),
    "cut_off": Preset("cut off half-way, once", (faults.CutOff(times=1),)),
    "dead_url": Preset("media URL dead, once", (faults.DeadUrl(times=1),)),
    "slow": Preset("slow: Graph thinks for 6 seconds", (faults.Slow(seconds=6),)),
    "expired": Preset("expired at Meta (100/33)", (faults.Expired(),)),
    "gone": Preset("gone for good (410)", (faults.Gone(),)),
    "bad_token": Preset("access token refused (190)", (faults.BadToken(),)),
    "always_limited": Preset("rate limit that stays", (faults.RateLimited(retry_after=30),)),
    "always_down": Preset("server error that stays", (faults.ServerError(),)),
    "hang": Preset("no answer at all", (faults.Hang(),)),
    "wrong_hash": Preset("wrong hash", (faults.HashAs(form="wrong"),)),
    "html": Preset("a web page instead of the file", (faults.HtmlPage(),)),
    "declared_too_large": Preset("declared too large (200 MB)", (faults.LyingLength(size=_200_MB),)),
    "secretly_too_large": Preset("declared 1 kB, sends 200 MB", (faults.LyingLength(), faults.Oversize(size=_200_MB))),
    "foreign_host": Preset("URL points to a foreign host", (faults.UrlHost(origin="https://media.example.net"),)),
    "redirect": Preset("redirects to a foreign host", (faults.Redirect(location="https://media.example.net/"),)),
}


class Breaking(BaseModel):
    """A form that may break something."""

    fault: str = ""

    @field_validator("fault")
    @classmethod
    def _is_offered(cls, name: str) -> str:
        if name not in PRESETS:
            raise ValueError("no such fault")
        return name

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that were chosen."""
        return PRESETS[self.fault].faults


class SendForm(Breaking, Outgoing):
    """A message, how many of it, in one POST or each in its own, and how old (seconds)."""

    answers: Annotated[Json[dict[str, JsonValue]], Field(max_length=1000)] = {}
    count: Annotated[int, Field(ge=1, le=MAX_AT_ONCE)] = 1
    posts: Literal["one", "each"] = "one"
    age: Annotated[float, Field(ge=0, le=10 * 365 * 24 * 3600, allow_inf_nan=False)] = 0

    @field_validator("contact", mode="before")
    @classmethod
    def _is_somebody(cls, contact: object) -> object:
        """Take a number that is not given as one that the customer hides, not as the default."""
        if isinstance(contact, dict):
            if not contact.keys() & {"wa_id", "user_id"}:
                raise ValueError("a contact has a phone number or a user id")
            return {"wa_id": None, **contact}
        return contact

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.count * (len(self.text) + len(self.caption or "")) > MAX_WORDS:
            raise ValueError("that is more text than Meta puts into one POST")
        return self


class ReplayForm(Breaking):
    """A webhook to send again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: int


class ForgetForm(BaseModel):
    """The webhook whose media Graph shall forget; none: all media."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: int | None = None


def nested(fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Read the fields of a form: `contact.name` is the name in the contact, and what is blank was not said."""
    found: dict[str, Any] = {}
    for name, value in fields:
        if value.strip():
            group, dot, member = name.partition(".")
            place = found.setdefault(group, {}) if dot else found
            if isinstance(place, dict):
                place[member if dot else name] = value
            else:
                found[name] = value
    return found


def messages(form: SendForm, media_ids: Sequence[str], now: float) -> list[Outgoing]:
    """Give the messages that a form asks for, the oldest first and a second apart.

    `media_ids` are one for each, or none; `now` is in Unix seconds.
    """
    return [_nth(form, place, media_ids, now) for place in range(form.count)]


def _nth(form: SendForm, place: int, media_ids: Sequence[str], now: float) -> Outgoing:
    changed: dict[str, Any] = {"timestamp": now - form.age - (form.count - 1 - place)}
    if form.count > 1:
        number = f" ({place + 1})"
        changed["text"] = form.text + number if form.kind == "text" else form.text
        changed["caption"] = form.caption + number if form.caption else None
    if media_ids:
        changed["media_id"] = media_ids[place]
    return form.model_copy(update=changed)


def offered() -> dict[str, Any]:
    """Give what can be chosen: people, groups, faults; and what the business can send, too."""
    return {
        "by_business": sorted(BY_BUSINESS),
        "contacts": [_known(contact) for contact in CONTACTS],
        "groups": [{"id": group_id, "name": name} for group_id, name in GROUPS.items()],
        "faults": [{"name": name, "label": preset.label} for name, preset in PRESETS.items()],
    }


def _known(contact: Contact) -> dict[str, str]:
    return {name: value for name, value in asdict(contact).items() if value is not None}


def summary(post: Post) -> dict[str, Any]:
    """Describe a webhook in the list of them."""
    return {
        "id": post.id,
        "time": post.started,
        "size": len(post.body),
        "status": post.delivery.status,
        "attempts": post.delivery.attempts,
        "answer": post.delivery.answer,
        "replay_of": post.replay_of,
        "count": len(post.told),
        "messages": [told_of(told) for told in post.told[:SHOWN_MESSAGES]],
    }


def told_of(told: Told) -> dict[str, Any]:
    """Describe a message of a webhook."""
    return {name: value for name, value in asdict(told).items() if name != "content"}
