"""What the secrets are to hold after an operator's answers, and what Graph's word about them means. Pure."""

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from inbound.credentials import APPS, GRAPH
from inbound.errors import AccessTokenInvalid, GraphRefused, MediaError, MediaExpired
from media_proxy import graph_versions, token_state
from media_proxy.token_state import TokenState

ALL = "*"
DEFAULT = "default"
KEPT = 2  # values of a secret: the current one and the one before
PERMISSION = "whatsapp_business_messaging"
SHORT_LIVED = 2  # days that a token of the App Dashboard does not live
VERSION_ENDS = 90  # days
# https://developers.facebook.com/docs/graph-api/guides/error-handling
WHY_INVALID = {
    458: "the app was removed from it",
    460: "a password was changed",
    463: "it has ended",
    467: "it was revoked",
}


class NotUsable(Exception):
    """An answer, or what a secret holds, makes no sense; the message is one line for the terminal."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the operator has said. An empty text keeps what is there, as None does for the numbers."""

    app_id: str
    app_secret: str = ""
    verify_token: str = ""
    numbers: tuple[str, ...] | None = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """How the answers are meant.

    The token is for each of the app's numbers (`per_number`) and not for all; values before the new ones are void at
    once (`forget`); another secret of media tokens is made (`new_media_secret`).
    """

    per_number: bool = False
    forget: bool = False
    new_media_secret: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What the two secrets hold, and are to hold."""

    app_id: str
    apps_before: Mapping[str, Any]
    graph_before: Mapping[str, Any]
    apps: Mapping[str, Any]
    graph: Mapping[str, Any]

    @property
    def app(self) -> Mapping[str, Any]:
        """The app as it is to be."""
        app: Mapping[str, Any] = self.apps[self.app_id]
        return app

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numbers that the app may write to; none where it may write to all."""
        given = self.app["phone_number_ids"]
        return () if given == ALL else tuple(given)

    def token_of(self, number: str) -> str | None:
        """Give the token that is tried first for a number (or `default`)."""
        tokens = self.graph["tokens"].get(number) or self.graph["tokens"].get(DEFAULT) or ()
        return tokens[0] if tokens else None


def read(name: str, text: str) -> dict[str, Any]:
    """Read a secret, `apps` or `graph`, with all that it holds. Raises `NotUsable` when it is not of its form."""
    shape: Any = {"apps": APPS, "graph": GRAPH}[name]
    try:
        shape.validate_json(text)
    except ValidationError as error:
        place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"])) or "its JSON"
        raise NotUsable(
            f"The secret {name} is not what it must be, at {place}. Mend it first (docs/deploy.md)."
        ) from error
    value: dict[str, Any] = json.loads(text)
    return value


def app_id(text: str) -> str:
    """Check an app id. Raises `NotUsable`."""
    if not re.fullmatch(r"[0-9]{5,20}", text):
        raise NotUsable("An app id has digits only. It stands at the top of the App Dashboard.")
    return text


def hidden(text: str, name: str) -> str:
    """Check a secret, a token or nothing. Raises `NotUsable`, without repeating it."""
    if not (text.isascii() and text.isprintable() and " " not in text):
        raise NotUsable(
            f"The {name} holds characters that none has: spaces, or others that came along when it was copied."
        )
    return text


def numbers(text: str) -> tuple[str, ...] | None:
    """Read phone number ids with commas between them, `*` for all, or nothing (None). Raises `NotUsable`."""
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for part in parts if parts != (ALL,) else ():
        if not re.fullmatch(r"[0-9]{5,20}", part):
            raise NotUsable(
                "A phone number id has digits only, and is not the phone number: App Dashboard, WhatsApp, API Setup."
            )
    return parts or None


def plan(answers: Answers, apps: Mapping[str, Any], graph: Mapping[str, Any], wishes: Wishes) -> Plan:
    """Say what the secrets are to hold; other apps, other numbers' tokens and unknown keys stay.

    Raises `NotUsable` when the answers leave an app without what it cannot be without.
    """
    app = _app(answers, apps.get(answers.app_id, {}), wishes)
    bound = app["phone_number_ids"]
    if wishes.per_number and bound == ALL:
        raise NotUsable("A token for each number needs the numbers: this app may write to all.")
    tokens = dict(graph.get("tokens", {}))
    for name in bound if wishes.per_number else (DEFAULT,):
        if kept := rotated(tokens.get(name, ()), answers.token, forget=wishes.forget):
            tokens[name] = kept
    media = _media_token_secrets(graph.get("media_token_secrets", ()), wishes)
    return Plan(
        app_id=answers.app_id,
        apps_before=apps,
        graph_before=graph,
        apps={**apps, answers.app_id: app},
        graph={**graph, "tokens": tokens, "media_token_secrets": media},
    )


def rotated(present: Sequence[str], new: str, *, forget: bool) -> list[str]:
    """Put a new value before the one that was current; nothing new leaves things as they are, but for `forget`."""
    if not new or new in present[:1]:
        return list(present[:1] if forget else present)
    return [new] if forget else [new, *(one for one in present if one != new)][:KEPT]


def _app(answers: Answers, present: Mapping[str, Any], wishes: Wishes) -> dict[str, Any]:
    app = {
        **present,
        "secrets": rotated(present.get("secrets", ()), answers.app_secret, forget=wishes.forget),
        "verify_token": answers.verify_token or present.get("verify_token") or secrets.token_urlsafe(24),
        "phone_number_ids": present.get("phone_number_ids", []),
    }
    if answers.numbers is not None:
        app["phone_number_ids"] = ALL if answers.numbers == (ALL,) else list(answers.numbers)
    if not app["secrets"]:
        raise NotUsable(f"The app {answers.app_id} is new here, so its app secret is needed.")
    if not app["phone_number_ids"]:
        raise NotUsable(f"The app {answers.app_id} has no number here, so at least one is needed, or * for all.")
    return app


def _media_token_secrets(present: Sequence[str], wishes: Wishes) -> list[str]:
    """Keep the secrets of media tokens; make one where there is none that is long enough to be used."""
    usable = GRAPH.validate_python({"media_token_secrets": present}).media_token_secrets
    new = secrets.token_urlsafe(48) if wishes.new_media_secret or not usable else ""
    return rotated(usable if new else present, new, forget=wishes.forget and wishes.new_media_secret)


# --- what Graph says ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that Graph's answers mean; a problem is what the system would not work with."""

    text: str
    is_problem: bool = True


def of_the_app(error: MediaError) -> Finding:
    """Say what it means that Graph did not tell the app about a token."""
    if isinstance(error, AccessTokenInvalid | GraphRefused):
        return Finding(f"Meta does not know this app id with this app secret: App settings, Basic. {error.detail}")
    return _not_asked(error)


def of_the_token(state: TokenState, own_app: str, now: float) -> Iterator[Finding]:
    """Say what Graph knows of a token; `now` is Unix seconds."""
    if not state.is_valid:
        why = WHY_INVALID.get(state.subcode or 0, "Meta does not accept it")
        yield Finding(f"The access token is not valid: {why}. Make another one for a system user.")
        return
    if PERMISSION not in state.scopes:
        yield Finding(f"The access token lacks the permission {PERMISSION}.")
    if state.app_id not in ("", own_app):
        yield Finding(f"The access token is of another app, {state.app_id}.", is_problem=False)
    days = token_state.days_left(state, now)
    if days == token_state.NEVER:
        yield Finding("The access token has no end.", is_problem=False)
        return
    end = datetime.fromtimestamp(state.expires_at, UTC).date()
    hint = " It looks like the App Dashboard's temporary one; a system user's lasts." if days < SHORT_LIVED else ""
    yield Finding(f"The access token ends on {end}, in {days:.0f} days.{hint}", is_problem=False)


def of_a_number(number: str, error: MediaError) -> Finding:
    """Say what it means that a token may not see a number."""
    if isinstance(error, MediaExpired):
        return Finding(
            f"The access token does not see the number {number}: the phone number id is wrong (it is not the phone "
            "number), or its WhatsApp account is not assigned to the token's system user."
        )
    if isinstance(error, AccessTokenInvalid | GraphRefused):
        return Finding(f"Meta refuses the access token for the number {number}. {error.detail}")
    return _not_asked(error)


def of_the_version(version: str, now: float) -> Iterator[Finding]:
    """Say whether the version of Graph ends soon."""
    if graph_versions.days_left(version, now) < VERSION_ENDS:
        yield Finding(
            f"Meta may end Graph {version} on {graph_versions.ends_on(version)}: deploy with a newer GraphVersion.",
            is_problem=False,
        )


def _not_asked(error: MediaError) -> Finding:
    return Finding(
        f"Graph cannot be asked now ({error.code}): {error.detail} Run it again, or go without (--unchecked)."
    )


# --- what is told ------------------------------------------------------------------------------------------------


def changes(planned: Plan) -> dict[str, str]:
    """Say of each part what becomes of it, without any value."""
    before: Mapping[str, Any] = planned.apps_before.get(planned.app_id, {})
    tokens_before, tokens = planned.graph_before.get("tokens", {}), planned.graph["tokens"]
    told = {
        "app secret": _told(before.get("secrets", ()), planned.app["secrets"]),
        "verify token": _told(
            [before[key] for key in ("verify_token",) if key in before], [planned.app["verify_token"]]
        ),
        "numbers": _told(_listed(before.get("phone_number_ids", ())), _listed(planned.app["phone_number_ids"])),
    }
    for name in sorted(tokens):
        told[f"access token, {name}"] = _told(tokens_before.get(name, ()), tokens[name])
    media = planned.graph_before.get("media_token_secrets", ()), planned.graph["media_token_secrets"]
    return {**told, "media token secret": _told(*media)}


def _listed(given: Any) -> list[str]:
    return [given] if isinstance(given, str) else sorted(given)


def _told(before: Sequence[str], after: Sequence[str]) -> str:
    if list(before) == list(after):
        return "stays"
    if not before:
        return "new"
    dropped = [one for one in before if one not in after]
    added = [one for one in after if one not in before]
    if added:
        return (
            "changed; what was before stays valid beside it"
            if before[0] in after
            else "changed; what was before is void"
        )
    return "the one before is void" if dropped else "changed"
